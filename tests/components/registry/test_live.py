"""Live metrics: they arrive while a model trains, never twice, and a registry that is away harms nobody."""

import time

import pytest

from components.registry import LiveRun, live, store
from components.registry.runs import EXECUTION, flatten
from tests.components.registry.test_registry import check_complete, client, registered, runs
from tests.components.registry.world import NUM_STEPS, make_world

HISTORY = [(step, {"loss": 3 / step, "learning_rate": 1e-3}) for step in range(1, NUM_STEPS + 1)]


@pytest.fixture
def inputs(workspace, quick_code):
    return make_world(workspace / "world")


def open_run(inputs):
    from components.core.records import read_record

    record = read_record(inputs["model"])
    return LiveRun(store.find_store(), "tiny", record.execution, record.params)


def losses():
    points = [point for run in runs() for point in client().get_metric_history(run.info.run_id, "train/loss")]
    return sorted(point.step for point in points)


def wait_for(look, expected):
    end = time.monotonic() + 20
    while look() != expected and time.monotonic() < end:
        time.sleep(0.1)
    assert look() == expected


def test_points_arrive_while_it_trains_and_register_completes_the_same_run(inputs, workspace):
    run = open_run(inputs)
    for step, values in HISTORY[:10]:
        run(step, values)
    wait_for(losses, list(range(1, 11)))
    run.close()
    assert runs()[0].info.status == "FINISHED"
    registered(workspace / "data/register", inputs)
    check_complete(inputs, workspace / "data/register")


def test_a_training_that_starts_over_continues_its_run_without_doubles(inputs):
    for num_steps in (10, 20):
        run = open_run(inputs)
        for step, values in HISTORY[:num_steps]:
            run(step, values)
        run.close(succeeded=False)
    assert losses() == list(range(1, 21))
    assert runs()[0].info.status == "FAILED"
    assert EXECUTION in runs()[0].data.tags


def test_a_registry_that_is_away_is_told_once_and_holds_nobody_up(workspace, monkeypatch, capsys):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    run, begin = live.open_live_run("e" * 64, {"seed": 1}, "tiny"), time.monotonic()
    for step, values in HISTORY * 100:
        run(step, values)
    assert time.monotonic() - begin < 5
    run.close()
    told = capsys.readouterr().err
    assert told.count("live metrics do not reach") == 1
    assert "http://127.0.0.1:9" in told


def test_a_registry_that_is_slow_is_waited_for_a_bounded_time(workspace, monkeypatch, capsys):
    monkeypatch.setattr(live, "_SECONDS_TO_CLOSE", 0.2)
    monkeypatch.setattr(live, "make_client", lambda _store: time.sleep(5))
    run, begin = live.open_live_run("e" * 64, {}, "tiny"), time.monotonic()
    run.close()
    assert time.monotonic() - begin < 2
    assert "no answer within" in capsys.readouterr().err


def test_nested_params_become_flat():
    assert flatten({"seed": 1, "model": {"width": 2}}, "train") == {"train.seed": 1, "train.model.width": 2}
