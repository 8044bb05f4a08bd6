"""The runs under a folder, from their files: what `muster runs` lists, and which one a person means."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from drills.errors import UsageError
from drills.evidence import RunDir

_RUN_ID = re.compile(r"(\d{8}T\d{6}Z)-[a-z2-7]{4}")
LATEST = "latest"


@dataclass(frozen=True)
class RunRow:
    """One run: its verdict word (or why it has none), RTO in seconds, lost operations, and when it began."""

    path: Path
    id: str
    name: str
    verdict: str
    rto_s: float | None
    lost: int | None
    started: datetime
    sentence: str = ""

    def age(self, now: datetime) -> str:
        """How long ago it began, in one unit: `3 min`, `5 h`, `12 d`."""
        seconds = max(0.0, (now - self.started).total_seconds())
        for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
            if seconds >= size:
                return f"{int(seconds // size)} {unit}"
        return f"{int(seconds)} s"


def list_runs(root: Path) -> list[RunRow]:
    """Every run at `<root>/<name>/<id>/`, the newest first; a folder without a plan is not a run."""
    rows = [_row(path) for path in _folders(root)]
    return sorted(rows, key=lambda row: (row.started, row.id), reverse=True)


def _folders(root: Path) -> Iterator[Path]:
    if not root.is_dir():
        return
    for path in root.glob("*/*"):
        replay_or_search = path.parent.name.startswith(("replay-", "capacity-")) and not (path / "plan.json").exists()
        if _RUN_ID.fullmatch(path.name) and path.is_dir() and not path.is_symlink() and not replay_or_search:
            yield path


def _row(path: Path) -> RunRow:
    match = _RUN_ID.fullmatch(path.name)
    when = match[1] if match else "19700101T000000Z"
    started = datetime.strptime(when, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    run = RunDir(path)
    verdict = _read(run.verdict)
    if verdict is None:
        state = "damaged" if run.verdict.exists() else "not judged" if _over(run) else "unfinished"
        return RunRow(path, path.name, path.parent.name, state, None, None, started)
    rto, rpo = verdict.get("rto") or {}, verdict.get("rpo") or {}
    sentences = verdict.get("sentences") or [""]
    word = str(verdict.get("verdict", "damaged"))
    return RunRow(
        path, path.name, path.parent.name, word, rto.get("value_s"), rpo.get("lost"), started, str(sentences[0])
    )


def _read(path: Path) -> dict[str, Any] | None:
    try:
        raw = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return raw if isinstance(raw, dict) else None


def _over(run: RunDir) -> bool:
    try:
        return b'"run.ended"' in run.events.read_bytes()[-4096:]
    except OSError:
        return False


def find_run(text: str, root: Path) -> Path:
    """The folder of the run that a person means: a path, an id, the start of one, `latest`, or the latest of a name.

    Raises UsageError that names the value and the nearest ones.
    """
    given = Path(text)
    if (given / "plan.json").is_file():
        return given.resolve()
    rows = list_runs(root)
    if text == LATEST and rows:
        return rows[0].path
    by_name = [row for row in rows if row.name == text]
    if by_name:
        return by_name[0].path
    found = [row for row in rows if row.id.startswith(text) or row.id.endswith(text)] if text else []
    if len(found) == 1:
        return found[0].path
    if found:
        raise UsageError(
            f"run {text!r} is one of {len(found)} runs under {root}: {', '.join(r.id for r in found[:3])}, …"
        )
    if not rows:
        raise UsageError(f"no run {text!r}: there is no run under {root}; name another folder with --runs")
    near = difflib.get_close_matches(text, [row.id for row in rows] + [row.name for row in rows], n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"the latest is {rows[0].id}"
    raise UsageError(f"no run {text!r} under {root}; {hint}")
