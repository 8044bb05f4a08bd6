"""A short search against the whole exchange: what it says is written, and nothing of it is left running."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from chaoslib_ext.cli.main import run as muster
from drills.errors import ExitCode
from tests.sandbox.box import TestBox, exchange

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestBox]:
    with exchange(tmp_path_factory.mktemp("box")) as made:
        yield made


def test_a_search_up_to_a_rate_that_holds(
    box: TestBox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUSTER_HOME", str(box.home))
    words = ["--slo", "p50=2s,good=50%", "--from", "150", "--to", "300", "--step-for", "2s", "--runs", str(tmp_path)]
    figure = tmp_path / "figure.svg"
    before = len(box.processes())
    code = muster(["capacity", "linear-perp-1m", *words, "-o", "json", "--figure", str(figure)])
    printed = orjson.loads(capsys.readouterr().out)
    assert code == ExitCode.PROVEN
    assert printed["answer"]["kind"] == "at-least"
    folder = Path(printed.pop("run"))
    assert folder.parent == tmp_path / "capacity-linear-perp-1m"
    assert orjson.loads((folder / "capacity.json").read_bytes()) == printed
    assert (folder / "capacity.svg").read_bytes() == figure.read_bytes()

    assert [step["target"] for step in printed["steps"]] == [150, 300]
    for step in printed["steps"]:
        assert step["outcome"] == "held"
        assert step["offered"] == pytest.approx(step["target"], rel=0.5)
        assert step["sent"] == 1
        used = step["usage"]["components"]
        assert {"engine-0", "engine-1", "gateway-0", "gateway-1", "nats-0", "nats-1", "nats-2"} <= set(used)
        assert all(0 <= one["cores"] <= step["usage"]["cores"] + 0.1 for one in used.values())
        assert used["engine-0"]["memory_mb"] > 1
        assert 0 < step["usage"]["load_cores"] <= step["usage"]["machine_cores"] + 0.1
    assert {one["name"] for one in printed["components"]} >= {"engine-0", "gateway-0"}
    assert sorted(path.name for path in (folder / "steps").iterdir()) == ["01", "02"]
    assert not list(folder.rglob("*.arrow"))
    assert len(box.processes()) == before
