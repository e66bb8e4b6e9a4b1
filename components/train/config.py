"""The values of the train stage."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from components.core.stage import Config
from components.model import ModelConfig


class TrainConfig(Config):
    """Section ``train`` of params.yaml."""

    seed: int = Field(default=1, ge=0, description="of the first weights and of the order of windows")
    model: ModelConfig = Field(default_factory=ModelConfig, description="sizes of the model")
    num_steps: int = Field(default=150, ge=1, description="steps of the optimizer")
    batch_windows: int = Field(default=8, ge=1, description="windows of a step, on all devices together")
    learning_rate: float = Field(default=3e-3, gt=0, le=1, description="highest learning rate")
    final_learning_rate: float = Field(default=3e-4, ge=0, le=1, description="learning rate after the last step")
    schedule: Literal["cosine", "constant_then_linear"] = Field(
        default="cosine", description="how the learning rate falls after the warm-up"
    )
    decay_steps: int = Field(
        default=0, ge=0, description="last steps over which constant_then_linear falls; cosine falls over all of them"
    )
    warmup_steps: int = Field(default=15, ge=0, description="steps over which the learning rate rises")
    weight_decay: float = Field(default=0.1, ge=0, lt=1, description="AdamW's decay of matrices, per learning rate")
    clip_norm: float = Field(default=1.0, gt=0, description="longest gradient, all weights together")
    z_weight: float = Field(default=0.0, ge=0, lt=1, description="weight of (log Σ exp logits)² in the loss")
    num_accumulations: int = Field(default=1, ge=1, description="parts of a batch, one after the other to save memory")
    validation_interval_steps: int = Field(default=25, ge=1, description="steps between validation losses")
    validation_windows: int = Field(default=16, ge=1, description="windows of a validation loss, always the same")
    patience_validations: int = Field(
        default=0, ge=0, description="validation losses in a row without a better one that end the run; 0 never does"
    )
    compute_type: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="of matrix products; auto is bfloat16 where the processor has it"
    )

    @model_validator(mode="after")
    def _rises_before_it_falls(self) -> Self:
        if self.warmup_steps >= self.num_steps:
            raise ValueError(f"warmup_steps {self.warmup_steps} must be below num_steps {self.num_steps}")
        if self.batch_windows % self.num_accumulations:
            told = f"num_accumulations {self.num_accumulations}"
            raise ValueError(f"batch_windows {self.batch_windows} must be a multiple of {told}")
        if self.warmup_steps + self.decay_steps > self.num_steps:
            raise ValueError(f"warmup_steps and decay_steps must not be more than num_steps {self.num_steps} together")
        if bool(self.decay_steps) != (self.schedule == "constant_then_linear"):
            raise ValueError("decay_steps belong to the schedule constant_then_linear, and it needs them")
        if self.final_learning_rate > self.learning_rate:
            raise ValueError(f"final_learning_rate must not be above learning_rate {self.learning_rate}")
        return self
