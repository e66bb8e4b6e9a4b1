"""Files, records, params and the lock: small worlds, real files, real processes."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import Field

from components.core import files, params
from components.core.errors import InputError, ParamsError, StageError, WorkspaceError
from components.core.lock import hold_workspace, holder
from components.core.records import Record, artifact_digest, describe_files, verify
from components.core.stage import Books, Config, Report, Stage


class ToyConfig(Config):
    """Values of a stage that only these tests know."""

    size_tokens: int = Field(ge=1)
    name: str = "a"
    rates: tuple[float, ...] = ()


def toy(config: ToyConfig, *, corpus: Path, output: Path) -> Report:
    """Never called: only its signature matters here."""
    raise NotImplementedError


TOY = Stage("toy@one", ToyConfig, toy)


def write_params(folder: Path, text: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(text)
    return path


def test_a_stage_reads_its_inputs_off_the_signature() -> None:
    assert TOY.inputs == ("corpus",)
    assert TOY.section == "toy.one"
    assert not TOY.is_live


def test_params_are_read_as_yaml_1_2_like_dvc_reads_them(tmp_path: Path) -> None:
    path = write_params(tmp_path, "toy: {one: {size_tokens: 3, rates: [1e-3, 2], name: no}}\n")
    config = params.section(params.load(path), TOY, path)
    assert config == ToyConfig(size_tokens=3, rates=(0.001, 2.0), name="no")


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ("toy: {one: {size_tokens: ten}}", "toy.one.size_tokens", '"ten"'),
        ("toy: {one: {size_tokens: 2.5}}", "toy.one.size_tokens", "2.5"),
        ("toy: {one: {size_tokens: 0}}", "toy.one.size_tokens", "greater than or equal to 1"),
        ("toy: {one: {size_tokenz: 3}}", "toy.one.size_tokenz", "did you mean 'size_tokens'?"),
        ("toy: {one: {}}", "toy.one.size_tokens", "nothing"),
        ("toy: {one: {size_tokens: .nan}}", "toy.one", "not JSON compliant"),
        ("toy: {}", "toy.one", "no such section"),
        ("[1]", "params.yaml", "list"),
        ("toy: {one: [", "params.yaml", "line 1"),
        ("a: 1\na: 2", "params.yaml", "duplicate"),
    ],
)
def test_a_wrong_value_is_told_with_its_place(tmp_path: Path, text: str, where: str, said: str) -> None:
    path = write_params(tmp_path, text)
    with pytest.raises(ParamsError) as caught:
        params.section(params.load(path), TOY, path)
    assert where in str(caught.value)
    assert said in str(caught.value)
    assert "params.yaml" in str(caught.value)


def test_an_unknown_section_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    path = write_params(tmp_path, "toy: {one: {size_tokens: 3}, oen: {}}")
    with pytest.raises(ParamsError, match=r"toy\.oen"):
        params.check_all(params.load(path), [TOY], path=path)
    path = write_params(tmp_path, "toy: {one: {size_tokens: 3}}\ntoi: {}")
    with pytest.raises(ParamsError, match="did you mean 'toy'"):
        params.check_all(params.load(path), [TOY], path=path)


def test_only_a_family_may_be_empty(tmp_path: Path) -> None:
    path = write_params(tmp_path, "toy: {one: {size_tokens: 3}}\ntasks: {}")
    params.check_all(params.load(path), [TOY], ["tasks"], path)
    with pytest.raises(ParamsError, match="tasks"):
        params.check_all(params.load(path), [TOY], path=path)


def test_books_that_do_not_balance_are_refused() -> None:
    Books(10, 7, {"short": 2, "copy": 1}).check("toy")
    with pytest.raises(StageError, match="10 received, 7 kept, 2 dropped"):
        Books(10, 7, {"short": 2}).check("toy")


def test_a_file_is_replaced_whole_and_leaves_no_scratch(tmp_path: Path) -> None:
    path = tmp_path / "a" / "value.json"
    files.write_json(path, {"b": 1, "a": "é"})
    assert path.read_bytes() == '{\n  "a": "é",\n  "b": 1\n}\n'.encode()
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(path, float("nan"))
    assert list(path.parent.iterdir()) == [path]


def make_artifact(folder: Path) -> Path:
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.bin").write_bytes(b"abc")
    (folder / "b.txt").write_text("b")
    entries = describe_files(folder)
    Record(stage="toy", execution="e", fingerprint="f", params={"x": 1}, inputs={}, files=entries).save(folder)
    return folder


def test_an_artifact_is_what_its_record_says(tmp_path: Path) -> None:
    folder = make_artifact(tmp_path / "art")
    assert sorted(verify(folder).files) == ["b.txt", "deep/a.bin"]
    assert artifact_digest(folder) == files.sha256_file(folder / "record.json")


@pytest.mark.parametrize("fault", ["flip", "truncate", "extra", "missing", "rename", "record gone", "record junk"])
def test_a_damaged_artifact_is_refused_with_the_file_named(tmp_path: Path, fault: str) -> None:
    folder = make_artifact(tmp_path / "art")
    target = folder / "deep" / "a.bin"
    match fault:
        case "flip":
            target.write_bytes(b"abd")
        case "truncate":
            target.write_bytes(b"ab")
        case "extra":
            (folder / "deep" / "c.bin").write_bytes(b"")
        case "missing":
            target.unlink()
        case "rename":
            target.rename(folder / "deep" / "z.bin")
        case "record gone":
            (folder / "record.json").unlink()
        case "record junk":
            (folder / "record.json").write_text('{"stage": 3}')
    with pytest.raises(InputError, match="record" if "record" in fault else "deep/"):
        verify(folder)


def test_a_second_driver_is_told_who_holds_the_workspace(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from components.core.lock import hold_workspace\n"
        "with hold_workspace('x', pathlib.Path(sys.argv[1])): pass"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with hold_workspace("pedigree run", tmp_path):
        other = subprocess.run(command, env={"PATH": "/usr/bin"}, capture_output=True, text=True, check=False)
        assert "held by `pedigree run`" in other.stderr
        assert subprocess.run(command, check=False).returncode == 0, "a process that the holder started is let in"
        assert holder(tmp_path) is not None
    assert holder(tmp_path) is None
    subprocess.run(command, env={"PATH": "/usr/bin"}, check=True)


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib, signal; from components.core.lock import hold_workspace\n"
        "with hold_workspace('x', pathlib.Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -9
    with hold_workspace("y", tmp_path):
        assert holder(tmp_path) is not None


def test_a_stage_whose_driver_was_killed_does_not_hold_the_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEDIGREE_HOLDER", "12345")  # as in the environment of what a driver starts
    with pytest.raises(WorkspaceError, match="it was killed"), hold_workspace("stage train", tmp_path):
        pass
    assert holder(tmp_path) is None


def test_the_workspace_error_has_its_exit_code() -> None:
    assert WorkspaceError.exit_code == 5
