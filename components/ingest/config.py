"""The section ``ingest`` of params.yaml: which sources there are and what is still acceptable in them.

In: plain values. Out: a frozen config. In between: names of sources are unique, for they are the names under
which documents are counted, compared and withdrawn.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from components.core.stage import Config

PackageName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class DocumentationSource(Config):
    """The documentation that is written inside installed packages; each package is a source of its own name."""

    kind: Literal["documentation"]
    packages: tuple[PackageName, ...] = Field(description="names as in `import NAME`", min_length=1)
    min_characters: int = Field(100, description="shorter docstrings are set aside as too_short", ge=0)


class SourceFiles(Config):
    """Files on this disk, on the web or in S3 that share a name and a licence."""

    name: str = Field(description="name of the source", pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")
    paths: tuple[str, ...] = Field(
        description="globs (** for any depth) or folders below the project, https://…, s3://bucket/glob", min_length=1
    )
    licence: str = Field(description="SPDX expression, or the words that grant the use", min_length=1)
    language: str | None = Field(None, description="of all that they hold, where it is one", pattern=r"^[a-z]{2,3}$")
    s3_endpoint_url: str | None = Field(None, description="an S3 server that is not Amazon's", pattern=r"^https?://")
    s3_anonymous: bool = Field(False, description="ask S3 without a signature, as public buckets allow")


class FilesSource(SourceFiles):
    """Files of any format in ``components.ingest.formats`` that hold texts."""

    kind: Literal["files"]
    text_field: str = Field("text", description="field (jsonl) or column (csv, parquet) with the text", min_length=1)
    separator: str | None = Field(
        None, description="line between two documents of a .txt or .md file; without, a file is one", max_length=1000
    )
    namespaces: tuple[int, ...] = Field((0,), description="of a MediaWiki dump; 0 are the articles", min_length=1)


Source = Annotated[DocumentationSource | FilesSource, Field(discriminator="kind")]


class IngestConfig(Config):
    """Where the text comes from."""

    sources: tuple[Source, ...] = Field(description="read in this order", min_length=1)
    shard_documents: int = Field(10_000, description="documents per Parquet shard", ge=1, le=10_000_000)
    max_document_bytes: int = Field(16 << 20, description="larger ones are set aside as too_large", ge=1, le=1 << 30)
    max_expanded_bytes: int = Field(64 << 30, description="what a compressed file may expand to", ge=1)
    max_rejected_share: float = Field(
        0.5, description="share of faulty documents above which the stage fails (too_short is no fault)", ge=0, le=1
    )

    @model_validator(mode="after")
    def _names_are_unique(self) -> IngestConfig:
        names = source_names(self)
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"one source per name, but {twice[0]!r} stands there twice")
        return self


class RecordsSource(SourceFiles):
    """Files of records for one application, such as questions with their answers."""

    application: str = Field(description="whose examples they become")
    split: Literal["train", "validation", "test"] | None = Field(
        None, description="of all its records, where it is one"
    )
    format: Literal["jsonl", "csv", "tsv", "lines", "parallel", "squad", "parquet"] = Field(
        description="lines: columns of a text file between `delimiter`; parallel: files side by side, line by line"
    )
    columns: tuple[str, ...] = Field((), description="their names, where the files do not say them")
    delimiter: str = Field("\t", description="between the columns of lines", min_length=1)

    @model_validator(mode="after")
    def _columns_are_named(self) -> RecordsSource:
        if self.format in ("lines", "parallel") and len(self.columns) < 2:
            raise ValueError(f"records of the format {self.format} need the names of two columns or more")
        if self.format == "parallel" and len(self.columns) != len(self.paths):
            raise ValueError(f"{len(self.paths)} parallel files need as many columns, not {len(self.columns)}")
        return self


class CollectConfig(Config):
    """Records that people collected for applications."""

    sources: tuple[RecordsSource, ...] = Field((), description="read in this order")
    max_record_bytes: int = Field(1 << 20, description="larger ones are set aside as too_large", ge=1, le=1 << 30)
    max_expanded_bytes: int = Field(64 << 30, description="what a compressed file may expand to", ge=1)
    max_rejected_share: float = Field(
        0.1, description="share of faulty records above which the stage fails", ge=0, le=1
    )


def source_names(config: IngestConfig) -> list[str]:
    """The names of all sources in order: of every package and of every set of files."""
    names: list[str] = []
    for source in config.sources:
        names.extend(source.packages if isinstance(source, DocumentationSource) else [source.name])
    return names
