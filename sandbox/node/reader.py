"""Walks a manifest that was read from YAML and names the place of every mistake."""

from typing import Any, NoReturn

from sandbox.errors import BadUse


class Reader:
    """One manifest; `source` is its file. Every method raises BadUse naming source, place and value."""

    def __init__(self, source: str) -> None:
        self.source = source

    def fail(self, place: str, message: str) -> NoReturn:
        """Raise BadUse with the place of a mistake."""
        raise BadUse(f"{self.source}: {place}: {message}")

    def mapping(self, value: object, place: str) -> dict[str, Any]:
        """A mapping; empty where there is nothing."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.fail(place, f"{value!r} is not a mapping")
        return value

    def items(self, value: object, place: str) -> list[Any]:
        """A list; empty where there is nothing."""
        if value is None:
            return []
        if not isinstance(value, list):
            self.fail(place, f"{value!r} is not a list")
        return value

    def text(self, value: object, place: str) -> str:
        """Text that is not empty."""
        if not isinstance(value, str) or not value:
            self.fail(place, f"{value!r} is not a name")
        return value

    def number(self, value: object, place: str) -> int:
        """A whole number."""
        if not isinstance(value, int) or isinstance(value, bool):
            self.fail(place, f"{value!r} is not a whole number")
        return value
