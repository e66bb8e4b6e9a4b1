"""What a version takes with it so that it can be asked later where it came from.

In: the folders of its parts, the workspace that made them. Out: one folder of small files. In between: everything
in it is found by digest, from the version's own records back; what the chain does not lead to is not taken.

    records/DIGEST.json       the record of every stage behind the version
    reports/DIGEST/*.json     what each of those stages told: its books, its checks' results
    corpus.json               documents and bytes by source, licence, language and split
    sources.lock.json records.lock.json         the pins of the raw bytes, of documents and of records
    params.yaml dvc.lock requirements.lock      as they stood in the workspace
    code.tar                  components/, flows/ and what drives them, so that a rebuild needs no other place
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components.core.errors import InputError
from components.core.files import read_json, sha256_bytes, sha256_file, write_json, write_whole
from components.core.records import Record
from components.provenance.chain import Chain, artifacts_below, close, find_records

CODE, RECORDS, REPORTS = "code.tar", "records", "reports"
PARAMS, RECIPES = "params.yaml", "infra/recipes"
PINS = ("sources.lock.json", "records.lock.json")
LOCKS = (PARAMS, "dvc.lock", "requirements.lock", *PINS)
_CODE_PARTS = ("components", "flows", RECIPES, "dvc.yaml", ".dvcignore", "pyproject.toml", "Makefile")


def gather(ends: Mapping[str, str], data: Path, workspace: Path, code: Path, output: Path) -> Chain:
    """Write the folder of a version whose parts have the records ``ends`` (part to digest).

    ``data`` holds the artifacts of all stages. Raises InputError when the chain does not lead back to the pins.
    """
    from components.provenance.corpus import CORPUS, CORPUS_STAGE, RECORDS_STAGE, describe_corpora

    folders = artifacts_below(data)
    records = find_records(folders, ends)
    if not pins_in(workspace):
        raise _no_pins(workspace / PINS[0])
    chain = close(records, ends, digests_of_pins(workspace), str(data))
    for digest, content in records.items():
        write_whole(output / RECORDS / f"{digest}.json", content)
        for report in _reports(chain.records[digest]):
            write_whole(
                output / REPORTS / digest / report, _read_checked(folders[digest], report, chain.records[digest])
            )
    corpora, collected = (
        [folders[digest] for digest, _ in chain.of_stage(stage)] for stage in (CORPUS_STAGE, RECORDS_STAGE)
    )
    write_json(output / CORPUS, describe_corpora(corpora, collected))
    for name in LOCKS:
        if (workspace / name).is_file():
            write_whole(output / name, (workspace / name).read_bytes())
    write_whole(output / CODE, pack_code(code))
    return chain


def read_chain(folder: Path, ends: Mapping[str, str], where: str) -> Chain:
    """The chain in the folder of a version, closed and consistent. Raises InputError."""
    found = {path.stem: path.read_bytes() for path in sorted((folder / RECORDS).glob("*.json"))}
    return close(found, ends, digests_of_pins(folder), where)


def pins_in(folder: Path) -> list[Path]:
    """The locks of sources that lie in a folder."""
    return [folder / name for name in PINS if (folder / name).is_file()]


def digests_of_pins(folder: Path) -> frozenset[str]:
    """Where a chain may begin: the digests of the locks of sources in a folder."""
    return frozenset(map(sha256_file, pins_in(folder)))


def read_reports(folder: Path, digest: str) -> dict[str, Any]:
    """What the stage whose record has that digest told, by the name of the file without its ending."""
    return {path.stem: read_json(path) for path in sorted((folder / REPORTS / digest).glob("*.json"))}


def raw_objects(folder: Path) -> Iterator[dict[str, Any]]:
    """Every raw object that the locks in a folder pin: whatever has a SHA-256, with name and licence of its source.

    Written against the shape that all kinds of pins share, so a new kind of source is not left out.
    """
    for source in (source for path in pins_in(folder) for source in read_json(path)["sources"]):
        yield from _objects_in(source, {"source": source["name"], "licence": source.get("licence", "")})


def pack_code(root: Path) -> bytes:
    """The code as a tar whose bytes depend on the files alone: in order, without owners, modes and times."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(_code_files(root)):
            content = (root / name).read_bytes()
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _code_files(root: Path) -> Iterator[str]:
    for part in _CODE_PARTS:
        place = root / part
        for path in [place] if place.is_file() else place.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(root).as_posix()


def _reports(record: Record) -> list[str]:
    """The small JSON files of an artifact that tell about the work; a tokenizer or a list of samples is none."""
    return [name for name in ("report.json", "result.json") if name in record.files]


def _read_checked(folder: Path, name: str, record: Record) -> bytes:
    content = (folder / name).read_bytes()
    if sha256_bytes(content) != record.files[name].sha256:
        fix = "restore it with `dvc checkout`, or remove the folder and run `pedigree run`"
        found, expected = f"sha256 {sha256_bytes(content)}", f"sha256 {record.files[name].sha256}"
        raise InputError(str(folder / name), found=found, expected=expected, fix=fix)
    return content


def _objects_in(value: Any, inherited: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if isinstance(value.get("sha256"), str):
            yield {**inherited, **{key: item for key, item in value.items() if not isinstance(item, dict | list)}}
        for item in value.values():
            yield from _objects_in(item, inherited)
    elif isinstance(value, list):
        for item in value:
            yield from _objects_in(item, inherited)


def _no_pins(path: Path) -> InputError:
    fix = "run `pedigree refresh`, then `pedigree run`"
    return InputError(str(path), found="no such file", expected="the pins that ingest read", fix=fix)
