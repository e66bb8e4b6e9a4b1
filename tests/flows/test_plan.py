"""The plan names the stages that would run and the change that is the reason."""

import pytest

from components.core.errors import PedigreeError, WorkspaceError
from flows.graph import Node
from flows.plan import Plan, _differing_parts, make_plan
from tests.flows.toys import Toy


@pytest.fixture
def built(project: Toy) -> Toy:
    done = project.dvc("repro")
    assert done.returncode == 0, done.stdout
    return project


def told(plan: Plan) -> str:
    return "\n".join(plan.lines())


def test_stages_come_in_the_order_of_dvc_repro(project: Toy) -> None:
    assert list(make_plan().nodes) == ["top", "left", "right", "bottom"]
    assert list(make_plan(["left"]).nodes) == ["top", "left"]


def test_meta_description_and_upstream_are_read(project: Toy) -> None:
    nodes = make_plan().nodes
    assert (nodes["top"].timeout_seconds, nodes["top"].retries) == (60.0, 0)
    assert nodes["bottom"].description == "The end."
    assert nodes["bottom"].upstream == ("left", "right")


def test_foreach_stages_go_by_their_full_names(project: Toy) -> None:
    project.write("dvc.yaml", "stages: {each: {foreach: [a, b], do: {cmd: 'true', outs: ['${item}.txt']}}}\n")
    assert list(make_plan().nodes) == ["each@a", "each@b"]


def test_what_never_ran_would_run(project: Toy) -> None:
    plan = make_plan()
    assert all(plan.reasons[name] == ["has not run yet"] for name in plan.nodes)


def test_nothing_changed_is_an_empty_plan(built: Toy) -> None:
    assert make_plan().is_empty


def test_a_changed_value_is_named_with_old_and_new(built: Toy) -> None:
    built.write("params.yaml", "top: 2  # a comment\nother: 3\n")
    plan = make_plan()
    assert plan.reasons == {"top": ["params.yaml: top 1 → 2"]}
    assert "bottom" in told(plan)


def test_a_comment_in_the_values_is_no_reason(built: Toy) -> None:
    built.write("params.yaml", "# told\ntop: 1\n")
    assert make_plan().is_empty


def test_a_changed_and_a_missing_file_are_named(built: Toy) -> None:
    (built.root / "left.txt").unlink()
    built.write("right.txt", "other\n")
    assert make_plan().reasons == {
        "left": ["output left.txt is missing"],
        "right": ["output right.txt changed"],
        "bottom": ["left.txt is missing", "right.txt changed"],
    }


def test_a_changed_command_is_a_reason(built: Toy) -> None:
    text = (built.root / "dvc.yaml").read_text()
    built.write("dvc.yaml", text.replace("make.py bottom left right", "make.py bottom right left"))
    assert make_plan().reasons == {"bottom": ["its command changed"]}


def test_targets_leave_out_what_they_do_not_need(built: Toy) -> None:
    (built.root / "right.txt").unlink()
    assert make_plan(["left"]).is_empty


def test_an_unknown_target_is_told_with_the_nearest_name(project: Toy) -> None:
    with pytest.raises(PedigreeError, match="did you mean 'bottom'"):
        make_plan(["botom"])


def test_a_graph_that_cannot_be_read_is_told_in_one_sentence(project: Toy) -> None:
    project.write("dvc.yaml", "stages: [\n")
    with pytest.raises(WorkspaceError, match=r"dvc\.yaml"):
        make_plan()


def test_a_stage_that_always_runs_and_cannot_be_looked_at_would_run(project: Toy) -> None:
    project.write("dvc.yaml", "stages: {each: {cmd: python make.py each, always_changed: true, outs: [each.txt]}}\n")
    assert project.dvc("repro").returncode == 0
    assert not make_plan().is_empty


def test_what_follows_new_fingerprints_runs_only_when_its_own_changed() -> None:
    first = Node("fingerprint", "", "python -m components fingerprint --output f", (), ("f",), True, 1, 0)
    upstream = {"pack": ("fingerprint",), "train": ("fingerprint", "pack"), "score": ("fingerprint",)}
    others = [Node(name, "", "true", before, (), False, 1, 0) for name, before in upstream.items()]
    nodes = {node.name: node for node in (first, *others)}
    plan = Plan(nodes, {"fingerprint": ["the code of pack changed"], "pack": ["its code changed"]})
    assert plan.to_run == ("fingerprint", "pack", "train")
    assert list(plan.lines())[-1] == "  train        if pack turns out different"


def test_the_parts_in_which_two_fingerprints_differ_are_named() -> None:
    before = {"python": "3.11.7", "modules": {"a": "1", "b": "2"}, "libraries": {"numpy": "2.4.0"}, "digest": "x"}
    now = {"python": "3.11.8", "modules": {"a": "9", "c": "3"}, "libraries": {"numpy": "2.4.1"}, "digest": "y"}
    assert list(_differing_parts(before, now)) == [
        "numpy 2.4.0 → 2.4.1", "a changed", "b removed", "c added", "python 3.11.7 → 3.11.8",
    ]  # fmt: skip
