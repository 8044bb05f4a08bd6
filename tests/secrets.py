"""Every way in which a secret of the sandbox may stand in a file, and how files are searched for it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow.parquet as pq


def spellings(secret: bytes) -> set[bytes]:
    """A secret as text, in hex and in base64 at each of the three places it may begin at in what was encoded."""
    found = {secret, secret.hex().encode(), secret.hex().upper().encode()}
    raw = [secret]
    try:
        raw.append(bytes.fromhex(secret.decode()))
        found.add(raw[1])
    except ValueError:
        pass
    for one in raw:
        for skip in range(3):
            for encode in (base64.b64encode, base64.urlsafe_b64encode):
                # the first and last characters depend on the neighbours
                found.add(encode(b"\0" * skip + one)[4 if skip else 0 : -4])
    return found


def secrets_of(master: bytes, accounts: Iterable[str]) -> set[bytes]:
    """Every spelling of the master secret and of what each account signs with."""
    derived = [hmac.new(master, name.encode(), hashlib.sha256).hexdigest().encode() for name in accounts]
    return {text for secret in (master, *derived) for text in spellings(secret)}


def packed(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every file in a tar archive."""
    with tarfile.open(archive) as opened:
        for member in opened:
            file = opened.extractfile(member)
            if file is not None:
                yield f"{archive.name}:{member.name}", file.read()


def plain(path: Path) -> bytes:
    """A file's bytes, and what is compressed in it."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:  # of a bus that is up, and thinned it out meanwhile
        return b""
    return data if path.suffix != ".parquet" else data + repr(pq.read_table(path).to_pydict()).encode()
