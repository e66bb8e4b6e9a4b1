"""The one trainer: packed tokens → a model, with its learning curve."""

from components.core.stage import Stage
from components.train.cluster import NETWORKED, VARIABLES
from components.train.config import TrainConfig
from components.train.stage import CHECKPOINT_SECONDS, train

STAGE = Stage("train", TrainConfig, train, environment=(CHECKPOINT_SECONDS, *VARIABLES), networked_by=NETWORKED)

__all__ = ["STAGE", "TrainConfig", "train"]
