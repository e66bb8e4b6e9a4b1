"""The newest corpus of a version as a Croissant dataset (docs.mlcommons.org/croissant/docs/croissant-spec.html, 1.0).

In: the facts of a version. Out: JSON-LD that Croissant's loaders read when it lies beside the shards. In between:
every shard with its digest, and the columns that ``components.core.documents`` gives to every corpus.
"""

from __future__ import annotations

from typing import Any

from components.core.documents import CORPUS
from components.provenance.facts import Facts

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataBiases": "cr:dataBiases",
    "dataCollection": "cr:dataCollection",
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "personalSensitiveInformation": "cr:personalSensitiveInformation",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_MEANINGS = {
    "doc_id": "identity of the document: a digest of its source and its place there",
    "text": "the text, normalised",
    "source": "name of the source",
    "uri": "where it stands in its source",
    "licence": "licence of the source",
    "language": "language, where it is known",
    "meta": "further facts as JSON",
    "split": "train, validation or test",
}


def croissant(facts: Facts) -> dict[str, Any]:
    """The dataset as JSON-LD."""
    digest, files = facts.corpora[-1] if facts.corpora else ("", {})
    shards = {name: entry for name, entry in sorted(files.items()) if name.startswith("documents-")}
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": f"corpus-of-{facts.name}",
        "description": f"The corpus that {facts.name} was trained and scored on: texts with source, licence and split.",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "version": "1.0.0",
        "citeAs": f"Pedigree, artifact {digest}",
        "license": list(facts.licences),
        "distribution": [_shard(name, entry.bytes, entry.sha256) for name, entry in shards.items()],
        "recordSet": [_records(name) for name in shards],
    }


def _shard(name: str, num_bytes: int, digest: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{num_bytes} B",
        "encodingFormat": "application/x-parquet",
        "sha256": digest,
    }


def _records(shard: str) -> dict[str, Any]:
    name = shard.removesuffix(".parquet")
    fields = [_field(name, column, shard) for column in CORPUS.names]
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "key": {"@id": f"{name}/doc_id"}, "field": fields}


def _field(records: str, column: str, shard: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{records}/{column}",
        "name": column,
        "description": _MEANINGS.get(column, column),
        "dataType": "sc:Text",
        "source": {"fileObject": {"@id": shard}, "extract": {"column": column}},
    }
