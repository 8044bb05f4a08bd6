"""Evidence files of a run → HTML, JUnit, tables. Nothing here asks a live system."""

from __future__ import annotations

from pathlib import Path

__all__ = ["write_report"]


def write_report(run_dir: Path) -> Path:
    """Write report.html of a run that was judged; returns its path.

    Raises DefinitionError when the plan or the verdict of the run is unreadable.
    """
    from reports.build import build  # drawing takes long to import, and most commands never draw

    return build(run_dir)
