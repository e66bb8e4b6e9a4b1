"""Documents → memory-mapped windows of tokens, with an index from every token back to its document."""

from components.core.stage import Stage
from components.pack.config import PackConfig
from components.pack.stage import pack

STAGE = Stage("pack", PackConfig, pack)

__all__ = ["STAGE", "PackConfig", "pack"]
