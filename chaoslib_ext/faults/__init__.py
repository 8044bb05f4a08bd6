"""One file a fault; importing the package registers them all."""

import importlib
import pkgutil

from chaoslib_ext.faults.base import Fault, Recipe, Witness, build, classes

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["Fault", "Recipe", "Witness", "build", "classes"]
