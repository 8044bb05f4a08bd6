"""A surge: more flow than was recorded, by its shape."""

from __future__ import annotations

from typing import Any, ClassVar

from loadgen.transform.base import Transform


class Surge(Transform):
    """Base of every shape; `shape` says in YAML which one."""

    key: ClassVar[str] = "surge"

    def said(self) -> Any:  # noqa: ANN401 - what YAML holds
        """The parameters, and the shape even where it was not given as a parameter."""
        return {"shape": self.shape, **super().said()}  # type: ignore[attr-defined]
