"""What the automatic steps of an SOP may do: one file an action; importing the package registers them all."""

import importlib
import pkgutil

from chaoslib_ext.sops.base import Action, action, build, classes

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["Action", "action", "build", "classes"]
