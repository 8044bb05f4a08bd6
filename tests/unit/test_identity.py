"""Which system is it: compared with what was named, refused before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from chaoslib_ext import identity, needs
from drills import registry
from drills.errors import Refused
from drills.model import Environment

LINKS = {"a>b": "127.0.0.1:1"}
DESCRIBE: dict[str, Any] = {
    "agent": "http://127.0.0.1:7000",
    "toxiproxy": "http://127.0.0.1:8474",
    "links": [{"name": name, "upstream": upstream} for name, upstream in LINKS.items()],
    "kubernetes": {"uid": "91ab", "server": "https://127.0.0.1:6443"},
}


def environment(kind: str = "embedded", **named: str) -> Environment:
    return Environment.model_validate({"environment": "box", "kind": kind, "identity": named})


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    said = {"toxiproxy": identity.fingerprint(LINKS), "kubernetes": "91ab"}

    def reader(plane: str) -> identity.Reader:
        def read(_: Mapping[str, Any]) -> tuple[str, str] | None:
            return (said[plane], f"the live {plane}") if said.get(plane) else None

        return read

    monkeypatch.setattr(identity, "READERS", {plane: reader(plane) for plane in ("toxiproxy", "kubernetes", "aws")})
    return said


def test_the_sandbox_is_the_one_that_was_started(live: dict[str, str]) -> None:
    identity.check(environment(), DESCRIBE)
    identity.check(environment(kubernetes="91ab"), DESCRIBE)


@pytest.mark.parametrize(
    ("plane", "said"),
    [("kubernetes", "cluster-identity: .* says kubernetes 91ab, the live kubernetes is other"),
     ("toxiproxy", "toxiproxy-identity: the sandbox's own record says toxiproxy .* is other; nothing was touched")],
)  # fmt: skip
def test_another_system_is_refused(live: dict[str, str], plane: str, said: str) -> None:
    live[plane] = "other"
    with pytest.raises(Refused, match=said):
        identity.check(environment(), DESCRIBE)


def test_the_environment_file_wins_over_the_record(live: dict[str, str]) -> None:
    with pytest.raises(Refused, match="cluster-identity: box says kubernetes 6f2c, the live kubernetes is 91ab"):
        identity.check(environment(kubernetes="6f2c"), DESCRIBE)


@pytest.mark.parametrize(
    ("named", "said"),
    [({"aws": "123456789012"}, "identity: box names aws 123456789012, and this environment has none"),
     ({"huawei": "x"}, "identity: box names an identity of huawei, which nothing here can read")],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(live: dict[str, str], named: dict[str, str], said: str) -> None:
    with pytest.raises(Refused, match=said):
        identity.check(environment(**named), DESCRIBE)


@pytest.mark.parametrize("key", ["agent", "toxiproxy"])
def test_an_embedded_environment_is_on_this_host(live: dict[str, str], key: str) -> None:
    with pytest.raises(Refused, match=f"not-loopback: box is embedded, and its {key} is at http://10.0.0.1:1"):
        identity.check(environment(), DESCRIBE | {key: "http://10.0.0.1:1"})


def test_state_and_toxics_do_not_change_who_a_toxiproxy_is() -> None:
    assert identity.fingerprint({"b": "2", "a": "1"}) == identity.fingerprint({"a": "1", "b": "2"})
    assert identity.fingerprint({"a": "1"}) != identity.fingerprint({"a": "2"})


@pytest.mark.parametrize(("need", "flag"), [("kubernetes", "--kubernetes"), ("aws", "--aws"), ("sgp", "--dr")])
def test_a_part_that_is_missing_is_named_with_its_command(need: registry.Need, flag: str) -> None:
    needs.check({"features": [need]}, [need], "x")
    needs.check({}, [], "x")
    with pytest.raises(Refused, match=rf"needs-{need}: x needs a sandbox with {need}; .*`muster sandbox up {flag}`"):
        needs.check({}, [need], "x (some.fault)".removesuffix(" (some.fault)"))


def test_what_is_up_already_stays_in_the_command() -> None:
    with pytest.raises(Refused, match=r"`muster sandbox up --kubernetes --dr`"):
        needs.check({"features": ["kubernetes"]}, ["sgp"], "x")
