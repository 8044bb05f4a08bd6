"""Certificates of one sandbox: an authority of its own, and one for each server, made anew at every start.

tls/ca.pem         the authority; clients believe it
tls/ca.key         its key, mode 0600
tls/NAME.pem .key  of one instance
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LASTS = dt.timedelta(days=90)
_SKEW = dt.timedelta(minutes=5)
"""Valid a little before it was made: the clocks of clients differ."""


@dataclass(frozen=True)
class Authority:
    """Signs what the servers of one sandbox show."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def new(cls, name: str) -> Authority:
        """A fresh one."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        builder = (
            _begun(name, name, key.public_key(), _now() - _SKEW, _now() + LASTS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        return cls(builder.sign(key, hashes.SHA256()), key)

    def issue(self, name: str, alternatives: Iterable[str], key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
        """A server's certificate for host names and addresses."""
        issuer = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        names = [_alternative(one) for one in dict.fromkeys(alternatives)]
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = (
            _begun(name, str(issuer), key.public_key(), _now() - _SKEW, _now() + LASTS)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(authority, critical=False)
        )
        return builder.sign(self.key, hashes.SHA256())


def write(folder: Path, servers: Mapping[str, Iterable[str]]) -> Path:
    """Make an authority and certificates for `servers` (name -> hosts, by name or address); returns the first file."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = Authority.new("Muster sandbox CA")
    _write(folder / "ca.pem", _pem(authority.certificate), 0o644)
    _write(folder / "ca.key", _key(authority.key), 0o600)
    for name, alternatives in servers.items():
        _issue(folder, authority, name, alternatives)
    return folder / "ca.pem"


def add(folder: Path, name: str, alternatives: Iterable[str]) -> None:
    """Make the certificate of one more server, by the authority that `write` made. Raises OSError where none is."""
    key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)  # as `write` makes it
    certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    _issue(folder, Authority(certificate, key), name, alternatives)


def _issue(folder: Path, authority: Authority, name: str, alternatives: Iterable[str]) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    _write(folder / f"{name}.key", _key(key), 0o600)
    _write(folder / f"{name}.pem", _pem(authority.issue(name, alternatives, key)), 0o644)


def _begun(
    name: str, issuer: str, key: ec.EllipticCurvePublicKey, begins: dt.datetime, ends: dt.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key(key: ec.EllipticCurvePrivateKey) -> bytes:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption())


def _write(path: Path, data: bytes, mode: int) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
