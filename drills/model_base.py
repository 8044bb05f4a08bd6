"""What every model of a definition shares."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, WithJsonSchema
from pydantic_core import PydanticCustomError

from drills.units import quoted

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?", re.ASCII)


class Model(BaseModel):
    """Frozen, and no key that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


def _slug(text: str) -> str:
    if not _SLUG.fullmatch(text):
        problem = "{value} is not a name; use a-z, 0-9 and - (at most 64)"
        raise PydanticCustomError("slug", problem, {"value": quoted(text)})
    return text


def _filled(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("filled", "is empty; say it in a sentence")
    return text.strip()


Slug = Annotated[
    str,
    AfterValidator(_slug),
    WithJsonSchema({"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$"}),
]
"""A name that is also a folder or an id."""

Text = Annotated[str, AfterValidator(_filled), WithJsonSchema({"type": "string", "minLength": 1})]
"""Words for people; not empty."""
