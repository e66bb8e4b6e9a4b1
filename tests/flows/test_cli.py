"""The command line: help that is documentation, mistakes told in one sentence, surroundings that just work."""

import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from components.core import errors
from flows.cli import _parser
from tests.flows.toys import ROOT, Toy

COMMANDS = ("run", "plan", "status", "refresh", "recipe", "generate", "serve", "batch", "promote",
            "champion", "rollback", "verify", "rebuild", "trace", "impact", "why", "withdraw", "card", "schedule", "ui",
            "doctor")  # fmt: skip


def test_help_is_immediate_and_names_every_command_and_exit_code(toy: Toy) -> None:
    seconds = []
    for _ in range(3):
        start = time.monotonic()
        done = toy.pedigree("--help")
        seconds.append(time.monotonic() - start)
    assert min(seconds) < 1.0
    assert all(re.search(rf"^    {name} ", done.stdout, re.MULTILINE) for name in COMMANDS)
    codes = {kind.exit_code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert all(re.search(rf"^  {code}  |  {code}  ", done.stdout, re.MULTILINE) for code in codes)


def test_nothing_heavy_is_imported_for_help(toy: Toy) -> None:
    code = (
        "import sys\nfrom flows.cli import main\ntry:\n    main(['run', '--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'dvc', 'prefect', 'pydantic', 'rich'} & set(sys.modules)))"
    )
    assert toy.run("-c", code).stdout.endswith("[]\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        _parser().parse_args([name, "--help"])
    assert ended.value.code == 0
    assert len(capsys.readouterr().out.splitlines()) > 4


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["run", "botom"], 1, "did you mean 'bottom'?"),
        (["recipe", "nothing"], 1, "no recipe 'nothing'"),
        (["recipe", "--save", "No Name"], 1, "lower case"),
        (["schedule", "--every", "0"], 2, "at least 1"),
        (["nonsense"], 2, "invalid choice"),
    ],
)
def test_a_mistake_is_told_without_a_traceback(toy: Toy, arguments: list[str], code: int, told: str) -> None:
    done = toy.pedigree(*arguments)
    assert done.returncode == code, done.stdout
    assert told in done.stdout
    assert "Traceback" not in done.stdout


def test_a_folder_that_is_no_project_is_told(toy: Toy) -> None:
    (toy.root / "dvc.yaml").unlink()
    done = toy.pedigree("plan")
    assert done.returncode == 5
    assert "no dvc.yaml" in done.stdout


def test_values_that_are_no_yaml_are_told(toy: Toy) -> None:
    toy.write("params.yaml", "top: [1\n")
    done = toy.pedigree("plan")
    assert done.returncode == 2
    assert done.stdout.startswith("error: params.yaml")


def test_a_command_works_from_a_folder_below_the_top(toy: Toy) -> None:
    (toy.root / "below").mkdir()
    done = Toy(toy.root / "below").pedigree("plan")
    assert done.returncode == 0, done.stdout
    assert "bottom" in done.stdout
    assert list((toy.root / "below").iterdir()) == []


def test_a_folder_without_git_works_and_one_that_becomes_a_checkout_too(toy: Toy) -> None:
    (toy.root / ".dvc" / "config.local").unlink()
    assert toy.pedigree("plan").returncode == 0
    assert "no_scm = true" in (toy.root / ".dvc" / "config.local").read_text().lower()
    assert toy.dvc("repro").returncode == 0
    if shutil.which("git"):
        subprocess.run(["git", "init", "-q"], cwd=toy.root, check=True)
        assert "Nothing changed" in toy.pedigree("run").stdout
        assert "no_scm" not in (toy.root / ".dvc" / "config.local").read_text()


def test_settings_beside_no_scm_are_kept(toy: Toy) -> None:
    toy.write(".dvc/config.local", "['remote \"mine\"']\n    url = s3://nowhere\n    access_key_id = secret\n")
    assert toy.pedigree("plan").returncode == 0
    text = (toy.root / ".dvc" / "config.local").read_text()
    assert "secret" in text
    assert "no_scm" in text


def test_a_configuration_that_dvc_refuses_is_told(toy: Toy) -> None:
    toy.write(".dvc/config.local", "[core]\n    nonsense = 1\n")
    done = toy.pedigree("plan")
    assert done.returncode == 5
    assert "nonsense" in done.stdout
    assert "Traceback" not in done.stdout


def test_an_interrupted_plan_ends_with_130(toy: Toy) -> None:
    code = (
        "import os, signal, flows.run\nfrom flows.cli import main\n"
        "flows.run.show_plan = lambda _: os.kill(os.getpid(), signal.SIGINT)\nprint(main(['plan']))"
    )
    done = toy.run("-c", code)
    assert done.stdout.endswith(f"{128 + signal.SIGINT}\n")
    assert "Traceback" not in done.stdout


def test_a_closed_pipe_is_quiet(toy: Toy) -> None:
    command = "python -m flows.cli plan | true"
    done = subprocess.run(["sh", "-c", command], cwd=toy.root, env=toy.environment(), capture_output=True, text=True)
    assert "BrokenPipe" not in done.stderr


def test_a_recipe_takes_the_place_of_another_but_never_of_an_edit(toy: Toy) -> None:
    folder = toy.root / "infra" / "recipes"
    folder.mkdir(parents=True)
    (folder / "one.yaml").write_text("# This is the recipe `one`.\ntop: 1\n")
    (folder / "two.yaml").write_text("top: 2\n")
    toy.write("params.yaml", "top: 7\n")
    refused = toy.pedigree("recipe", "two")
    assert refused.returncode == 5
    assert "pedigree recipe --save NAME" in refused.stdout
    assert (toy.root / "params.yaml").read_text() == "top: 7\n"
    assert toy.pedigree("recipe", "--save", "mine").returncode == 0
    assert (folder / "mine.yaml").read_text() == "top: 7\n"
    assert "* mine" in toy.pedigree("recipe").stdout
    assert toy.pedigree("recipe", "--save", "two").returncode == 1


def test_doctor_looks_at_everything_and_says_what_to_do(toy: Toy) -> None:
    (toy.root / ".pedigree" / "scratch" / "train").mkdir(parents=True)
    done = toy.pedigree("doctor")
    for name in ("Python", "libraries", "disk", "sandbox", "processor", "git", "DVC", "params.yaml", "workspace"):
        assert name in done.stdout
    assert "half-done work of train" in done.stdout
    assert "Traceback" not in done.stdout


def test_another_python_on_the_path_is_told_in_a_sentence() -> None:
    """What `dvc repro` meets in a shell where the environment is not active."""
    program = "import runpy, sys; sys.path.insert(0, sys.argv[1]); runpy.run_module('components', run_name='__main__')"
    bare = [sys.executable, "-I", "-S", "-c", program, str(ROOT)]
    done = subprocess.run(bare, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert ". .venv/bin/activate" in done.stderr
    assert "Traceback" not in done.stderr
