"""How well a model does in one application: metrics with intervals, beside honest floors on the same examples."""

from components.assess.config import AssessConfig
from components.assess.stage import assess
from components.core.pinned import pinned_files
from components.core.stage import Stage

STAGES = {"assess@": Stage("assess@", AssessConfig, assess, reads=pinned_files, place="applications.{}.assess")}

__all__ = ["STAGES", "AssessConfig", "assess"]
