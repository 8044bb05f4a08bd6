"""JSON Schema of definitions, for editors that complete and check YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from drills.model import Drill, Environment, Sop
from drills.model_phases import PHASE_KINDS
from drills.registry import FaultInfo
from drills.units import format_duration

KINDS: dict[str, type[BaseModel]] = {"drill": Drill, "environment": Environment, "sop": Sop}
"""The kinds of definitions that have a schema of ours (an experiment's is the Chaos Toolkit's)."""

_BASE = "https://muster-drills.dev/schema/"


class _Generator(GenerateJsonSchema):
    """Keys as they are written; an optional key may be left out, not null."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        if made.get("type") == "string" and isinstance(made.get("default"), float):
            made["default"] = format_duration(made["default"])
        return {key: value for key, value in made.items() if key != "default" or value is not None}


def json_schema(kind: str, faults: Mapping[str, FaultInfo], steps: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a drill, sop or environment.

    `faults` become the allowed keys of a fault; `steps`, key to the type of what it takes, those of a step of
    `load.transform` (None: any). Raises KeyError for another kind.
    """
    schema = KINDS[kind].model_json_schema(by_alias=True, schema_generator=_Generator)
    definitions = schema.get("$defs", {})
    if "Phase" in definitions:
        definitions["Phase"]["oneOf"] = [{"required": [name]} for name in PHASE_KINDS]
    if "FaultSpec" in definitions:
        definitions["FaultSpec"] = _fault_schema(faults, definitions)
    if "Load" in definitions and steps is not None:
        definitions["Step"] = _step_schema(steps, definitions)
        definitions["Load"]["properties"]["transform"]["items"] = {"$ref": "#/$defs/Step"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"{_BASE}{kind}.json", **schema}


def _fault_schema(faults: Mapping[str, FaultInfo], definitions: dict[str, Any]) -> dict[str, Any]:
    properties = {}
    for name, info in sorted(faults.items()):
        made = info.model.model_json_schema(by_alias=True, schema_generator=_Generator)
        definitions.update(made.pop("$defs", {}))
        properties[name] = {**made, "description": info.summary}
    return _one_key("A fault and its parameters, written as one key.", properties)


def _step_schema(steps: Mapping[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    properties = {}
    for name, annotation in steps.items():
        made = TypeAdapter(annotation).json_schema(
            by_alias=True, schema_generator=_Generator, ref_template="#/$defs/{model}"
        )
        definitions.update(made.pop("$defs", {}))
        properties[name] = made
    return _one_key("A step that makes another trace, written as one key.", properties)


def _one_key(description: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "description": description,
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
