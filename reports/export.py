"""One run as one archive for a bug report: no secret, no truth log, and the same bytes for the same files."""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from drills.errors import ComponentError
from drills.evidence import RunDir

LEFT_OUT = ("truth", "secret", "sandbox")
"""Folders and files whose name starts so stay behind: what only tests may read, what nobody may, and live state."""


def export_run(run_dir: Path, out: Path) -> list[Path]:
    """Pack a run into `out` (.tar.gz), its id as the top folder; returns the packed files, relative to the run.

    Raises ComponentError, and writes nothing, when a file holds the secret of the venue.
    """
    names = sorted(_files(run_dir))
    _refuse_secret(run_dir, names)
    temporary = out.with_name(out.name + ".tmp")
    with (
        temporary.open("wb") as raw,
        gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name in names:
            info = archive.gettarinfo(run_dir / name, f"{run_dir.name}/{name}")
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            with (run_dir / name).open("rb") as file:
                archive.addfile(info, file)
    temporary.replace(out)
    return [Path(name) for name in names]


def _files(run_dir: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(run_dir):
        folders[:] = [name for name in folders if not _kept_back(name)]
        for name in files:
            path = Path(folder) / name
            if not _kept_back(name) and stat.S_ISREG(path.lstat().st_mode):  # no sockets, pipes or links
                yield str(path.relative_to(run_dir))


def _kept_back(name: str) -> bool:
    return name.lower().startswith(LEFT_OUT) or name.endswith(".tmp")


def _refuse_secret(run_dir: Path, names: list[str]) -> None:
    secret = _secret(run_dir)
    if not secret:
        return
    for name in names:
        data = (run_dir / name).read_bytes()
        if secret in data or secret.hex().encode() in data:
            raise ComponentError("export", f"{name} holds the secret of the venue; nothing was packed, report this")


def _secret(run_dir: Path) -> bytes:
    """The master secret that the load used, where its file still exists; empty otherwise."""
    try:
        config: dict[str, Any] = orjson.loads((RunDir(run_dir).load / "config.json").read_bytes())
        return Path(str(config["venue"]["secret_file"])).read_bytes().strip()
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return b""
