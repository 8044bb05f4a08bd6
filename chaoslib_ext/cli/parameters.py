"""The parameters of a fault or an action in words, from the JSON Schema of its model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: the values it takes, its default ("required", or nothing where there is none), what it means."""

    name: str
    value: str
    default: str | None
    meaning: str

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default == REQUIRED


REQUIRED = "required"


def parameters(model: type[BaseModel]) -> Iterator[Parameter]:
    """Every parameter of a model, in the order in which it declares them."""
    schema = model.model_json_schema(by_alias=True)
    for name, prop in schema.get("properties", {}).items():
        default = prop.get("default")
        shown = REQUIRED if name in schema.get("required", ()) else None if default is None else _plain(default)
        yield Parameter(name, value(prop, schema.get("$defs", {})), shown, prop.get("description", ""))


def _plain(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return ", ".join(map(str, default)) if isinstance(default, list) else str(default)


def value(prop: Mapping[str, Any], named: Mapping[str, Any]) -> str:
    """The values that a property takes: choices as they are, else the kind of value."""
    if "$ref" in prop:
        return value(named[str(prop["$ref"]).rpartition("/")[2]], named)
    if "anyOf" in prop:
        kinds = [value(one, named) for one in prop["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "const" in prop or "enum" in prop:
        return " ".join(f"`{choice}`" for choice in prop.get("enum", [prop.get("const")]))
    if str(prop.get("pattern", "")).endswith("(ms|s|m|h|d)$"):
        return "duration"
    if str(prop.get("pattern", "")).endswith("%$"):
        return "share"
    if prop.get("type") == "array":
        return f"list of {value(prop.get('items', {}), named)}"
    low = prop.get("minimum", prop.get("exclusiveMinimum", -1) + 1)
    if prop.get("type") == "integer" and "maximum" in prop:
        return f"{low} to {prop['maximum']:,}"
    words = {"string": "name", "boolean": "`true` `false`", "object": "mapping", "null": "nothing"}
    return words.get(str(prop.get("type")), str(prop.get("type", "value")))
