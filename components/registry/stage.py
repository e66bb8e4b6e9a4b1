"""The stages ``register`` and ``promote``: a model becomes a version, and the better version becomes champion.

In: a trained model, its tokenizer and its evaluation. Out: a version in the registry with the alias ``challenger``,
then perhaps ``champion``. In between: what counts is the registry as it is now, not what an earlier run did; so
every run of the chain takes a quick look, and both do only what is missing.

``version.json`` names the version, registered or judged, by digest. It holds no number and no address: those differ
between registries.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from components.core.errors import InputError, PedigreeError, RegistryError
from components.core.files import read_json, write_json
from components.core.records import REPORT, artifact_digest, verify
from components.core.stage import Report
from components.provenance.place import find_prepared, is_attested
from components.registry.config import PromoteConfig, RegisterConfig
from components.registry.contents import Contents
from components.registry.look import (
    CHALLENGER,
    CHAMPION,
    EVALUATION,
    Version,
    alias_of,
    look,
    subject_of,
    with_alias,
    with_digest,
)  # fmt: skip
from components.registry.store import Store, connect, explained, find_store

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from components.registry.ledger import Entry
    from components.registry.promotion import Candidate, Registry

VERSION_FILE = "version.json"
# What the held-out documents of every evaluation are scored in.
HEADLINE = "bits_per_byte"
# What may change without a new training.
_MADE_LATER = ("evaluate.", "finetune/", "assess/")


def register(
    config: RegisterConfig, *, model: Path, tokenizer: Path, evaluation: Path, finetuned: Path, assessments: Path,
    output: Path,
) -> Report:  # fmt: skip
    """Make sure that the registry holds this model, and that the alias ``challenger`` or ``champion`` names it.

    Raises RegistryError when the registry is out of reach.
    """
    store, contents = find_store(), Contents(model, tokenizer, evaluation, finetuned, assessments)
    with explained(store):
        version = _register(connect(store), store, config.name, contents)
    print(f"{version.name} version {version.number} ({', '.join(version.aliases)}): {version.digest[:16]}")
    write_json(output / VERSION_FILE, _identity(config, contents))
    return Report()


def is_registered(
    config: RegisterConfig, *, model: Path, tokenizer: Path, evaluation: Path, finetuned: Path, assessments: Path,
    output: Path,
) -> bool:  # fmt: skip
    """Whether ``register`` would change nothing; quick, and False whenever it cannot tell."""
    contents = Contents(model, tokenizer, evaluation, finetuned, assessments)
    try:
        verify(output)
        is_written = read_json(output / VERSION_FILE) == _identity(config, contents)
    except (InputError, OSError):
        return False
    version = with_digest(look(find_store(), config.name) or [], contents.digest)
    if not is_written or version is None or not {CHALLENGER, CHAMPION} & set(version.aliases):
        return False
    return version.folder is None or (contents.is_present_in(version.folder) and is_attested(version.folder))


def promote(config: PromoteConfig, *, registration: Path, evaluation: Path, assessments: Path, output: Path) -> Report:
    """Point the alias ``champion`` at the registered version when it is better than the champion; then, by rules and
    scores of their own, ``champion-NAME`` of each application that has one.

    Raises GateError for scores that are missing or not finite, RegistryError when the champion's files are not
    what was registered or the ledger was changed: then nothing is promoted.
    """
    from components.registry import promotion

    store, (name, digest) = find_store(), _read_identity(registration)
    with explained(store):
        registry = promotion.Registry(connect(store), store, name)
        _check_evaluation(registry, digest, artifact_digest(evaluation))
        for application, candidate in _candidates(config, digest, evaluation, assessments):
            entry = promotion.promote(replace(registry, application=application), candidate)
            _tell(subject_of(name, application), entry, candidate)
    write_json(output / VERSION_FILE, read_json(registration / VERSION_FILE))
    return Report()


def is_promoted(
    config: PromoteConfig, *, registration: Path, evaluation: Path, assessments: Path, output: Path
) -> bool:
    """Whether ``promote`` would change nothing: the ledgers answer for this version, and the aliases say the same."""
    try:
        verify(output)
        name, digest = _read_identity(registration)
        is_written = (name, digest) == _read_identity(output)
        found, candidates = look(find_store(), name) or [], _candidates(config, digest, evaluation, assessments)
        is_shown = all(_is_shown(name, found, *one) for one in candidates)
    except (PedigreeError, OSError):
        return False
    return is_written and is_shown and with_digest(found, digest) is not None


def _is_shown(name: str, found: list[Version], application: str, candidate: Candidate) -> bool:
    from components.registry.access import read_ledger_quickly
    from components.registry.promotion import settled

    known, champion = read_ledger_quickly(name, application), with_alias(found, alias_of(application))
    return settled(known, candidate) is not None and known.champion_digest == (champion.digest if champion else "")


def _candidates(
    config: PromoteConfig, digest: str, evaluation: Path, assessments: Path
) -> Iterator[tuple[str, Candidate]]:
    """What the version wants to be champion of, '' first; an application that was not assessed has no scores."""
    from components.registry.comparison import read_metrics
    from components.registry.promotion import Candidate

    yield "", Candidate(digest, read_metrics(evaluation), config)
    for application in config.applications:
        folder = assessments / application
        scores = read_metrics(folder) if folder.is_dir() else {}
        yield application, Candidate(digest, scores, config.of(application))


def _register(client: MlflowClient, store: Store, name: str, contents: Contents) -> Version:
    from components.registry import runs, versions

    training = contents.records["model"]
    run_id = runs.open_run(client, store, name, training.execution, training.params)
    # MLflow never changes a param of a run, which is that of the training.
    runs.log_params(client, run_id, {k: v for k, v in contents.params.items() if not k.startswith(_MADE_LATER)})
    runs.Points(client, run_id).add(runs.read_history(contents.model))
    provenance = find_prepared(contents.digest)
    runs.log_tags(client, run_id, {**versions.tags_of(contents), **versions.tags_of_origin(provenance)})
    version = versions.put(client, name, run_id, contents, provenance, store.objects)
    _log_results(client, run_id, contents, version)
    client.set_terminated(run_id, "FINISHED")
    return version if CHAMPION in version.aliases else versions.point(client, CHALLENGER, version)


def _log_results(client: MlflowClient, run_id: str, contents: Contents, version: Version) -> None:
    """Final figures, of the model and of each application, against what they were measured on and the files."""
    from components.registry import runs

    tokens = ("training tokens", contents.records["model"].inputs["tokens"])
    runs.link_datasets(client, run_id, {"training": tokens})
    for prefix, context, folder, dataset in _measured(contents):
        report = read_json(folder / REPORT)
        results = {f"{prefix}/{key}": value for key, value in report.items() if isinstance(value, int | float)}
        runs.link_datasets(client, run_id, {context: dataset})
        runs.log_results(client, run_id, results, dataset, version.model_id)


def _measured(contents: Contents) -> Iterator[tuple[str, str, Path, tuple[str, str]]]:
    """Of each report its figures' prefix, its context, its folder, and name and digest of what was measured on."""
    from components.registry.comparison import read_metrics

    held_out = ("held-out documents", read_metrics(contents.evaluation)[HEADLINE].identity)
    yield "evaluate", "evaluation", contents.evaluation, held_out
    for part, folder in contents.folders.items():
        kind, _, name = part.partition("/")
        if kind == "assessments":
            examples = (f"test examples of {name}", next(iter(read_metrics(folder).values())).identity)
            yield f"assess/{name}", f"assessment of {name}", folder, examples


def _identity(config: RegisterConfig, contents: Contents) -> dict[str, str]:
    return {"name": config.name, "digest": contents.digest}


def _read_identity(registration: Path) -> tuple[str, str]:
    found = read_json(registration / VERSION_FILE)
    return str(found["name"]), str(found["digest"])


def _tell(name: str, entry: Entry, candidate: Candidate) -> None:
    """Why it was decided so, on the screen."""
    about = "" if entry.version == candidate.digest else f", about {entry.version[:16]}"
    print(f"{name} {candidate.digest[:16]}: {entry.kind} (ledger entry {entry.number}{about})")
    for line in entry.evidence.get("lines", [])[1:]:
        print(f"  {line}")


def _check_evaluation(registry: Registry, digest: str, evaluation: str) -> None:
    from components.registry.promotion import not_registered

    version = with_digest(registry.versions(), digest)
    if version is None:
        raise not_registered(registry.name, digest)
    if version.tags.get(EVALUATION) != evaluation:
        raise RegistryError(
            f"{version.name} version {version.number}", found=f"an evaluation of digest {version.tags.get(EVALUATION)}",
            expected=evaluation, fix="run `pedigree run`, which registers what was evaluated",
        )  # fmt: skip
