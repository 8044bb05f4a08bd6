"""One file a fault; importing the package registers them all."""

from chaoslib_ext.faults import network_cut, network_latency, process_kill, process_pause
from chaoslib_ext.faults.base import Fault, Recipe, Witness, build, classes

__all__ = [
    "Fault",
    "Recipe",
    "Witness",
    "build",
    "classes",
    "network_cut",
    "network_latency",
    "process_kill",
    "process_pause",
]
