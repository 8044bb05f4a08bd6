"""YAML and JSON as data that remembers where every key and value stands.

Scalars follow YAML 1.2: `on` and `yes` are text, `010` is ten, `12:30` is no number and a date stays text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from drills.errors import DefinitionError
from drills.units import quoted

Path = tuple[str | int, ...]

_MAX_NODES = 100_000  # aliases of aliases grow without bound
_MAX_SHOWN = 200  # a longer line (minified JSON) is not worth printing


class _Core(yaml.SafeLoader):
    """SafeLoader with the scalar rules of YAML 1.2 instead of 1.1."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own shape


for _tag, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^[-+]?[0-9]{1,18}$", list("-+0123456789")),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,2})?$", list("-+.0123456789")),
    ("merge", r"^<<$", ["<"]),
):
    _Core.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


@dataclass(frozen=True, slots=True)
class Span:
    """Where something stands: 1-based line and column, and how many characters of that line it takes."""

    line: int
    column: int
    width: int


@dataclass(slots=True)
class Document:
    """The data of one file, and the place of everything in it.

    `mistakes` are those that the data cannot show, such as a key given twice.
    """

    file: str
    data: Any
    lines: list[str]
    keys: dict[Path, Span] = field(default_factory=dict)
    values: dict[Path, Span] = field(default_factory=dict)
    mistakes: list[DefinitionError] = field(default_factory=list)

    def error(self, path: Path, message: str, hint: str | None = None, *, at_key: bool = False) -> DefinitionError:
        """A mistake at a path: under its value, or its key; under the nearest parent where the path does not exist."""
        return self._at(self._span(path, at_key), message, hint)

    def _span(self, path: Path, at_key: bool) -> Span:
        while path:
            key, value = self.keys.get(path), self.values.get(path)
            # a block mapping or list has no one place: its key stands for it
            span = key if key and (at_key or value is None or value.line != key.line) else value
            if span:
                return span
            path, at_key = path[:-1], False
        return Span(1, 1, 1)

    def _at(self, span: Span, message: str, hint: str | None = None) -> DefinitionError:
        source = self.lines[span.line - 1] if span.line <= len(self.lines) else None
        if source is not None and len(source) > _MAX_SHOWN:
            source = None
        shown = source.replace("\t", " ") if source is not None else None
        width = min(span.width, max(1, len(source) - span.column + 1)) if source is not None else 1
        return DefinitionError(
            self.file, message, line=span.line, column=span.column, hint=hint, source=shown, width=width
        )


def parse(text: str, file: str) -> Document:
    """Read one YAML document, or JSON where the file is named so.

    Raises DefinitionError (one line with its place) for a syntax error, several documents, or a tag.
    """
    document = Document(file, None, re.split(r"\r\n|[\r\n\x85\u2028\u2029]", text))
    data = None
    if file.endswith(".json"):
        data = _json(text, document)
        text = text.replace("\t", " ")  # JSON may indent by tabs, YAML not; strings hold none
    try:
        loader = _Core(text)
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        raise _syntax(error, document) from error
    except yaml.reader.ReaderError as error:
        raise DefinitionError(file, f"is not a text file (byte {error.position})") from error
    except RecursionError as error:
        raise DefinitionError(file, "is nested too deeply to be a definition") from error
    document.data = _Builder(document).build(root, ()) if root is not None else None
    if data is not None:
        document.data = data
    return document


def _json(text: str, document: Document) -> Any:  # noqa: ANN401 - whatever the file holds
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        span = Span(error.lineno, error.colno, 1)
        raise document._at(span, f"not JSON: {error.msg[:1].lower()}{error.msg[1:]}") from error
    except RecursionError as error:
        raise DefinitionError(document.file, "is nested too deeply to be a definition") from error


def _syntax(error: yaml.MarkedYAMLError, document: Document) -> DefinitionError:
    mark = error.problem_mark or error.context_mark
    problem = error.problem or "cannot be read"
    hint = None
    if "'\\t'" in problem:
        problem, hint = "a tab indents this line", "use spaces"
    elif "single document" in (error.context or ""):
        problem, hint = "a second document starts here", "keep one definition a file"
    elif "mapping values are not allowed" in problem:
        hint = 'put text that holds ": " in quotes'
    elif "could not find expected ':'" in problem:
        hint = 'a key needs ": " behind it'
    elif error.context and error.context.startswith("while parsing a flow"):
        hint = "a { or [ is not closed"
    if mark is None:
        return DefinitionError(document.file, f"not YAML: {problem}", hint=hint)
    return document._at(Span(mark.line + 1, mark.column + 1, 1), f"not YAML: {problem}", hint)


class _Builder:
    """Turns nodes into data and notes the place of each."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._open: set[int] = set()
        self._count = 0

    def build(self, node: yaml.Node, path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
        self._count += 1
        if id(node) in self._open or self._count > _MAX_NODES:
            raise self._fail(node, "an alias holds itself" if id(node) in self._open else "too many values")
        if node.start_mark.index != node.end_mark.index or path not in self._document.keys:
            self._document.values[path] = self._span(node)  # an empty value has no place: its key stands for it
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if node.tag not in ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
            raise self._fail(node, f"tag {node.tag.replace('tag:yaml.org,2002:', '!!')} is not allowed")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
            return self._mapping(node, path)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        merged: list[yaml.Node] = []
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
                continue
            if not isinstance(key, yaml.ScalarNode):
                raise self._fail(key, "a key is not text")
            name, place = str(key.value), (*path, str(key.value))
            if name in data:
                first = self._document.keys[place].line
                here = self._span(key)
                self._document.mistakes.append(
                    self._document._at(here, f"key {quoted(name)} is given twice; the first is on line {first}")
                )
                continue
            self._document.keys[place] = self._span(key)
            data[name] = self.build(value, place)
        for name, value in self._merged(merged):
            if name not in data:
                data[name] = self.build(value, (*path, name))
        return data

    def _merged(self, nodes: list[yaml.Node]) -> Iterator[tuple[str, yaml.Node]]:
        for node in nodes:
            if not isinstance(node, yaml.MappingNode):
                raise self._fail(node, "<< merges mappings only")
            for key, value in node.value:
                yield str(key.value), value

    def _scalar(self, node: yaml.ScalarNode) -> str | int | float | bool | None:
        match node.tag.removeprefix("tag:yaml.org,2002:"):
            case "str":
                return str(node.value)
            case "null":
                return None
            case "bool":
                return str(node.value).lower() == "true"
            case "int" if re.fullmatch(r"[-+]?[0-9]{1,18}", node.value):
                return int(node.value)
            case "float" if re.fullmatch(r"[-+.0-9eE]+", node.value):
                return float(node.value)
            case _:
                raise self._fail(node, f"tag {node.tag.replace('tag:yaml.org,2002:', '!!')} is not allowed")

    def _span(self, node: yaml.Node) -> Span:
        start, end = node.start_mark, node.end_mark
        rest = len(self._document.lines[start.line]) - start.column if start.line < len(self._document.lines) else 1
        width = end.column - start.column if end.line == start.line else rest
        return Span(start.line + 1, start.column + 1, max(1, width))

    def _fail(self, node: yaml.Node, message: str) -> DefinitionError:
        return self._document._at(self._span(node), f"not a definition: {message}")
