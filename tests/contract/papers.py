"""Certificates for venues of tests, made by openssl where there is one; `papers` is a fixture to import."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

OPENSSL = shutil.which("openssl")
needed = pytest.mark.skipif(OPENSSL is None, reason="openssl makes the certificates")


def certificate(folder: Path, name: str, *names: str) -> Path:
    """A self-signed certificate for some names, and its key beside it."""
    path = folder / f"{name}.pem"
    subject = ["-subj", f"/CN={name}", "-addext", f"subjectAltName={','.join(names)}"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    files = ["-keyout", str(path.with_suffix(".key")), "-out", str(path)]
    subprocess.run([str(OPENSSL), "req", "-x509", *kind, *subject, *files], check=True, capture_output=True, timeout=60)
    return path


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Certificates: of here, of somebody else of the same name, and of another place."""
    folder = tmp_path_factory.mktemp("papers")
    return {
        "here": certificate(folder, "here", "IP:127.0.0.1", "DNS:localhost"),
        "impostor": certificate(folder, "impostor", "IP:127.0.0.1", "DNS:localhost"),
        "elsewhere": certificate(folder, "elsewhere", "DNS:venue.example"),
    }


def server_side(paper: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(paper, paper.with_suffix(".key"))
    return context
