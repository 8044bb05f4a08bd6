"""The certificate that a gateway shows, taken anew when its file changes: nobody who is connected is dropped."""

from __future__ import annotations

import asyncio
import calendar
import logging
import re
import ssl
import time
from pathlib import Path

from sandbox.errors import BadUse

LOOK_S = 0.1
_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_VERSION, _SHORT_YEAR = 0xA0, 0x17
log = logging.getLogger("gateway")
Stamp = tuple[int, int, int]


class Certificate:
    """One file and its key, and the TLS context that new connections get."""

    def __init__(self, file: Path, key: Path) -> None:
        """Raises BadUse where they cannot be used."""
        self._file, self._key = file, key
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._stamp: Stamp | None = None
        self._ends: float | None = None
        self.reloads = 0
        self.refused = 0
        if reason := self._load():
            raise BadUse(f"gateway: MUSTER_TLS_CERT {file}: {reason}")

    @property
    def expires_in_s(self) -> float:
        """Seconds until it expires, below nought once it has; not a number where the file does not tell."""
        return float("nan") if self._ends is None else self._ends - time.time()

    def reload(self) -> None:
        """Show what the file holds now; where that cannot be used, go on with the former one and say so."""
        if reason := self._load():
            self.refused += 1
            log.warning("certificate %s is not taken: %s", self._file, reason)
            return
        self.reloads += 1
        log.info("certificate %s taken anew: %.0f s left", self._file, self.expires_in_s)

    async def watch(self) -> None:
        """Look at the file again and again."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._seen() != self._stamp:
                self.reload()

    def _load(self) -> str | None:
        """Why what lies there cannot be used, or None once it is used."""
        self._stamp = self._seen()
        try:
            # on trial first: a certificate without its key must not spoil the context in use
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._file, self._key)
            self.context.load_cert_chain(self._file, self._key)
            self._ends = not_after(self._file.read_text())
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            return str(error)
        return None

    def _seen(self) -> Stamp | None:
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def not_after(pem: str) -> float:
    """When the first certificate of a file ends, in seconds of the epoch; raises ValueError where it holds none.

    Walked by hand: the package that reads certificates takes a tenth of a second to import, at every start.
    """
    block = _BLOCK.search(pem)
    if block is None:
        raise ValueError("it holds no certificate")
    der = ssl.PEM_cert_to_DER_cert(block[0])
    try:
        at = _value(der, _value(der, 0)[1])[1]  # into the certificate, and into what of it is signed
        if der[at] == _VERSION:
            at = _value(der, at)[2]
        for _ in ("serial number", "algorithm", "issuer"):
            at = _value(der, at)[2]
        begins = _value(der, at)[1]
        tag, first, last = _value(der, _value(der, begins)[2])
    except IndexError as error:
        raise ValueError("its certificate is cut short") from error
    text = der[first:last].decode("ascii")
    return calendar.timegm(time.strptime(text, "%y%m%d%H%M%SZ" if tag == _SHORT_YEAR else "%Y%m%d%H%M%SZ"))


def _value(der: bytes, at: int) -> tuple[int, int, int]:
    """Tag, begin and end of the value whose tag stands at `at`."""
    tag, size, at = der[at], der[at + 1], at + 2
    if size & 0x80:
        width = size & 0x7F
        size, at = int.from_bytes(der[at : at + width]), at + width
    return tag, at, at + size
