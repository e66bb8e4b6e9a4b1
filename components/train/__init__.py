"""The one trainer: packed tokens → a model, and a model → one that answers, each with its learning curve."""

from components.core.stage import Stage
from components.train.circumstances import CHECKPOINT_SECONDS
from components.train.cluster import NETWORKED, VARIABLES
from components.train.config import FinetuneConfig, TrainConfig
from components.train.finetuning import finetune
from components.train.stage import train

_SEEN = (CHECKPOINT_SECONDS, *VARIABLES)
STAGES = {
    "train": Stage("train", TrainConfig, train, environment=_SEEN, networked_by=NETWORKED),
    "finetune@": Stage("finetune@", FinetuneConfig, finetune, environment=_SEEN, networked_by=NETWORKED),
}

__all__ = ["STAGES", "FinetuneConfig", "TrainConfig", "finetune", "train"]
