"""The stages ``register`` and ``promote``: a model becomes a version, and the better version becomes champion.

In: a trained model, its tokenizer and its evaluation. Out: a version in the registry with the alias ``challenger``,
then perhaps ``champion``. In between: what counts is the registry as it is now, not what an earlier run did; so
every run of the chain takes a quick look, and both do only what is missing.

``version.json`` names the version, registered or judged, by digest. It holds no number and no address: those differ
between registries.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from components.core.errors import InputError, RegistryError
from components.core.files import digest_of, read_json, write_json
from components.core.records import REPORT, artifact_digest, verify
from components.core.stage import Report
from components.provenance.place import find_prepared, is_attested
from components.registry.config import PromoteConfig, RegisterConfig
from components.registry.contents import Contents
from components.registry.look import (
    CHALLENGER,
    CHAMPION,
    EVALUATION,
    GATE,
    VERDICT,
    Version,
    look,
    with_alias,
    with_digest,
)  # fmt: skip
from components.registry.store import Store, connect, explained, find_store

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from components.registry.gate import Scores, Verdict

VERSION_FILE = "version.json"


def register(config: RegisterConfig, *, model: Path, tokenizer: Path, evaluation: Path, output: Path) -> Report:
    """Make sure that the registry holds this model, and that the alias ``challenger`` or ``champion`` names it.

    Raises RegistryError when the registry is out of reach.
    """
    store, contents = find_store(), Contents(model, tokenizer, evaluation)
    with explained(store):
        version = _register(connect(store), store, config.name, contents)
    print(f"{version.name} version {version.number} ({', '.join(version.aliases)}): {version.digest[:16]}")
    write_json(output / VERSION_FILE, _identity(config, contents))
    return Report()


def is_registered(config: RegisterConfig, *, model: Path, tokenizer: Path, evaluation: Path, output: Path) -> bool:
    """Whether ``register`` would change nothing; quick, and False whenever it cannot tell."""
    contents = Contents(model, tokenizer, evaluation)
    try:
        verify(output)
        is_written = read_json(output / VERSION_FILE) == _identity(config, contents)
    except (InputError, OSError):
        return False
    version = with_digest(look(find_store(), config.name) or [], contents.digest)
    if not is_written or version is None or not {CHALLENGER, CHAMPION} & set(version.aliases):
        return False
    return version.folder is None or (contents.is_present_in(version.folder) and is_attested(version.folder))


def promote(config: PromoteConfig, *, registration: Path, evaluation: Path, output: Path) -> Report:
    """Point the alias ``champion`` at the registered version when it is better than the champion.

    The first champion only has to score better than a model that has learned nothing (``gate.judge_first``).
    Raises GateError for scores that are missing or not finite, RegistryError when the champion's files are not
    what was registered: then nothing is promoted.
    """
    from components.registry.gate import read_scores

    store, scores = find_store(), read_scores(evaluation)
    with explained(store):
        _promote(connect(store), config, registration, artifact_digest(evaluation), scores)
    write_json(output / VERSION_FILE, read_json(registration / VERSION_FILE))
    return Report()


def is_promoted(config: PromoteConfig, *, registration: Path, evaluation: Path, output: Path) -> bool:
    """Whether ``promote`` would change nothing: this is the champion, or it was judged against it by this rule."""
    try:
        verify(output)
        name, digest = _read_identity(registration)
        is_written = (name, digest) == _read_identity(output)
    except (InputError, OSError):
        return False
    versions = look(find_store(), name) or []
    version, champion = with_digest(versions, digest), with_alias(versions, CHAMPION)
    if not is_written or version is None or champion is None:
        return False
    if champion.digest == digest:
        return True
    return version.tags.get(GATE) == _gate(config, champion, artifact_digest(evaluation))


def _register(client: MlflowClient, store: Store, name: str, contents: Contents) -> Version:
    from components.registry import runs, versions

    training = contents.records["model"]
    run_id = runs.open_run(client, store, name, training.execution, training.params)
    # What evaluates a model may change without a new training, and MLflow never changes a param of a run.
    runs.log_params(client, run_id, {k: v for k, v in contents.params.items() if not k.startswith("evaluate.")})
    runs.Points(client, run_id).add(runs.read_history(contents.model))
    version = versions.put(client, name, run_id, contents, find_prepared(contents.digest))
    _log_results(client, run_id, contents, version)
    client.set_terminated(run_id, "FINISHED")
    return version if CHAMPION in version.aliases else versions.point(client, CHALLENGER, version)


def _log_results(client: MlflowClient, run_id: str, contents: Contents, version: Version) -> None:
    """Final figures, against the documents they were measured on and the files they belong to."""
    from components.registry import runs
    from components.registry.gate import read_scores

    held_out = ("held-out documents", read_scores(contents.evaluation).evaluation_set)
    tokens = ("training tokens", contents.records["model"].inputs["tokens"])
    runs.link_datasets(client, run_id, {"training": tokens, "evaluation": held_out})
    report = read_json(contents.evaluation / REPORT)
    results = {f"evaluate/{key}": value for key, value in report.items() if isinstance(value, int | float)}
    runs.log_results(client, run_id, results, held_out, version.model_id)


def _promote(client: MlflowClient, config: PromoteConfig, registration: Path, evaluation: str, scores: Scores) -> None:
    from components.registry.versions import list_versions, point

    name, digest = _read_identity(registration)
    versions = list_versions(client, name)
    version, champion = with_digest(versions, digest), with_alias(versions, CHAMPION)
    if version is None:
        raise _not_registered(name, digest)
    if champion is not None and champion.digest == digest:
        print(f"{name} version {champion.number} is champion already")
        return
    _check_evaluation(version, evaluation)
    verdict = _judge(config, scores, champion)
    rival = f"version {champion.number}" if champion else "nobody"
    print(f"{name} version {version.number} against {rival}: {verdict}")
    if verdict.outcome == "promote":
        point(client, CHAMPION, version)
    # The tags come last: they say that the verdict was carried out.
    client.set_model_version_tag(name, str(version.number), VERDICT, f"{verdict.outcome}: {verdict.reason}")
    client.set_model_version_tag(name, str(version.number), GATE, _gate(config, champion, evaluation))


def _judge(config: PromoteConfig, scores: Scores, champion: Version | None) -> Verdict:
    from components.registry import gate
    from components.registry.versions import fetch

    if champion is None:
        return gate.judge_first(scores)
    with tempfile.TemporaryDirectory() as scratch:
        contents = Contents.below(fetch(champion, Path(scratch)))
        contents.check(champion.digest, f"champion {champion.name} version {champion.number}")
        return gate.judge(scores, gate.read_scores(contents.evaluation), config)


def _identity(config: RegisterConfig, contents: Contents) -> dict[str, str]:
    return {"name": config.name, "digest": contents.digest}


def _read_identity(registration: Path) -> tuple[str, str]:
    found = read_json(registration / VERSION_FILE)
    return str(found["name"]), str(found["digest"])


def _gate(config: PromoteConfig, champion: Version | None, evaluation: str) -> str:
    rule = {"params": config.model_dump(mode="json"), "evaluation": evaluation}
    return digest_of({**rule, "champion": champion.digest if champion else ""})


def _check_evaluation(version: Version, evaluation: str) -> None:
    if version.tags.get(EVALUATION) != evaluation:
        raise RegistryError(
            f"{version.name} version {version.number}", found=f"an evaluation of digest {version.tags.get(EVALUATION)}",
            expected=evaluation, fix="run `pedigree run`, which registers what was evaluated",
        )  # fmt: skip


def _not_registered(name: str, digest: str) -> RegistryError:
    fix = "run `pedigree run`: register puts it there"
    return RegistryError(f"model registry, {name}", found=f"no complete version of digest {digest}",
                         expected="the version that register made", fix=fix)  # fmt: skip
