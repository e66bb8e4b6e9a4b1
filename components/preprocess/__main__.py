"""Clean one source by hand: ``python -m components.preprocess --input dump.xml.bz2 --output clean.parquet``.

In: one file or folder of any format that ``ingest`` reads. Out: one Parquet file of clean documents, whole or not at
all. In between: the stages ingest, validate@documents and preprocess run as they always do, behind their walls, in a
folder beside the output that goes when they are done; the values are those of params.yaml here, else of the default
recipe. Rooms do not import one another: like a driver, this door meets them as stages, found by their names.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import chdir
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from components.core import files, params
from components.core.child import find_stage
from components.core.documents import list_shards, read_row_groups
from components.core.errors import PedigreeError
from components.core.execute import CODE_ROOT, Order, execute

_PARAMS, _LOCK = Path("params.json"), Path("sources.lock.json")
_STEPS = (
    ("ingest", "ingest", {"sources": _LOCK}),
    ("validate@documents", "validate", {"subject": Path("data/ingest")}),
    ("preprocess", "preprocess", {"documents": Path("data/ingest"), "checks": Path("data/validate/documents")}),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say; returns the exit code of ``components.core.errors``."""
    parser = argparse.ArgumentParser(prog="python -m components.preprocess", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--input", type=Path, required=True, help="a file or a folder, such as dump.xml.bz2")
    parser.add_argument("--output", type=Path, required=True, help="the Parquet file to write")
    parser.add_argument("--licence", default="CC-BY-SA-4.0", help="of the texts; without, that of Wikipedia")
    options = parser.parse_args(arguments)
    try:
        clean(options.input.absolute(), options.output.absolute(), options.licence)
    except PedigreeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def clean(source: Path, output: Path, licence: str) -> None:
    """Write the clean documents of ``source`` into the file ``output``. Raises PedigreeError."""
    values = _values(source, licence)
    work = output.with_name(f".{output.name}.work")
    files.remove(work)
    work.mkdir(parents=True)
    try:
        with chdir(work):
            files.write_json(_PARAMS, values)
            _pin(values)
            for name, room, inputs in _STEPS:
                execute(Order(find_stage(room, name), room, inputs, Path("data", *name.split("@")), _PARAMS))
            _join(Path("data/preprocess"), Path("clean.parquet"))
            Path("clean.parquet").replace(output)
    finally:
        files.remove(work)


def _values(source: Path, licence: str) -> dict[str, Any]:
    """The params of this run: a small source is no fault of it."""
    here = Path("params.yaml")
    values = params.load(here if here.is_file() else CODE_ROOT / "infra" / "recipes" / "default.yaml")
    wanted = {"kind": "files", "name": "input", "paths": [str(source)], "licence": licence}
    values["ingest"] = {**values["ingest"], "sources": [wanted]}
    values["validate"]["documents"]["min_documents"] = 1
    return json.loads(json.dumps(values))  # type: ignore[no-any-return]


def _pin(values: dict[str, Any]) -> None:
    ingest = import_module("components.ingest")
    config = params.section(values, find_stage("ingest", "ingest"), _PARAMS)
    ingest.resolve(config, Path()).save(_LOCK)


def _join(folder: Path, output: Path) -> None:
    """All documents of ``folder`` in one file, a row group at a time."""
    with pq.ParquetWriter(output, pq.read_schema(list_shards(folder)[0]), compression="zstd") as writer:
        for table in read_row_groups(folder):
            writer.write_table(table)


if __name__ == "__main__":
    sys.exit(main())
