"""Certificates, keys and tokens of one control plane: made for it, in its folder, of no use once it is gone."""

import base64
import datetime as dt
import ipaddress
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID = dt.timedelta(days=30)
_SLACK = dt.timedelta(hours=1)  # a machine whose clock a drill has set must still believe them
_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")


@dataclass(frozen=True)
class Papers:
    """The files of one control plane under `folder`, and the two tokens; `write` makes them."""

    folder: Path
    admin_token: str
    agent_token: str

    @property
    def ca(self) -> Path:
        """The certificate that signs all others."""
        return self.folder / "ca.crt"

    def cert(self, name: str) -> Path:
        """The certificate of one party: server, kubelet (its server) or apiserver-kubelet-client."""
        return self.folder / f"{name}.crt"

    def key(self, name: str) -> Path:
        """The private key of one party, or of `service-account`."""
        return self.folder / f"{name}.key"

    @property
    def service_account_public(self) -> Path:
        """By which the API server knows its own tokens of service accounts."""
        return self.folder / "service-account.pub"

    @property
    def tokens(self) -> Path:
        """The API server's file of static tokens."""
        return self.folder / "tokens.csv"


def write(folder: Path) -> Papers:
    """Make everything anew in `folder`, readable by its owner only."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    papers = Papers(folder, secrets.token_urlsafe(24), secrets.token_urlsafe(24))
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _certificate("muster-sandbox-ca", ca_key, None, None, None)
    _put(papers.ca, ca.public_bytes(serialization.Encoding.PEM))
    for name, subject, usage in (
        ("server", "kube-apiserver", ExtendedKeyUsageOID.SERVER_AUTH),
        ("kubelet", "kubelet", ExtendedKeyUsageOID.SERVER_AUTH),
        ("apiserver-kubelet-client", "kube-apiserver-kubelet-client", ExtendedKeyUsageOID.CLIENT_AUTH),
    ):
        key = ec.generate_private_key(ec.SECP256R1())
        _put(papers.cert(name), _certificate(subject, key, ca, ca_key, usage).public_bytes(serialization.Encoding.PEM))
        _put(papers.key(name), _pem(key))
    signing = ec.generate_private_key(ec.SECP256R1())
    _put(papers.key("service-account"), _pem(signing))
    public = signing.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    _put(papers.service_account_public, public)
    rows = f'{papers.admin_token},admin,1,"system:masters"\n{papers.agent_token},muster-node-agent,2\n'
    _put(papers.tokens, rows.encode())
    return papers


def write_kubeconfig(path: Path, server: str, ca: Path, token: str, namespace: str = "default") -> None:
    """A kubeconfig with everything in it, readable by its owner only."""
    authority = base64.b64encode(ca.read_bytes()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "muster-sandbox",
        "clusters": [
            {"name": "muster-sandbox", "cluster": {"server": server, "certificate-authority-data": authority}}
        ],
        "users": [{"name": "muster-sandbox", "user": {"token": token}}],
        "contexts": [
            {
                "name": "muster-sandbox",
                "context": {"cluster": "muster-sandbox", "user": "muster-sandbox", "namespace": namespace},
            }
        ],
    }
    _put(path, orjson.dumps(config, option=orjson.OPT_INDENT_2) + b"\n")  # JSON is YAML


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey | None,
    usage: x509.ObjectIdentifier | None,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SLACK)
        .not_valid_after(now + _VALID)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if usage is not None:
        names: list[x509.GeneralName] = [x509.DNSName(text) for text in _NAMES]
        names += [x509.IPAddress(ipaddress.ip_address(text)) for text in ("127.0.0.1", "10.0.0.1")]
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer_key or key, hashes.SHA256())


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _put(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
