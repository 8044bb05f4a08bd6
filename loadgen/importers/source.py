"""The recording that is read: plain or gzip, line by line or as bytes, never more than a line of it in memory."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from drills.errors import DefinitionError
from loadgen.importers.report import Report

LINE_LIMIT = 16 * 1024 * 1024
"""A longer line is reported, not loaded."""
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Source:
    """One recording and the report of its import."""

    path: Path
    report: Report

    def open(self) -> BinaryIO:
        """The bytes, unpacked where it is gzip (by its name, .gz, or its first bytes); close it.

        A gzip that is cut or damaged ends there, and closing it says so in the report. Raises DefinitionError where it
        is missing, a folder, no file at all, or may not be read.
        """
        try:
            if self.path.exists() and not self.path.is_file():
                what = "a folder" if self.path.is_dir() else "not a file"
                raise DefinitionError(str(self.path), f"is {what}", hint="name one recording")
            file: BinaryIO = self.path.open("rb")
            packed = self.path.name.endswith(".gz") or file.read(2) == _GZIP
            file.seek(0)
        except FileNotFoundError as error:
            raise DefinitionError(str(self.path), "no such file", hint="name the recording to import") from error
        except OSError as error:
            raise _unreadable(self.path, error) from error
        except ValueError as error:  # a NUL in the name
            raise DefinitionError(repr(str(self.path)), "is no file name") from error
        return cast(BinaryIO, io.BufferedReader(_Bytes(file, packed, self), 1 << 18))

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Every line with its number (1-based), without its end; counts them, and reports those that are too long."""
        with self.open() as file:
            while line := file.readline(LINE_LIMIT + 1):
                self.report.lines += 1
                if len(line) > LINE_LIMIT and not line.endswith(b"\n"):
                    self.report.skip(self.report.lines, f"longer than {LINE_LIMIT >> 20} MiB", corrupt=True)
                    while line and not line.endswith(b"\n"):
                        line = file.readline(LINE_LIMIT)
                    continue
                yield self.report.lines, line.rstrip(b"\r\n")


class _Bytes(io.RawIOBase):
    """Bytes of a file; a damaged gzip ends where the damage is."""

    def __init__(self, file: BinaryIO, packed: bool, source: Source) -> None:
        self._file, self._source = file, source
        self._inner = gzip.GzipFile(fileobj=file) if packed else file
        self._damage = ""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: io.BufferedIOBase | memoryview) -> int:  # type: ignore[override]
        view = cast(memoryview, buffer)
        try:
            data = b"" if self._damage else self._read(len(view))
        except EOFError:
            self._damage, data = "the gzip is cut: it ends here", b""
        except (gzip.BadGzipFile, zlib.error):
            self._damage, data = "no gzip, or a damaged one from here on", b""
        except OSError as error:
            raise _unreadable(self._source.path, error) from error
        view[: len(data)] = data
        return len(data)

    def _read(self, size: int) -> bytes:
        if isinstance(self._inner, gzip.GzipFile):
            return self._inner.read1(size)  # not read: it loses what comes before the damage
        return self._inner.read(size)

    def close(self) -> None:
        if not self.closed and self._damage:
            report = self._source.report
            report.skip(max(1, report.lines), self._damage, corrupt=True)
        self._file.close()
        super().close()


def _unreadable(path: Path, error: OSError) -> DefinitionError:
    if isinstance(error, PermissionError):
        return DefinitionError(
            str(path), "may not be read: permission denied", hint="give yourself the right to read it"
        )
    return DefinitionError(str(path), f"cannot be read: {error.strerror or error}")
