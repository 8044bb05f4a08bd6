"""TLS of one connection, without any I/O of its own: bytes of the socket in and out."""

from __future__ import annotations

import ssl
from pathlib import Path

from drills.errors import DefinitionError
from loadgen.venues.wire import ProtocolError

_CHUNK = 1 << 16


class Tls:
    """The client's side; `ready` once the peer has proved who it is."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._side = context.wrap_bio(self._in, self._out, server_hostname=host)
        self.ready = False
        self._waiting = bytearray()

    def start(self) -> bytes:
        """The first bytes of the handshake."""
        self._shake()
        return self._out.read()

    def write(self, data: bytes) -> bytes:
        """Encrypt; before the handshake is done it waits."""
        if not self.ready:
            self._waiting += data
            return b""
        if data:
            self._side.write(data)
        return self._out.read()

    def read(self, data: bytes) -> tuple[bytes, bytes]:
        """Decrypt bytes of the peer; returns its text, and bytes to send to it. Raises ProtocolError."""
        self._in.write(data)
        try:
            if not self.ready:
                self._shake()
            text = b"" if not self.ready else self._decrypted()
        except ssl.SSLCertVerificationError as error:
            raise ProtocolError(f"TLS: certificate refused: {error.verify_message}") from error
        except ssl.SSLError as error:
            raise ProtocolError(f"TLS: {error.reason or error}") from error
        return text, self._out.read()

    def _shake(self) -> None:
        try:
            self._side.do_handshake()
        except ssl.SSLWantReadError:
            return
        self.ready = True
        if self._waiting:
            self._side.write(bytes(self._waiting))
            self._waiting.clear()

    def _decrypted(self) -> bytes:
        parts = []
        while True:
            try:
                part = self._side.read(_CHUNK)
            except ssl.SSLWantReadError:
                break
            if not part:
                break
            parts.append(part)
        return b"".join(parts)


def context(ca_file: str | None) -> ssl.SSLContext:
    """Verifies the venue by the system's authorities, or by those of `ca_file`; raises DefinitionError."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        where = f"venue.ca_file {Path(ca_file) if ca_file else ''}".strip()
        raise DefinitionError(where, f"cannot be used: {error}", hint="name a PEM file of certificates") from error
