"""Documents that passed the checks → a corpus: one spelling, sensible lengths, no copies, three splits."""

from components.core.pinned import pinned_files
from components.core.stage import Stage
from components.preprocess.config import PreprocessConfig
from components.preprocess.stage import preprocess

STAGE = Stage("preprocess", PreprocessConfig, preprocess, reads=pinned_files)

__all__ = ["STAGE", "PreprocessConfig", "preprocess"]
