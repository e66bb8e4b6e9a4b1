"""Every module of a package, for packages to which a file is added and nothing else.

In: the name of a package. Out: its modules. In between: ``components.core.fingerprints`` reads a call of
``modules_of(__name__)`` as an import of each of them, so a file that is added or changed changes the code of whoever
uses the package, as an import statement would.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def modules_of(package: str) -> list[ModuleType]:
    """The modules of a package, in the order of their names; packages inside it are left out."""
    found = pkgutil.iter_modules(importlib.import_module(package).__path__)
    return [importlib.import_module(f"{package}.{module.name}") for module in found if not module.ispkg]
