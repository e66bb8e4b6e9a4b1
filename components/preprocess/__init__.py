"""Documents that passed the checks → a corpus: one spelling, sensible lengths, no copies, three splits."""

from components.core.stage import Stage
from components.preprocess.config import PreprocessConfig
from components.preprocess.stage import evaluation_files, preprocess

STAGE = Stage("preprocess", PreprocessConfig, preprocess, reads=evaluation_files)

__all__ = ["STAGE", "PreprocessConfig", "preprocess"]
