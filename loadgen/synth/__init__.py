"""Made flow: a fixed market to begin with, and models fitted to a recording."""

from __future__ import annotations

from loadgen.synth.fit import fit
from loadgen.synth.flow import make
from loadgen.synth.goodness import Fact, goodness
from loadgen.synth.model import FlowModel, load, save
from loadgen.synth.perpetuals import ACCOUNTS, SYMBOLS, generate

__all__ = ["ACCOUNTS", "SYMBOLS", "Fact", "FlowModel", "fit", "generate", "goodness", "load", "make", "save"]
