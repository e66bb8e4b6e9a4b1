"""Held-out scores of a model with intervals, a counting baseline beside them, and samples.

Importing this package is cheap; Keras is imported when the stage runs.
"""

from components.core.pinned import pinned_files
from components.core.stage import Stage
from components.evaluate.config import EvaluateConfig
from components.evaluate.stage import evaluate

STAGE = Stage("evaluate", EvaluateConfig, evaluate, reads=pinned_files)

__all__ = ["STAGE", "EvaluateConfig", "evaluate"]
