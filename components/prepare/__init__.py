"""Documents of the corpus and collected records → the examples of one application, each in its split."""

from components.core.stage import Stage
from components.prepare.config import PrepareConfig
from components.prepare.stage import find_application, prepare

STAGES = {"prepare@": Stage("prepare@", PrepareConfig, prepare, place="applications.{}.prepare")}

__all__ = ["STAGES", "PrepareConfig", "find_application", "prepare"]
