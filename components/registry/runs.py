"""The run of a training in MLflow, from its first step to its registration.

In: the execution of a training, its params, its numbers as they come, and its history when it is over. Out: one run
per execution, complete and without doubles. In between: a run is found by the tag ``pedigree.execution``; the run
that was opened while the model trained is the one that its registration completes.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.registry.contents import flatten
from components.registry.store import Store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

EXECUTION = "pedigree.execution"
HISTORY = "history.jsonl"
_MOST_PER_BATCH, _MOST_PARAMS_PER_BATCH = 1000, 100
_MOST_CHARACTERS = 6000
_DATASET_DIGEST_CHARACTERS = 36
_FIGURES_IN_NAME = ("width", "num_layers", "num_steps", "seed")


def open_run(client: MlflowClient, store: Store, experiment: str, execution: str, params: Mapping[str, Any]) -> str:
    """The id of the run of a training's ``execution``; it is made where there is none."""
    where = find_experiment(client, store, experiment)
    found = client.search_runs([where], f"tags.`{EXECUTION}` = '{execution}'", max_results=1)
    if found:
        run_id = str(found[0].info.run_id)
        client.update_run(run_id, status="RUNNING")
    else:
        tags = {EXECUTION: execution, **_code_state()}
        run_id = str(client.create_run(where, run_name=run_name(execution, params), tags=tags).info.run_id)
    log_params(client, run_id, flatten(params, "train"))
    return run_id


def find_experiment(client: MlflowClient, store: Store, name: str) -> str:
    """The id of an experiment that can be written; a deleted one is restored, one of a moved folder is set aside."""
    found = client.get_experiment_by_name(name)
    if found and found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    artifacts = str(store.artifacts) if store.artifacts else None
    if found and artifacts and found.artifact_location != artifacts:
        # MLflow notes absolute paths; after the workspace was moved it would go on writing to the old place.
        client.rename_experiment(found.experiment_id, f"{name} (files in {found.artifact_location})")
        found = None
    return str(found.experiment_id if found else client.create_experiment(name, artifact_location=artifacts))


def run_name(execution: str, params: Mapping[str, Any]) -> str:
    """A name that tells runs apart in a list: what shapes the model, then the execution."""
    flat = {key.rpartition(".")[2]: value for key, value in flatten(dict(params), "").items()}
    figures = [f"{name.removeprefix('num_')} {flat[name]}" for name in _FIGURES_IN_NAME if name in flat]
    return ", ".join([*figures, execution[:8]])


def log_params(client: MlflowClient, run_id: str, params: Mapping[str, Any]) -> None:
    """Log the params that the run does not have yet; MLflow refuses to change one."""
    from mlflow.entities import Param

    known = client.get_run(run_id).data.params
    missing = [Param(key, _text(value)) for key, value in sorted(params.items()) if key not in known]
    for batch in _batches(missing, _MOST_PARAMS_PER_BATCH):
        client.log_batch(run_id, params=batch)


def log_tags(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    """Put tags on a run; one that is there already takes the new value."""
    from mlflow.entities import RunTag

    client.log_batch(run_id, tags=[RunTag(key, value) for key, value in sorted(tags.items())])


def metrics_of(step: int, values: Mapping[str, float], milliseconds: int) -> Iterator[Metric]:
    """The numbers of one training step as MLflow's metrics, the name of the stage before each."""
    from mlflow.entities import Metric

    for key, value in values.items():
        yield Metric(f"train/{key}", float(value), milliseconds, step)


class Points:
    """The points that a run has; a point that it has is not logged again, whoever logged it first."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client, self._run_id = client, run_id
        self._steps: dict[str, set[int]] = {}

    def add(self, metrics: Iterable[Metric]) -> None:
        """Log the points that are missing, in as few requests as MLflow allows."""
        log_metrics(self._client, self._run_id, [metric for metric in metrics if self._is_new(metric)])

    def end(self, status: str) -> None:
        """Mark the run as ``FINISHED`` or ``FAILED``."""
        self._client.set_terminated(self._run_id, status)

    def _is_new(self, metric: Metric) -> bool:
        if metric.key not in self._steps:
            known = self._client.get_metric_history(self._run_id, metric.key)
            self._steps[metric.key] = {point.step for point in known}
        is_new = metric.step not in self._steps[metric.key]
        self._steps[metric.key].add(metric.step)
        return is_new


def read_history(model: Path) -> Iterator[Metric]:
    """The points of a training's history file, as of now."""
    at = now()
    for line in (model / HISTORY).read_text(encoding="utf-8").splitlines():
        values = json.loads(line)
        yield from metrics_of(int(values.pop("step")), values, at)


def log_metrics(client: MlflowClient, run_id: str, metrics: list[Metric]) -> None:
    """Log metrics in as few requests as MLflow allows."""
    for batch in _batches(metrics, _MOST_PER_BATCH):
        client.log_batch(run_id, metrics=batch)


def log_figures(client: MlflowClient, run_id: str, figures: Mapping[str, float]) -> None:
    """Log figures as of now, each time anew: of those that are measured again, the run keeps all."""
    from mlflow.entities import Metric

    log_metrics(client, run_id, [Metric(key, value, now(), 0) for key, value in figures.items()])


def log_results(
    client: MlflowClient, run_id: str, results: Mapping[str, float], dataset: tuple[str, str], model_id: str
) -> None:
    """Log final figures against the data they were measured on and the model they belong to, once."""
    from mlflow.entities import Metric

    known = client.get_run(run_id).data.metrics
    name, digest = dataset
    new = [
        Metric(key, float(value), now(), 0, model_id, name, digest[:_DATASET_DIGEST_CHARACTERS])
        for key, value in sorted(results.items())
        if known.get(key) != float(value)
    ]
    log_metrics(client, run_id, new)


def link_datasets(client: MlflowClient, run_id: str, datasets: Mapping[str, tuple[str, str]]) -> None:
    """Link data to the run: ``datasets`` maps a context ("training") to a name and a digest."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    for context, (name, digest) in datasets.items():
        source = json.dumps({"sha256": digest})
        dataset = Dataset(name, digest[:_DATASET_DIGEST_CHARACTERS], "pedigree", source)
        client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])


def now() -> int:
    """Milliseconds since 1970, as MLflow counts."""
    return int(time.time() * 1000)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text[:_MOST_CHARACTERS]


def _batches(items: list[Any], size: int) -> Iterator[list[Any]]:
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]


def _code_state() -> dict[str, str]:
    """The commit of the workspace and whether it was changed since, where git can tell."""
    commit, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--untracked-files=no")
    if not commit:
        return {}
    return {"mlflow.source.git.commit": commit, "pedigree.dirty": json.dumps(bool(changes))}


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
