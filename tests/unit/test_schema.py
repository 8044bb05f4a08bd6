from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from chaoslib_ext.cli.schema import render
from chaoslib_ext.names import load_problems
from drills.schema import KINDS, json_schema
from drills.yamlpos import parse

ROOT = Path(__file__).parent.parent.parent
SHIPPED = {"drill": "drills/catalog", "sop": "drills/sops", "environment": "environments"}


def validator(kind: str) -> Any:  # noqa: ANN401 - jsonschema comes with altair and has no stubs
    jsonschema = pytest.importorskip("jsonschema")
    schema = orjson.loads(render(kind))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("kind", KINDS)
def test_the_schema_in_the_docs_is_the_one_of_the_models(kind: str) -> None:
    shipped = (ROOT / "docs" / "reference" / "schema" / f"{kind}.json").read_text(encoding="utf-8")
    assert shipped == render(kind), f"run: muster schema {kind} --write docs/reference/schema"


@pytest.mark.parametrize("kind", KINDS)
def test_every_shipped_definition_meets_its_schema(kind: str) -> None:
    checked = validator(kind)
    files = sorted((ROOT / SHIPPED[kind]).glob("*.yaml"))
    assert files
    for path in files:
        data = parse(path.read_text(encoding="utf-8"), str(path)).data
        assert [error.message for error in checked.iter_errors(data)] == [], path


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("rto: 10s", "rto: 10"),
        ("process.kill", "proces.kill"),
        ("for: 20s", "four: 20s"),
        ("speed: 1.0", "spede: 1.0"),
        ("outage: retry-idempotent", "outage: retry"),
        ("- inject:   {fault: engine-dies}", "- inject:   {fault: engine-dies}\n    verify: {for: 1s}"),
        ("owner: trading-core\n", ""),
        ("  speed: 1.0", "  transform: [{slcie: {to: 5s}}]"),
        ("  speed: 1.0", "  transform: [{slice: {to: 5}}]"),
        ("  speed: 1.0", "  transform: [{surge: {shape: rate, at: 1s, for: 1s}}]"),
        ("  speed: 1.0", "  workers: 17"),
    ],
)
def test_an_editor_sees_the_common_mistakes(old: str, new: str) -> None:
    text = (ROOT / "drills/catalog/engine-primary-kill.yaml").read_text(encoding="utf-8")
    assert old in text
    data = parse(text.replace(old, new), "x.yaml").data
    assert list(validator("drill").iter_errors(data))


def test_an_editor_takes_every_step() -> None:
    steps = """\
transform:
  - slice: {from: 5s, to: 20s, orphans: seed}
  - seed: {balances: {"*": {USDT: "1000"}}}
  - warp: [{from: 0s, to: 5s, speed: 2}, {from: 6s, to: 7s, at: 9s, copy: true}]
  - rebase: {mid: {BTCUSDT: "61000.5"}, over: 5s}
  - surge: {shape: rate, at: 8s, for: 2s, factor: 5}
  - surge: {shape: cancel-storm, at: 4s, for: 1s, share: 20%}
  - surge: {shape: liquidation-cascade, at: 4s, for: 1s, symbol: BTCUSDT, side: Sell, orders: 50}
  - surge: {shape: reconnect-storm, at: 4s, share: 50%}
"""
    data = parse((ROOT / "drills/catalog/engine-primary-kill.yaml").read_text(encoding="utf-8"), "x.yaml").data
    data["load"] |= parse(steps, "y.yaml").data
    assert [error.message for error in validator("drill").iter_errors(data)] == []
    assert load_problems(data) == []


def test_a_drill_may_name_only_registered_faults() -> None:
    assert json_schema("drill", {})["$defs"]["FaultSpec"]["properties"] == {}
    with pytest.raises(KeyError):
        json_schema("experiment", {})
