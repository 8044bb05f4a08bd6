"""tls.expire: a server's certificate is over. Connections that stand stay; new ones refuse it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from chaoslib_ext import planes
from chaoslib_ext.certificates import EXPIRED, VALID, look, verdict
from chaoslib_ext.faults.base import Fault, Recipe, Witness, fault, names
from drills.errors import ComponentError, FaultError, Refused
from drills.plan import Target
from drills.registry import did_you_mean

if TYPE_CHECKING:
    from chaoslib_ext.world import World

LONG_AGO_DAYS, OVER_FOR_DAYS = 91, 1


@fault(
    "tls.expire",
    summary="The certificate of an instance expires: whoever connects anew refuses it.",
    proof="a new handshake finds the certificate expired (verification error 10)",
    undo="put the former certificate back, byte for byte",
    plane="tls",
    sample="certificate-over: {tls.expire: {service: gateway}}",
)
class TlsExpire(Fault):
    """Certificates that are over."""

    service: str | None = Field(default=None, description="Service whose instances show it.")
    instance: str | None = Field(default=None, description="One instance by name.")

    @model_validator(mode="after")
    def _one_way(self) -> TlsExpire:
        if (self.service is None) == (self.instance is None):
            raise ValueError("give either service or instance")
        return self

    def targets(self, world: World) -> list[Target]:
        """Those of the instances that show a certificate. Raises Refused `target-matches-nothing`."""
        shown = _certificates(world)
        ours = [one for one in world.instances if one.name in shown]
        found = [one for one in ours if self.instance in (None, one.name) and self.service in (None, one.service)]
        if not found:
            word = str(self.instance or self.service)
            hint = did_you_mean(word, [one.name for one in ours] if self.instance else {one.service for one in ours})
            raise Refused("target-matches-nothing", f"no certificate of {word!r}; {hint}; nothing was touched")
        return [
            Target(kind="certificate", name=one.name, service=one.service, zone=one.zone, region=one.region)
            for one in found
        ]

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: expired certificate at gateway-0."""
        return f"expired certificate at {names(targets)}"

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """Put each back. Raises FaultError where one is not valid now, or cannot be made anew."""
        ca = str(world.describe["tls"]["ca"])
        if not os.access(str(world.describe["tls"].get("ca_key")), os.R_OK):
            raise FaultError(f"{self.name}: the key of the authority {ca} is not to be had; nothing was touched")
        recipes: list[Recipe] = []
        for target in targets:
            file, addresses = _file(world, target.name), _addresses(world, target.name)
            codes = [look(address, ca) for address in addresses]
            if any(code != VALID for code in codes) or not codes:
                said = ", ".join("not shown" if code is None else verdict(code) for code in codes) or "nowhere shown"
                raise FaultError(f"{self.name}: the certificate of {target.name} is {said}; nothing was touched")
            former = _read(file)
            # made now: what loads the packages for it must not widen the instant of the fault
            self.remember(target.name, (former, _over(former, world.describe["tls"])))
            args = {
                "instance": target.name,
                "file": str(file),
                "kept": f"{file}.{world.tag}",
                "sha256": hashlib.sha256(former).hexdigest(),
                "ca": ca,
                "addresses": addresses,
            }
            recipes.append({"verb": "tls.restore", "args": args})
        return recipes

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Keep a copy of each beside it, durable; only then replace it, in one step."""
        for target in targets:
            self.before(target.name)
        for target in targets:
            file, (former, over) = _file(world, target.name), self.before(target.name)
            kept = Path(f"{file}.{world.tag}")
            try:
                _put(kept, former, Path(f"{kept}.part"))
                _put(file, over, Path(f"{kept}.new"))
            except OSError as error:
                raise FaultError(f"{self.name}: {file}: {error.strerror}") from error

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """Connect anew to every port that shows it."""
        ca, texts = str(world.describe["tls"]["ca"]), []
        for target in targets:
            for address in _addresses(world, target.name):
                if look(address, ca) != EXPIRED:
                    return None
                texts.append(f"a new connection to {address} ({target.name}) finds its certificate expired (error 10)")
        return Witness(tuple(texts))


def _certificates(world: World) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (world.describe.get("tls") or {}).get("certificates") or {}
    return found


def _file(world: World, instance: str) -> Path:
    return Path(_certificates(world)[instance]["file"])


def _addresses(world: World, instance: str) -> list[str]:
    return [world.instance(instance).address(port) for port in _certificates(world)[instance]["ports"]]


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ComponentError("certificate", f"{file}: {error.strerror}") from error


def _put(path: Path, data: bytes, part: Path) -> None:
    """Write a file so that nobody ever sees a part of it, and it is there after a power cut."""
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _over(former: bytes, tls: Mapping[str, Any]) -> bytes:
    """The same certificate of the same authority for the same key, but over since yesterday."""
    import datetime as dt

    from cryptography import x509  # a tenth of a second, for the one fault that needs it
    from cryptography.hazmat.primitives import hashes, serialization

    old = x509.load_pem_x509_certificate(former)
    key = serialization.load_pem_private_key(_read(Path(tls["ca_key"])), None)
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.issuer)
        .public_key(old.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=LONG_AGO_DAYS))
        .not_valid_after(now - dt.timedelta(days=OVER_FOR_DAYS))
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    made = builder.sign(key, hashes.SHA256())  # type: ignore[arg-type]  # a key that signs, as it signed the former one
    return made.public_bytes(serialization.Encoding.PEM)


def _snapshot(world: World) -> Mapping[str, str]:
    """What each file holds, what lies beside it, and whether a new connection refuses it; one that is down does not."""
    found = {}
    for name, row in _certificates(world).items():
        file = Path(row["file"])
        beside = sorted(path.name for path in file.parent.glob(f"{file.name}.*"))
        held = hashlib.sha256(file.read_bytes()).hexdigest()[:12] if file.exists() else "gone"
        codes = {look(address, str(world.describe["tls"]["ca"])) for address in _addresses(world, name)}
        refused = [f"shown as {verdict(code)}" for code in codes - {VALID, None} if code is not None]
        found[f"certificate of {name}"] = ", ".join([" beside ".join([held, *beside]), *refused])
    return found


planes.SNAPSHOTS["tls"] = _snapshot
