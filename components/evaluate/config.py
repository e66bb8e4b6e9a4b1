"""The values of the evaluation: how much is scored, how intervals are drawn, which samples are shown."""

from __future__ import annotations

from pydantic import Field

from components.core.pinned import PinnedFile
from components.core.stage import Config


class EvaluateConfig(Config):
    """Section ``evaluate`` of params.yaml."""

    seed: int = Field(default=1, ge=0, description="seed of the bootstrap and of the samples")
    max_documents: int = Field(default=400, ge=2, description="most held-out documents to score, chosen by doc_id")
    max_tokens: int = Field(default=100_000, ge=1, description="most held-out tokens to score, in the same order")
    baseline_max_tokens: int = Field(default=5_000_000, ge=1, description="most training tokens of the 5-gram baseline")
    level: float = Field(default=0.95, gt=0.5, lt=1.0, description="level of the intervals")
    num_resamples: int = Field(default=2000, ge=200, le=100_000, description="bootstrap resamples of the documents")
    extraction_documents: int = Field(default=100, ge=0, description="most training documents to try to extract")
    extraction_tokens: int = Field(default=32, ge=1, le=4096, description="tokens given of each, and tokens expected")
    canary_references: int = Field(
        default=255, ge=1, le=100_000, description="canaries never planted, among which planted ones are ranked"
    )
    num_samples: int = Field(default=48, ge=0, le=10_000, description="least samples, over all prompts in turn")
    prompts: tuple[str, ...] = Field(
        default=("The", "Returns the", "This function", "Parameters\n----------\n"),
        max_length=50, description="texts that the samples continue",
    )  # fmt: skip
    max_new_tokens: int = Field(default=64, ge=1, le=4096, description="tokens of each sample")
    temperature: float = Field(default=0.8, ge=0.0, le=10.0, description="of the samples; 0 takes the likeliest token")
    toxic_texts: PinnedFile | None = Field(
        None,
        description="labelled texts (CSV: text, toxic) from which a judge of the samples learns; none: no judge",
    )
