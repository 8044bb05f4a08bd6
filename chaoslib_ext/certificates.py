"""Certificates as those see them who connect."""

from __future__ import annotations

import socket
import ssl

VALID, EXPIRED = 0, 10
"""Codes of OpenSSL's verification."""
_WORDS = {VALID: "valid", 9: "not valid yet", EXPIRED: "expired", 19: "signed by somebody else"}
HANDSHAKE_S = 1.0


def look(address: str, ca: str, timeout_s: float = HANDSHAKE_S) -> int | None:
    """How a new connection to host:port judges the certificate there, by an authority: a code of OpenSSL.

    None where no handshake comes so far. Whose name it bears is not looked at.
    """
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context(cafile=ca)
    context.check_hostname = False
    try:
        with (
            socket.create_connection((host.strip("[]"), int(port)), timeout_s) as plain,
            context.wrap_socket(plain),
        ):
            return VALID
    except ssl.SSLCertVerificationError as error:
        return error.verify_code
    except OSError:
        return None


def verdict(code: int) -> str:
    """A code in words."""
    return _WORDS.get(code, f"refused ({code})")
