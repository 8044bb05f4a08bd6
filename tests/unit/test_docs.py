"""The documentation says what the code says: generated pages, commands, links, definitions, and the paths it names."""

from __future__ import annotations

import ast
import dataclasses
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from chaoslib_ext.names import load_definition, load_names
from docs import generate
from drills import registry
from drills.errors import ExitCode
from drills.events import Kind
from drills.evidence import RunDir
from drills.model import GUARDS, OBJECTIVES, Drill, Load, RpoLimits
from drills.model_phases import PHASE_KINDS, Phase
from loadgen import transform
from loadgen.engine.files import LoadFiles
from loadgen.importers import FORMATS
from sandbox.cli_show import exports
from sandbox.exchange.codes import RetCode
from sandbox.exchange.plants import KNOWN
from sandbox.node.source import BUNDLED, StaticPods

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]
REFERENCE = ROOT / "docs" / "reference"

every_page = pytest.mark.parametrize("page", PAGES, ids=NAMES)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(page), re.M | re.S)


def reference(name: str) -> str:
    return text_of(REFERENCE / name)


# -- what is generated -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", generate.PAGES)
def test_a_generated_page_is_what_the_code_says(name: str) -> None:
    assert reference(name) == generate.render(name), "run: python docs/generate.py"


def test_every_command_and_option_is_in_the_reference() -> None:
    page = reference("cli.md")
    for words, command in generate.commands().items():
        assert f"\n## {words}\n" in page
        section = page.partition(f"\n## {words}\n")[2].partition("\n## ")[0]
        for param in command.params:
            for option in param.opts if isinstance(param, click.Option) else ():
                assert f"`{option}`" in section, f"{words} {option}"


def test_every_name_is_in_the_reference() -> None:
    load_names()
    assert all(f"### {name}\n" in reference("faults.md") for name in registry.faults)
    assert all(f"`{name}`" in reference("probes.md") for name in registry.probes)
    assert all(f"`{kind}`" in reference("events.md") for kind in Kind)
    assert all(f"| `{int(code)}` |" in reference("exit-codes.md") for code in ExitCode)


def test_no_name_is_left_over_in_the_generator() -> None:
    load_names()
    assert set(generate.KINDS) == {str(kind) for kind in Kind}
    assert set(generate.REFUSALS) == set(generate.refusals())
    nowhere: dict[str, Any] = {"venue": {key: [] for key in ("rest", "ws", "audit")} | {"secret_file": ""}}
    assert set(generate.EXPORTS) == set(exports(nowhere | {"agent": "", "toxiproxy": None, "dir": "/"}))


# -- what is written by hand -------------------------------------------------------------------------------------------


def test_every_key_of_a_drill_is_explained() -> None:
    page = reference("drill.md")
    keys = {*Drill.model_fields, *Load.model_fields, *OBJECTIVES, *GUARDS, *PHASE_KINDS, *RpoLimits.model_fields}
    for kind in PHASE_KINDS:
        params: Any = next(a for a in Phase.__annotations__[kind].split(" | ") if a != "None")
        model = getattr(__import__("drills.model_phases", fromlist=[params]), params)
        keys |= {field.alias or name for name, field in model.model_fields.items()}
    assert {key for key in keys if f"`{key}`" not in page} == set()


def test_the_readme_tells_every_exit_code() -> None:
    page = text_of(ROOT / "README.md")
    assert {code for code in ExitCode if f"| {int(code)} |" not in page} == set()


def test_every_file_of_a_run_is_explained() -> None:
    page, run = reference("files.md"), RunDir(Path("run"))
    shown = {name: getattr(run, name) for name in dir(RunDir) if isinstance(getattr(RunDir, name), property)}
    paths = {str(path.relative_to("run")) for path in shown.values() if isinstance(path, Path)}
    for files in (LoadFiles(run), LoadFiles(run, 7)):
        own = (files.schedule, files.cursor, files.live, files.histograms, files.chunk(0))
        paths |= {str(path.relative_to("run")).replace("-07", "-NN").replace("00000", "NNNNN") for path in own}
    sources = "".join(map(text_of, sorted((ROOT / "loadgen").rglob("*.py"))))
    paths |= {f"load/{name}" for name in re.findall(r'load / "([a-z-]+\.json)"', sources)}
    assert len(paths) > 25
    assert {path for path in paths if f"`{path}" not in page} == set()
    assert {field.name for field in dataclasses.fields(RunDir)} == {"path"}


def test_every_step_and_every_format_is_explained() -> None:
    drill, guide = reference("drill.md"), text_of(ROOT / "docs" / "guides" / "recorded-traffic.md")
    assert {name for name in (*transform.STEPS, *transform.SHAPES) if f"`{name}`" not in drill} == set()
    assert {name for name in (*transform.STEPS, *transform.SHAPES, *FORMATS) if f"`{name}`" not in guide} == set()


def test_the_sandbox_is_explained() -> None:
    page = reference("sandbox.md")
    pods = StaticPods(BUNDLED, ["sgp"]).pods()
    names = {pod.name for pod in pods} | {f"`{pod.service}`" for pod in pods}
    names |= {f"`{dial.group}`" for pod in pods for dial in pod.dials}
    names |= {f"| {int(code)} |" for code in RetCode} | {f"| {plant} |" for plant in KNOWN}
    assert {name for name in names if name not in page} == set()


def test_every_cause_of_an_inconclusive_verdict_is_explained() -> None:
    source = ast.parse((ROOT / "drills" / "conclusive.py").read_text(encoding="utf-8"))
    codes = {
        str(node.args[0].value)
        for node in ast.walk(source)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_gate"
        if isinstance(node.args[0], ast.Constant)
    }
    page = text_of(ROOT / "docs" / "explanations" / "why-inconclusive.md")
    assert len(codes) > 10
    assert {code for code in codes if f"`{code}`" not in page} == set()


def test_every_class_of_a_weakness_is_explained() -> None:
    page = text_of(ROOT / "docs" / "explanations" / "how-rpo-is-counted.md")
    sources = [*(ROOT / "probes" / "checkers").glob("*.py"), ROOT / "drills" / "findings.py"]
    classes = {
        word
        for path in sources
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(word := node.value, str)
        if re.fullmatch(r"[a-z]+(-[a-z]+){1,}", word) and word not in ("matching-engine", "order-bus", "single-writer")
    }
    assert len(classes) > 8
    assert {name for name in classes if f"`{name}`" not in page} == set()


# -- what may be typed -------------------------------------------------------------------------------------------------


def typed(page: Path) -> Iterator[list[str]]:
    """The words of every command behind a `$ `, split at && ; | and out of $( )."""
    for block in blocks(page, "console"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                text = re.sub(r'eval "\$\((.*?)\)"', r"\1", line[2:])
                words = shlex.split(text, comments=True)
                for part in split(words):
                    yield part[next((n for n, word in enumerate(part) if "=" not in word), len(part)) :]


def split(words: list[str]) -> Iterator[list[str]]:
    part: list[str] = []
    for word in [*words, ";"]:
        if word in ("&&", "|", ";", ">") or word.endswith(";"):
            yield [*part, *filter(None, [word.strip(";&|>")])]
            part = []
        else:
            part.append(word)


def parse(words: list[str]) -> None:
    """Raises click.UsageError for a command or an option that is not there."""
    known = generate.commands()
    depth = next(n for n in range(len(words), 0, -1) if " ".join(words[:n]) in known)
    command = known[" ".join(words[:depth])]
    if isinstance(command, click.Group) and words[depth:] and not words[depth].startswith("-"):
        raise click.UsageError(f"no command {' '.join(words[: depth + 1])!r}")
    try:
        command.make_context(" ".join(words[:depth]), list(words[depth:]))
    except click.exceptions.Exit:
        return  # --help, --version


@every_page
def test_every_command_in_it_can_be_typed(page: Path) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    for words in typed(page):
        match words:
            case ["muster", *_]:
                parse(words)
            case ["make", *wanted]:
                assert set(wanted) <= {*targets, "-s"}, words
            case ["chaos", verb, path]:
                assert verb in ("run", "validate")
                assert path == "drill.yaml" or (ROOT / path).is_file(), words
            case ["python", path]:
                assert (ROOT / path).is_file(), words


@pytest.mark.parametrize(
    "line",
    ["muster rnu x", "muster run", "muster run x --plnat W01", "muster sandbox up --plnat W01", "muster trace y"],
)
def test_a_wrong_command_is_noticed(line: str) -> None:
    with pytest.raises(click.UsageError):
        parse(line.split())


# -- what it points to -------------------------------------------------------------------------------------------------


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@every_page
def test_every_relative_link_resolves(page: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", text_of(page), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        if anchor:
            assert anchor in {slug(h) for h in re.findall(r"^#+ (.+)$", text_of(file), re.M)}, target


def named_paths(page: Path) -> Iterator[str]:
    """Paths in backticks that begin with a folder of this repository; `<name>` and `*` stand for anything."""
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()}
    for word in re.findall(r"`([\w.<>*/-]+/[\w.<>*-]*)`", text_of(page)):
        if word.split("/")[0] in folders - {"runs"}:
            yield word


@every_page
def test_every_path_it_names_exists(page: Path) -> None:
    for word in named_paths(page):
        assert list(ROOT.glob(re.sub(r"<[^>]*>", "*", word).rstrip("/"))), word


def test_the_recipes_name_files() -> None:
    assert len(list(named_paths(ROOT / "CONTRIBUTING.md"))) > 12


# -- definitions -------------------------------------------------------------------------------------------------------

BASE = ROOT / "drills" / "catalog" / "engine-primary-kill.yaml"
KINDS = ("drill", "sop", "environment", "version")


@every_page
def test_every_definition_in_it_is_right(page: Path, tmp_path: Path) -> None:
    for number, block in enumerate(blocks(page, "yaml")):
        data = yaml.safe_load(block)
        if not isinstance(data, dict):
            continue
        path = tmp_path / f"{number}.yaml"
        if not data.keys() & {*KINDS}:
            if not data.keys() <= Drill.model_fields.keys():
                continue  # of another tool, such as a CI's
            # a piece of a drill: put it into a whole one
            whole = yaml.safe_load(BASE.read_text(encoding="utf-8"))
            if "faults" in data and "phases" not in data:
                data["faults"] |= whole["faults"]
                data["phases"] = [*({"inject": {"fault": name}} for name in data["faults"]), *whole["phases"][2:]]
            block = yaml.safe_dump(whole | data, sort_keys=False)
        path.write_text(block, encoding="utf-8")
        load_definition(path)
