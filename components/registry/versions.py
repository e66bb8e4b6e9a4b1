"""Versions in the registry: made, found, repaired, pointed at.

In: the contents of a version. Out: a version that holds them, and aliases. In between: each step first looks
whether it is done, and the steps stand in an order in which a crash between any two leaves nothing that the next
call does not finish: files, then the version, then the alias.

A version's files: ``artifacts/model``, ``artifacts/tokenizer`` and ``artifacts/evaluation`` as their stages
finished them, with their records; ``artifacts/provenance``, signed; the code that answers prompts. No pickle.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import components
from components.core.fingerprints import Sources
from components.core.records import artifact_digest
from components.provenance.place import PROVENANCE, is_attested
from components.registry import objects
from components.registry.contents import Contents
from components.registry.look import DIGEST, EVALUATION, OBJECTS, PARTS_FOLDER, Version
from components.registry.runs import EXECUTION

if TYPE_CHECKING:
    from mlflow import MlflowClient

_MODEL_NAME, _MODEL_CODE = "model", "served_model.py"
_MOST_CHARACTERS = 5000
_ROOM = "registry"


def list_versions(client: MlflowClient, name: str) -> list[Version]:
    """The versions called ``name``, newest first, as MLflow tells them."""
    if not has_model(client, name):
        return []
    aliases = client.get_registered_model(name).aliases
    found = []
    for version in client.search_model_versions(f"name='{name}'"):
        names = sorted(alias for alias, number in aliases.items() if int(number) == int(version.version))
        location = client.get_model_version_download_uri(name, str(version.version))
        found.append(
            Version(name, int(version.version), version.status, version.source or "", location, version.run_id or "",
                    tuple(names), version.tags)
        )  # fmt: skip
    return sorted(found, key=lambda version: -version.number)


def has_model(client: MlflowClient, name: str) -> bool:
    """Whether anything was ever registered under ``name``."""
    return bool(client.search_registered_models(f"name='{name}'", max_results=1))


def put(client: MlflowClient, name: str, run_id: str, contents: Contents, provenance: Path, root: str = "") -> Version:
    """The version with these contents, made where there is none; one whose files are gone is replaced.

    With a ``root`` in S3 the files go there by their digests, and the version refers to them.
    """
    if root:
        objects.send(root, contents)
    same = [version for version in list_versions(client, name) if version.digest == contents.digest]
    for version in same:
        if version.is_ready and has_files(version, contents):
            return version
    made = _create(client, name, run_id, contents, provenance, root)
    for broken in same:
        replace_version(client, broken, made)
    return made


def has_files(version: Version, contents: Contents) -> bool:
    """Whether the version's files are there: every one with its size on this machine, the records elsewhere."""
    if version.folder:
        return contents.is_present_in(version.folder) and is_attested(version.folder)
    from mlflow.artifacts import list_artifacts

    parts = (*contents.folders, PROVENANCE)
    return all(list_artifacts(artifact_uri=f"{version.location}/{PARTS_FOLDER}/{part}") for part in parts)


def replace_version(client: MlflowClient, broken: Version, made: Version) -> None:
    """Let ``made`` take the aliases of a version of the same contents whose files are gone, and remove that one."""
    for alias in broken.aliases:
        point(client, alias, made)
    client.delete_model_version(broken.name, str(broken.number))


def point(client: MlflowClient, alias: str, version: Version) -> Version:
    """Point an alias at a version."""
    if alias not in version.aliases:
        client.set_registered_model_alias(version.name, alias, str(version.number))
    return replace(version, aliases=tuple(sorted({*version.aliases, alias})))


def fetch(version: Version, into: Path) -> Path:
    """The folder with the parts of a version: where the registry keeps it, or below ``into`` when that is elsewhere.

    The files are as the registry gives them; ``Contents.check`` says whether they are what they should be.
    """
    if version.folder:
        return version.folder
    root = version.tags.get(OBJECTS)
    if not root:
        return _download(version, into)
    with objects.opened(root):  # MLflow asks S3 too
        folder = _download(version, into)
    objects.bring(root, Contents.below(folder))
    return folder


def _download(version: Version, into: Path) -> Path:
    from mlflow.artifacts import download_artifacts

    into.mkdir(parents=True, exist_ok=True)
    address = f"models:/{version.name}/{version.number}"
    return Path(download_artifacts(artifact_uri=address, dst_path=str(into))) / PARTS_FOLDER


def _create(client: MlflowClient, name: str, run_id: str, contents: Contents, provenance: Path, root: str) -> Version:
    model_id = _find_files(client, run_id, contents) or _log_files(client, run_id, contents, provenance, root)
    if not has_model(client, name):
        client.create_registered_model(name)
    source = f"models:/{model_id}"
    from components.provenance.documents import MODEL_CARD

    card = (provenance / MODEL_CARD).read_text(encoding="utf-8")
    made = client.create_model_version(
        name, source, run_id, model_id=model_id, description=card[:_MOST_CHARACTERS],
        tags={**tags_of(contents), **tags_of_origin(provenance), **({OBJECTS: root} if root else {})},
    )  # fmt: skip
    return next(version for version in list_versions(client, name) if version.number == int(made.version))


def tags_of(contents: Contents) -> dict[str, str]:
    """What MLflow can search for: which contents, evaluation, training and code."""
    record = contents.records["model"]
    return {DIGEST: contents.digest, EVALUATION: artifact_digest(contents.evaluation),
            EXECUTION: record.execution, "pedigree.fingerprint": record.fingerprint}  # fmt: skip


def tags_of_origin(provenance: Path) -> dict[str, str]:
    """What MLflow can search for: recipe, commit, uncommitted changes, locks."""
    from components.core.keys import believed_keys
    from components.provenance.labels import labels

    return {f"pedigree.{name}": value for name, value in labels(provenance, believed_keys()).items()}


def _find_files(client: MlflowClient, run_id: str, contents: Contents) -> str | None:
    """The id of files that an earlier call finished but made no version of."""
    experiment = client.get_run(run_id).info.experiment_id
    for model in client.search_logged_models([experiment], f"tags.`{DIGEST}` = '{contents.digest}'"):
        as_version = Version("", 0, model.status.name, "", model.artifact_location, "", (), {})
        if as_version.is_ready and has_files(as_version, contents):
            return str(model.model_id)
        client.delete_logged_model(model.model_id)
    return None


def _log_files(client: MlflowClient, run_id: str, contents: Contents, provenance: Path, root: str) -> str:
    """Write the files of a version as MLflow's pyfunc model from code; returns the id of the model."""
    import mlflow

    from components.registry.prompts import MODEL_CODE, signature

    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings(), mlflow.start_run(run_id=run_id):
        # MLflow asks for type hints and an example; the signature says it all.
        warnings.filterwarnings("ignore", category=UserWarning, module="mlflow")
        folder = Path(scratch)
        libraries = _copy_code(folder / "code")
        (folder / _MODEL_CODE).write_text(MODEL_CODE, encoding="utf-8")
        info = mlflow.pyfunc.log_model(
            name=_MODEL_NAME, python_model=str(folder / _MODEL_CODE), code_paths=[str(folder / "code" / "components")],
            artifacts=_copy_parts(contents, provenance, folder, is_reference=bool(root)),
            signature=signature(), pip_requirements=libraries, tags=tags_of(contents), params=contents.params,
        )  # fmt: skip
    return str(info.model_id)


def _copy_parts(contents: Contents, provenance: Path, folder: Path, *, is_reference: bool) -> dict[str, str]:
    """Copies of the parts by their names for MLflow, which knows no name with a slash: those get a folder together."""
    for part, source in contents.folders.items():
        shutil.copytree(source, folder / part, ignore=objects.only_record if is_reference else None)
    shutil.copytree(provenance, folder / PROVENANCE)
    return {name: str(folder / name) for name in {part.partition("/")[0] for part in (*contents.folders, PROVENANCE)}}


def _copy_code(folder: Path) -> list[str]:
    """Copy the modules that this room consists of, no more; returns the libraries they need, each with its version."""
    sources = Sources(Path(components.__file__).resolve().parents[1])
    fingerprint = sources.fingerprint(_ROOM)
    _copy_modules(sources, fingerprint.modules, folder)
    return [f"{name}=={version}" for name, version in fingerprint.libraries.items()]


def _copy_modules(sources: Sources, modules: Iterable[str], folder: Path) -> None:
    for path in filter(None, map(sources.path, modules)):
        copy = folder / path.relative_to(sources.root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
