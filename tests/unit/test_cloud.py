"""What of the cloud plane holds no socket: commands by hand, patience, and the words of a plan."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from chaoslib_ext import cloud
from chaoslib_ext.cloud import _awscli
from chaoslib_ext.faults.base import build
from chaoslib_ext.guardian.play import GIVE_UP_S, Player, by_hand
from chaoslib_ext.guardian.verbs import cloud as verbs
from drills.errors import UsageError
from drills.ledger import Ledger

TARGET = {
    "region": "ap-northeast-1",
    "account": "123456789012",
    "profile": "staging",
    "zones": {"tyo-a": {"region": "ap-northeast-1", "availability_zone": "ap-northeast-1a"}},
}


def recipe(verb: str, **args: object) -> dict[str, Any]:
    return {"verb": verb, "args": {"cloud": "aws", "target": TARGET, **args}}


def test_what_is_remembered_of_a_cloud_holds_no_key() -> None:
    found = cloud.target_of({"aws": {**TARGET, "access_key": "AKIA", "secret_key": "hush", "instances": {}}})
    assert found == ("aws", TARGET)
    assert cloud.target_of({"aws": None}) is None
    assert cloud.known() == ["aws"]
    with pytest.raises(KeyError):
        cloud.connect("moon", TARGET)


def test_an_environment_of_its_own_never_follows_the_endpoint_of_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "other")
    line = _awscli.command("cloud.start", TARGET, {"zone": "tyo-a", "ids": ["i-1", "i-2"]}, lambda _: "eu-west-1")
    assert line == (
        "(export AWS_PROFILE=staging AWS_PAGER=''; unset AWS_ENDPOINT_URL; "
        "aws --region eu-west-1 ec2 start-instances --instance-ids i-1 i-2)"
    )


def test_a_record_is_written_back_with_the_weights_that_it_had() -> None:
    sets = {"tyo": {"weight": 100, "ttl": 5, "values": ["10.0.0.1"]}, "": {"weight": None, "ttl": 9, "values": []}}
    batch = _awscli.change_batch({"name": "api.exchange.test", "sets": sets}, {"tyo": 0})
    rows = [change["ResourceRecordSet"] for change in batch["Changes"]]
    assert (rows[0]["SetIdentifier"], rows[0]["Weight"], rows[0]["TTL"]) == ("tyo", 0, 5)
    assert "Weight" not in rows[1]
    assert "SetIdentifier" not in rows[1]


def test_a_machine_gets_more_time_to_come_back_than_a_link(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.ndjson", "r")
    slow, quick = recipe("cloud.start", ids=[]), recipe("cloud.register", targets=[])
    for number, one in enumerate((slow, quick)):
        ledger.write("intent", fault_id=f"f{number}", fault="x", recipes=[one])
    entries = ledger.book.entries
    assert [Player(ledger)._patience_s(entry) for entry in entries] == [verbs.Start.patience_s, GIVE_UP_S]
    assert [Player(ledger, give_up_s=0.3)._patience_s(entry) for entry in entries] == [0.3, 0.3]


def test_without_its_command_line_our_own_plays_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    one = recipe("cloud.start", zone="tyo-a", ids=["i-1"])
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert "-m chaoslib_ext.guardian.hand" in by_hand(one)
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/aws")
    assert "aws --region ap-northeast-1 ec2 start-instances --instance-ids i-1" in by_hand(one)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("cloud.instance-stop", {}),
        ("cloud.instance-stop", {"zone": "tyo-a", "node": "tyo-a"}),
        ("cloud.record-switch", {"record": "api.exchange.test"}),
        ("cloud.record-switch", {"record": "api.exchange.test", "to": "sgp", "weights": {"sgp": 1}}),
    ],
)
def test_one_way_to_say_it(name: str, params: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="give either"):
        build(name, params)


def test_a_profile_that_is_not_there_is_said_like_any_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(cloud.CloudError, match=r"aws: sts:GetCallerIdentity failed: .*staging"):
        cloud.enter("aws", TARGET)
