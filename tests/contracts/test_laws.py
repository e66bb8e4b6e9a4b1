"""The laws of the house, read off the tree, the graph and the code."""

import ast
import importlib
import re
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from components.__main__ import ROOMS, families, stage, stages
from components.core import params
from components.core.fingerprints import Sources

ROOT = Path(__file__).resolve().parents[2]
TOP_LEVEL = {"pyproject.toml", "README.md", "flows", "components", "dvc.yaml", "params.yaml", "tests", "infra",
             "Makefile", "requirements.lock", "dvc.lock", "sources.lock.json", "records.lock.json",
             "withdrawn.json"}  # fmt: skip
STAGES = stages(params.load(ROOT / "params.yaml"))
RECIPES = sorted((ROOT / "infra" / "recipes").glob("*.yaml"))


def tracked() -> list[str]:
    done = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout: there is no list of tracked files")
    return [name for name in done.stdout.splitlines() if (ROOT / name).exists()]


def code_files() -> list[Path]:
    return sorted([*(ROOT / "components").rglob("*.py"), *(ROOT / "flows").rglob("*.py")])


def resolved_stages() -> dict[str, dict[str, Any]]:
    """Each stage's block of dvc.yaml with its foreach resolved; no driver is asked."""
    blocks, values = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"], params.load(ROOT / "params.yaml")
    found: dict[str, dict[str, Any]] = {}
    for name, block in blocks.items():
        items = block.get("foreach", {})
        for key, item in (values[items[2:-1]] if isinstance(items, str) else items).items():
            text = str(block["do"]).replace("${key}", key)
            text = re.sub(r"\$\{item\.([a-z.]+)\}", partial(value_at, item), text)
            found[f"{name}@{key}"] = ast.literal_eval(text)
        if "foreach" not in block:
            found[name] = block
    return found


def value_at(item: Any, place: re.Match[str]) -> str:
    for key in place[1].split("."):
        item = item[key]
    return str(item)


def imported_names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""


def test_the_top_level_is_fixed() -> None:
    names = {name.split("/")[0] for name in tracked()}
    assert {name for name in names if not name.startswith(".")} <= TOP_LEVEL


def test_the_graph_holds_exactly_the_declared_stages() -> None:
    assert set(resolved_stages()) == {"fingerprint", *STAGES}


@pytest.mark.parametrize("name", STAGES)
def test_a_block_of_the_graph_is_what_its_stage_declares(name: str) -> None:
    block, declared = resolved_stages()[name], stage(name)
    words = block["cmd"].split()
    assert words[:4] == ["python", "-m", "components", name]
    flags = dict(zip(words[4::2], words[5::2], strict=True))
    output = flags.pop("--output")
    assert list(flags) == [f"--{argument}" for argument in declared.inputs]
    assert block["deps"] == [f"data/fingerprints/{name.partition('@')[0]}.json", *flags.values()]
    assert block["params"] == [declared.section]
    outs = [next(iter(out)) if isinstance(out, dict) else out for out in block.get("outs", [])]
    assert outs == [output] == ["data/" + name.replace("@", "/")]
    assert set(block["meta"]) == {"timeout_seconds", "retries"}
    assert block["desc"].endswith(".")


@pytest.mark.parametrize("name", STAGES)
def test_what_says_something_of_a_service_is_kept_out_of_the_run_cache(name: str) -> None:
    outs = resolved_stages()[name]["outs"]
    persists = isinstance(outs[0], dict) and next(iter(outs[0].values())) == {"persist": True}
    assert persists is (stage(name).is_current is not None)
    assert "always_changed" not in resolved_stages()[name]


@pytest.mark.parametrize("path", [ROOT / "params.yaml", *RECIPES], ids=lambda path: path.stem)
def test_every_recipe_is_valid(path: Path) -> None:
    values = params.load(path)
    params.check_all(values, map(stage, stages(values)), families(), path)


def test_params_yaml_is_a_recipe() -> None:
    assert (ROOT / "params.yaml").read_bytes() in {path.read_bytes() for path in RECIPES}


@pytest.mark.parametrize("name", sorted(set(ROOMS.values())))
def test_a_stage_room_has_the_same_files_and_says_what_it_exports(name: str) -> None:
    folder = ROOT / "components" / name
    assert {"__init__.py", "config.py", "stage.py"} <= {path.name for path in folder.iterdir()}
    package = importlib.import_module(f"components.{name}")
    assert {"STAGE", "STAGES"} & set(package.__all__)
    assert set(package.__all__) <= set(vars(package))


def test_every_module_says_what_it_holds() -> None:
    silent = [path for path in code_files() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def test_nothing_is_pickled() -> None:
    for path in code_files():
        names = set(imported_names(path))
        assert not names & {"pickle", "cloudpickle", "dill", "shelve", "joblib", "marshal"}, path


def test_backends_are_named_only_in_backends() -> None:
    for path in code_files():
        if not {"tensorflow", "jax"} & {name.split(".")[0] for name in imported_names(path)}:
            continue
        assert "backends" in path.relative_to(ROOT).with_suffix("").parts, path


def test_asserts_stand_only_in_tests() -> None:
    for path in code_files():
        assert not any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(path.read_text()))), path


def test_no_shell_is_given_a_string() -> None:
    for path in code_files():
        text = path.read_text()
        assert "shell=True" not in text, path
        assert "os.system(" not in text, path


def test_no_room_reads_the_code_of_another_stage() -> None:
    sources, rooms = Sources(ROOT), set(ROOMS.values()) - {"tokenizer"}
    for room in sorted(rooms):
        others = {name.split(".")[1] for name in sources.fingerprint(room).modules if name.count(".")}
        assert not others & (rooms - {room}), room


def test_the_lock_is_hashed_and_names_no_index() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links", text)
    pinned = re.findall(r"^[a-z0-9][a-z0-9._-]*==\S+", text, flags=re.MULTILINE)
    blocks = re.split(r"^(?=[a-z0-9][a-z0-9._-]*==)", text, flags=re.MULTILINE)[1:]
    assert len(pinned) == len(blocks) > 200
    assert all("--hash=sha256:" in block for block in blocks)


def test_the_lock_holds_every_direct_dependency() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    names = {re.split(r"[<>=!\[]", line)[0].lower().replace("_", "-") for line in wanted}
    locked = set(re.findall(r"^([a-z0-9][a-z0-9._-]*)==", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE))
    assert {name.replace(".", "-") for name in names} <= {name.replace(".", "-") for name in locked}
