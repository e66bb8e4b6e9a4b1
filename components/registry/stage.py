"""The stages ``register`` and ``promote``: a model becomes a version, and the better version becomes champion.

In: a trained model, its tokenizer and its evaluation. Out: a version in the registry with the alias ``challenger``,
then perhaps ``champion``. In between: what counts is the registry as it is now, not what an earlier run did; so
every run of the chain takes a quick look, and both do only what is missing.

``version.json`` names the version, registered or judged, by digest. It holds no number and no address: those differ
between registries.
"""

from __future__ import annotations

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
    look,
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

    Raises GateError for scores that are missing or not finite, RegistryError when the champion's files are not
    what was registered or the ledger was changed: then nothing is promoted.
    """
    from components.registry import promotion
    from components.registry.comparison import read_metrics

    store, (name, digest) = find_store(), _read_identity(registration)
    candidate = promotion.Candidate(digest, read_metrics(evaluation), config)
    with explained(store):
        registry = promotion.Registry(connect(store), store, name)
        _check_evaluation(registry, digest, artifact_digest(evaluation))
        _tell(name, promotion.promote(registry, candidate), candidate)
    write_json(output / VERSION_FILE, read_json(registration / VERSION_FILE))
    return Report()


def is_promoted(config: PromoteConfig, *, registration: Path, evaluation: Path, output: Path) -> bool:
    """Whether ``promote`` would change nothing: the ledger answers for this version, and the alias says the same."""
    from components.registry.access import read_ledger_quickly
    from components.registry.comparison import read_metrics
    from components.registry.promotion import Candidate, settled

    try:
        verify(output)
        name, digest = _read_identity(registration)
        is_written = (name, digest) == _read_identity(output)
        known, found = read_ledger_quickly(name), look(find_store(), name) or []
        settles = settled(known, Candidate(digest, read_metrics(evaluation), config))
    except (PedigreeError, OSError):
        return False
    champion = with_alias(found, CHAMPION)
    is_shown = known.champion_digest == (champion.digest if champion else "")
    return is_written and is_shown and settles is not None and with_digest(found, digest) is not None


def _register(client: MlflowClient, store: Store, name: str, contents: Contents) -> Version:
    from components.registry import runs, versions

    training = contents.records["model"]
    run_id = runs.open_run(client, store, name, training.execution, training.params)
    # What evaluates a model may change without a new training, and MLflow never changes a param of a run.
    runs.log_params(client, run_id, {k: v for k, v in contents.params.items() if not k.startswith("evaluate.")})
    runs.Points(client, run_id).add(runs.read_history(contents.model))
    provenance = find_prepared(contents.digest)
    runs.log_tags(client, run_id, {**versions.tags_of(contents), **versions.tags_of_origin(provenance)})
    version = versions.put(client, name, run_id, contents, provenance, store.objects)
    _log_results(client, run_id, contents, version)
    client.set_terminated(run_id, "FINISHED")
    return version if CHAMPION in version.aliases else versions.point(client, CHALLENGER, version)


def _log_results(client: MlflowClient, run_id: str, contents: Contents, version: Version) -> None:
    """Final figures, against the documents they were measured on and the files they belong to."""
    from components.registry import runs
    from components.registry.comparison import read_metrics

    held_out = ("held-out documents", read_metrics(contents.evaluation)[HEADLINE].identity)
    tokens = ("training tokens", contents.records["model"].inputs["tokens"])
    runs.link_datasets(client, run_id, {"training": tokens, "evaluation": held_out})
    report = read_json(contents.evaluation / REPORT)
    results = {f"evaluate/{key}": value for key, value in report.items() if isinstance(value, int | float)}
    runs.log_results(client, run_id, results, held_out, version.model_id)


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
