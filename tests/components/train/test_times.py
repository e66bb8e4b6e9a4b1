"""The numbers of a run stand in a file of the workspace, whatever becomes of the run."""

import json

from components.train.times import Times, read_times

PHASES = ("data", "step", "validation", "checkpoint", "rest")


def tell(times, *steps):
    for step in steps:
        times(step, {"tokens_per_second": 1000.0 + step, "share_of_peak": 0.5} | {f"seconds_{p}": 0.25 for p in PHASES})


def steps_in(folder):
    return [line["step"] for line in read_times(folder / "train.jsonl")]


def test_a_line_is_there_as_soon_as_it_is_told_and_the_page_when_the_run_ends(tmp_path):
    times = Times("train", "a" * 64, tmp_path)
    tell(times, 1, 2)
    assert steps_in(tmp_path) == [1, 2]
    assert json.loads((tmp_path / "train.jsonl").read_text().splitlines()[0]) == {"execution": "a" * 64}
    times.close(succeeded=False)
    page = (tmp_path / "train.html").read_text()
    assert "matrix products, at the peak" in page
    assert "so far" in page
    assert "src=" not in page


def test_what_goes_on_goes_on_with_its_file_and_what_begins_or_is_other_work_begins_another(tmp_path):
    for execution, steps, found in (("a", (1, 2), [1, 2]), ("a", (3,), [1, 2, 3]), ("b", (3, 4), [3, 4]),
                                    ("b", (1,), [1])):  # fmt: skip
        times = Times("train", execution, tmp_path)
        tell(times, *steps)
        times.close(succeeded=True)
        assert steps_in(tmp_path) == found


def test_a_run_that_took_no_step_leaves_what_was_there(tmp_path):
    Times("train", "a", tmp_path).close(succeeded=False)
    assert list(tmp_path.iterdir()) == []


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
    tell(Times("train", "a", tmp_path), 1, 2)
    path = tmp_path / "train.jsonl"
    path.write_text(path.read_text()[:-5])
    assert steps_in(tmp_path) == [1]
