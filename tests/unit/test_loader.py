from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from chaoslib_ext.names import load_problems
from drills.compile import compile_text
from drills.errors import DefinitionError, DefinitionErrors
from drills.loader import load_any, load_drill, load_environment, load_experiment, load_sop, load_sops
from drills.loader_messages import Problem
from drills.model import Drill, Environment, Experiment, Sop
from drills.yamlpos import parse
from tests.unit.definitions import DRILL, ENVIRONMENT, EXPERIMENT, use_small_registry, write


@pytest.fixture(autouse=True)
def _names(monkeypatch: pytest.MonkeyPatch) -> None:
    use_small_registry(monkeypatch)


def mistakes(path: Path) -> list[str]:
    with pytest.raises(DefinitionErrors) as caught:
        load_any(path)
    prefix = str(path)
    return [str(error).removeprefix(prefix).removeprefix(":").strip() for error in caught.value.errors]


def test_a_right_drill(tmp_path: Path) -> None:
    drill = load_drill(write(tmp_path, DRILL))
    assert drill.drill == "small"
    assert drill.faults["dies"].name == "process.kill"


def test_every_mistake_at_once_by_line_and_with_its_caret(tmp_path: Path) -> None:
    text = DRILL.replace("rto: 10s", "rto: 5 sec").replace("process.kill", "proces.kill").replace("title", "titel")
    path = write(tmp_path, text)
    with pytest.raises(DefinitionErrors) as caught:
        load_drill(path)
    assert caught.value.caret().replace(str(path), "x.yaml") == (
        'x.yaml:2:1: unknown key "titel"; did you mean title?\n'
        "    2 | titel: A small drill\n"
        "      | ^^^^^\n"
        'x.yaml:8:26: objectives[0].rto: "5 sec" is not a duration; write 5s, 500ms or 2m\n'
        "    8 |   - {id: rto-place, rto: 5 sec, flow: place}\n"
        "      |                          ^^^^^\n"
        'x.yaml:10:10: faults.dies: no fault "proces.kill"; did you mean process.kill?\n'
        "   10 |   dies: {proces.kill: {service: matching-engine, role: primary}}\n"
        "      |          ^^^^^^^^^^^"
    )


MISTAKES = yaml.safe_load(Path(__file__).with_name("mistakes.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("kind", "case"),
    [pytest.param(kind, case, id=case["says"]) for kind, cases in MISTAKES.items() for case in cases],
)
def test_one_mistake_is_one_message_under_the_value(tmp_path: Path, kind: str, case: dict[str, str]) -> None:
    text = {"drill": DRILL, "experiment": EXPERIMENT, "environment": ENVIRONMENT}[kind]
    assert case["old"] in text
    with pytest.raises(DefinitionErrors) as caught:
        load_any(write(tmp_path, text.replace(case["old"], case["new"], 1)))
    (error,) = caught.value.errors
    assert "; ".join(filter(None, (error.message, error.hint))) == case["says"]
    assert error.source is not None
    assert error.column is not None
    assert error.source[error.column - 1 :][: error.width] == case["marked"]


def test_ids_are_unique(tmp_path: Path) -> None:
    text = DRILL.replace("faults:", "  - {id: rto-place, rto: 5s, flow: cancel}\nfaults:")
    assert mistakes(write(tmp_path, text)) == ['9:10: objectives[1].id: "rto-place" is taken by an earlier item']


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; see muster schema drill"),
        (b"# only a comment\n", "is empty; see muster schema drill"),
        (b"\x7fELF\xff\x00", "is not UTF-8 text (byte 4)"),
        (b"a\0b", "is not a text file (byte 1 is zero)"),
        (b"drill: x\x07\n", "is not a text file (byte 8)"),
        (b"a:\n\tb: 1\n", "2:1: not YAML: a tab indents this line; use spaces"),
        (b"drill: x\n---\ndrill: y\n", "2:1: not YAML: a second document starts here; keep one definition a file"),
        (b"title: a: b\n", '1:9: not YAML: mapping values are not allowed here; put text that holds ": " in quotes'),
        (b"a: &a [*a]\n", "1:4: not a definition: an alias holds itself"),
        (b"a: !!python/name:os.system\n", "1:4: not a definition: tag !!python/name:os.system is not allowed"),
        (b"- a\n", "1:1: a list is not a definition; a definition is a mapping"),
        (b"drlil: x\n", '1:1: unknown key "drlil"; did you mean drill?'),
        (b"quite: other\n", "1:1: is no definition; its first key says what it is: drill, sop, environment, method"),
        (b"[" * 5000, "is nested too deeply to be a definition"),
        (b"#" * (1 << 20) + b"\nx", "is larger than 1 MiB; a definition is a page"),
    ],
)
def test_a_file_that_is_no_definition_is_one_clear_line(tmp_path: Path, content: bytes, message: str) -> None:
    assert mistakes(write(tmp_path, content)) == [message]


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, DRILL, "engine.yaml")
    assert mistakes(tmp_path / "engin.yaml") == ["no such file; did you mean engine.yaml?"]
    assert mistakes(tmp_path / "no" / "x.yaml") == ["no such file"]
    assert mistakes(tmp_path) == ["is a folder; name a file"]


def test_aliases_that_grow_without_bound_stop(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    (message,) = mistakes(write(tmp_path, "\n".join(lines)))
    assert message.endswith("not a definition: too many values")


def test_anchors_and_merges_work(tmp_path: Path) -> None:
    text = DRILL.replace("{service: matching-engine, role: primary}", "&t {service: matching-engine, role: primary}")
    text = text.replace("phases:", "  two: {process.pause: {<<: *t, role: standby}}\nphases:")
    drill = load_drill(write(tmp_path, text.replace("{fault: dies}", "{faults: [dies, two]}")))
    assert drill.faults["two"].params == {"service": "matching-engine", "role": "standby"}


def test_scalars_follow_yaml_1_2() -> None:
    data = parse("{on: yes, a: 010, b: 12:30, c: 2026-11-21, d: true, e: ~, f: 1e3, g: 0x1f}", "x.yaml").data
    assert data == {
        "on": "yes",
        "a": 10,
        "b": "12:30",
        "c": "2026-11-21",
        "d": True,
        "e": None,
        "f": 1000.0,
        "g": "0x1f",
    }


def test_windows_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = write(tmp_path, b"\xef\xbb\xbf" + DRILL.replace("10s", "10").replace("\n", "\r\n").encode())
    assert mistakes(path) == ["8:26: objectives[0].rto: 10 is not a duration; write 10s"]


def test_json_has_places_too(tmp_path: Path) -> None:
    path = write(tmp_path, '{\n\t"method": [],\n\t"title": 3\n}', "x.json")
    assert mistakes(path) == [
        "1:1: extensions: none is named muster; add - {name: muster, load: {trace: …}, objectives: […]}",
        "3:11: title: 3 is not text",
    ]
    assert mistakes(write(tmp_path, '{"a": [,]}', "y.json")) == ["1:8: not JSON: expecting value"]


def test_a_long_line_is_not_printed(tmp_path: Path) -> None:
    path = write(tmp_path, '{"method": [], "description": "' + "x" * 500 + '", "title": 3}', "x.json")
    with pytest.raises(DefinitionErrors) as caught:
        load_experiment(path)
    assert all(len(line) < 200 for line in caught.value.caret().splitlines())


def test_an_experiment(tmp_path: Path) -> None:
    experiment = load_experiment(write(tmp_path, EXPERIMENT, "kill.yaml"))
    assert experiment.name == "kill"
    assert experiment.faults["dies"].name == "network.latency"
    assert experiment.faults["dies"].params == {"link": "gateway-engine", "ms": 5, "duration": "30s"}
    assert experiment.document["version"] == "1.0.0"


def test_an_experiments_file_names_its_runs(tmp_path: Path) -> None:
    (message,) = mistakes(write(tmp_path, EXPERIMENT, "My Kill.yaml"))
    assert message == '1:1: "My Kill" names the runs; rename the file to a-z, 0-9 and -'


def test_an_environment(tmp_path: Path) -> None:
    environment = load_environment(write(tmp_path, ENVIRONMENT))
    assert environment.services["matching-engine"].on == {"kubernetes": {"namespace": "exchange"}}
    assert environment.policy.max_share == 0.34


SOP = "sop: s\ntitle: t\nowner: o\nsteps:\n  - {id: a, do: {wait: {until: leader}}, expect: 5s}\n"


def test_an_sop(tmp_path: Path) -> None:
    assert load_sop(write(tmp_path, SOP)).steps[0].do == {"wait": {"until": "leader"}}
    assert mistakes(write(tmp_path, SOP.replace("wait:", "wayt:"))) == [
        '5:18: steps[0]: no action "wayt"; did you mean wait?'
    ]


def test_the_sops_of_a_drill_are_those_beside_it_and_the_shipped(tmp_path: Path) -> None:
    (tmp_path / "sops").mkdir()
    write(tmp_path / "sops", SOP, "s.yaml")
    text = DRILL + "  - recover: {sop: s}\n  - failback: {sop: engine-failover}\n"
    path = write(tmp_path, text)
    assert list(load_sops(load_drill(path), path)) == ["engine-failover", "s"]


def test_load_any_tells_the_kind(tmp_path: Path) -> None:
    texts = {Drill: DRILL, Sop: SOP, Environment: ENVIRONMENT, Experiment: EXPERIMENT}
    for kind, text in texts.items():
        assert type(load_any(write(tmp_path, text))) is kind


def test_an_outer_layer_adds_its_own_mistakes(tmp_path: Path) -> None:
    path = write(tmp_path, DRILL)
    with pytest.raises(DefinitionErrors) as caught:
        load_drill(path, lambda data: [Problem(("load", "trace"), "load.trace", "no such trace")])
    assert str(caught.value.errors[0]) == f"{path}:6:15: load.trace: no such trace"


TRANSFORM = """\
load:
  trace: linear-perp-1m
  transform:
    - slice: {fom: 5s, to: 20s}
    - surge: {shape: cancel-strom, at: 4s, for: 1s, share: 20%}
    - 3
    - warp: [{from: 0s, to: 5s, speed: 0}]
    - seed: {orders: true}
"""


def test_every_mistake_of_a_transform_has_its_place(tmp_path: Path) -> None:
    wrong = [
        '9:15: load.transform[0].slice: unknown key "fom"; did you mean from?',
        '10:22: load.transform[1].surge.shape: unknown shape "cancel-strom"; did you mean cancel-storm?',
        "11:7: load.transform[2]: 3 is not a mapping",
        "12:40: load.transform[3].warp[0].speed: 0 must be at least 0.001",
        "13:22: load.transform[4].seed.orders: no slice stands right before it; put a slice step before it",
    ]
    path = write(tmp_path, DRILL.replace("load: {trace: linear-perp-1m}\n", TRANSFORM))
    with pytest.raises(DefinitionErrors) as caught:
        load_any(path, load_problems)
    assert [str(error).removeprefix(f"{path}:") for error in caught.value.errors] == wrong


def test_a_transform_of_an_experiment_is_checked_too(tmp_path: Path) -> None:
    text = EXPERIMENT.replace("{trace: t}", "{trace: linear-perp-1m, transform: [{slcie: {to: 5s}}]}")
    path = write(tmp_path, text)
    with pytest.raises(DefinitionErrors) as caught:
        load_experiment(path, load_problems)
    (error,) = caught.value.errors
    assert error.message == 'extensions[1].load.transform[0]: unknown step "slcie"'
    assert error.hint == "did you mean slice?"


def test_a_compiled_drill_keeps_its_load(tmp_path: Path) -> None:
    load = "{trace: linear-perp-1m, transform: [{slice: {to: 5s}}], amplify: 2, jitter: 5ms, sessions: 3, workers: 2}"
    drill = load_drill(write(tmp_path, DRILL.replace("{trace: linear-perp-1m}", load)), load_problems)
    assert (drill.load.jitter, drill.load.sessions, drill.load.workers) == (0.005, 3, 2)
    compiled = write(tmp_path, compile_text(drill, {}), "small.yaml")
    assert load_experiment(compiled, load_problems).load == drill.load


@given(st.text(max_size=80))
def test_no_text_breaks_the_parser(text: str) -> None:
    with suppress(DefinitionError):
        parse(text, "x.yaml")
