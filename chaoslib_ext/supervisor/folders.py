"""Where a run writes: a folder of its own below `--runs`."""

from __future__ import annotations

import os
from pathlib import Path

from drills.errors import UsageError
from drills.evidence import new_run_id


def made(runs: Path, name: str = "") -> Path:
    """The folder that `--runs` names, or `name` in it, absolute and there. Raises UsageError."""
    folder = Path(os.path.abspath(runs)) / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--runs {runs}: {(error.strerror or str(error)).lower()}; name another folder") from error
    return folder


def of_a_new_run(runs: Path, name: str) -> Path:
    """<runs>/<name>/<a new run id>, absolute and not made yet. Raises UsageError."""
    return made(runs, name) / new_run_id()
