"""MLflow, and nothing else imports it: live metrics, versions, aliases, and files for whoever loads a model.

Importing this package is cheap; MLflow itself is imported when it is needed.
"""

from components.core.stage import Stage
from components.registry.access import (
    champion,
    decide,
    find_faults,
    find_version,
    folder_of,
    list_models,
    list_versions,
    load,
    read_ledger_quickly,
    rollback,
    share_files,
    ui_command,
)
from components.registry.config import Guardrail, Primary, PromoteConfig, RegisterConfig
from components.registry.contents import Contents
from components.registry.live import LiveRun, open_live_run
from components.registry.look import Version
from components.registry.stage import is_promoted, is_registered, promote, register
from components.registry.store import APPROVAL_VARIABLE, ENVIRONMENT, state_folders

STAGES = {
    stage.name: stage
    for stage in (
        Stage("register", RegisterConfig, register, state=state_folders(), environment=ENVIRONMENT, network=True,
              is_current=is_registered),
        Stage("promote", PromoteConfig, promote, state=state_folders(), network=True, is_current=is_promoted,
              environment=(*ENVIRONMENT, APPROVAL_VARIABLE)),
    )
}  # fmt: skip

__all__ = [
    "STAGES",
    "Contents",
    "Guardrail",
    "LiveRun",
    "Primary",
    "PromoteConfig",
    "RegisterConfig",
    "Version",
    "champion",
    "decide",
    "find_faults",
    "find_version",
    "folder_of",
    "is_promoted",
    "is_registered",
    "list_models",
    "list_versions",
    "load",
    "open_live_run",
    "promote",
    "read_ledger_quickly",
    "register",
    "rollback",
    "share_files",
    "ui_command",
]
