"""The values of the room's two stages."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from components.core.stage import Config
from components.model import ModelConfig
from components.model.backends import BackendName
from components.model.lora import Lora


class Optimisation(Config):
    """What both stages tell the trainer."""

    seed: int = Field(default=1, ge=0, description="of the first weights and of the order of what is learned")
    num_steps: int = Field(default=150, ge=1, description="steps of the optimizer")
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
    average_decay: float = Field(
        default=0.0, ge=0, lt=1, description="of the exponential average of the weights that is kept; 0: the last ones"
    )
    validation_interval_steps: int = Field(default=25, ge=1, description="steps between validation losses")
    patience_validations: int = Field(
        default=0, ge=0, description="validation losses in a row without a better one that end the run; 0 never does"
    )
    backend: BackendName = Field(default="tensorflow", description="what computes a step; each rounds in its own way")
    compute_type: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="of matrix products; auto is bfloat16 where the processor has it"
    )

    @model_validator(mode="after")
    def _rises_before_it_falls(self) -> Self:
        if self.warmup_steps >= self.num_steps:
            raise ValueError(f"warmup_steps {self.warmup_steps} must be below num_steps {self.num_steps}")
        if self.warmup_steps + self.decay_steps > self.num_steps:
            raise ValueError(f"warmup_steps and decay_steps must not be more than num_steps {self.num_steps} together")
        if bool(self.decay_steps) != (self.schedule == "constant_then_linear"):
            raise ValueError("decay_steps belong to the schedule constant_then_linear, and it needs them")
        if self.final_learning_rate > self.learning_rate:
            raise ValueError(f"final_learning_rate must not be above learning_rate {self.learning_rate}")
        return self


class TrainConfig(Optimisation):
    """Section ``train`` of params.yaml."""

    model: ModelConfig = Field(default_factory=ModelConfig, description="sizes of the model")
    batch_windows: int = Field(default=8, ge=1, description="windows of a step, on all devices together")
    validation_windows: int = Field(default=16, ge=1, description="windows of a validation loss, always the same")

    @model_validator(mode="after")
    def _parts_are_equal(self) -> Self:
        if self.batch_windows % self.num_accumulations:
            told = f"num_accumulations {self.num_accumulations}"
            raise ValueError(f"batch_windows {self.batch_windows} must be a multiple of {told}")
        return self


class FinetuneConfig(Optimisation):
    """A section ``finetune.NAME`` of params.yaml: one model made from the trained one."""

    applications: dict[str, float] = Field(
        min_length=1, description="whose examples it learns from, and how often an epoch sees each: 2.5 is 2 or 3 times"
    )
    method: Literal["full", "lora"] = Field(default="full", description="all weights change, or low-rank adapters")
    lora: Lora = Field(default_factory=Lora, description="of the adapters, where the method is lora")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="share of activations dropped in training")
    prompt_weight: float = Field(
        default=0.0, ge=0, le=1, description="of the prompt's own tokens in the loss; 0 learns answers alone"
    )
    prompt_noise: float = Field(
        default=0.0, ge=0, lt=1, description="share of the prompt's tokens that a step replaces by random ones"
    )
    batch_tokens: int = Field(default=2048, ge=1, description="of the rows of a step, about")
    validation_examples: int = Field(default=100, ge=1, description="of each application, always the same")

    @model_validator(mode="after")
    def _every_application_is_seen(self) -> Self:
        for name, weight in self.applications.items():
            if weight <= 0:
                raise ValueError(f"applications.{name} is {weight}; leave out what shall not be seen")
        if self.prompt_weight and self.prompt_noise:
            raise ValueError("prompt_noise would be learned where prompt_weight is not 0; set one of them to 0")
        return self
