"""`python -m chaoslib_ext.guardian.hand RECIPE` plays one undo recipe (JSON), without the tools of its plane."""

from __future__ import annotations

import sys

import orjson

from chaoslib_ext.guardian import verbs
from chaoslib_ext.guardian.verbs import NotUndone


def main(recipe: str) -> int:
    """Order the undo; 0 where it was taken, else 1 with one line."""
    read = orjson.loads(recipe)
    try:
        verbs.find(read["verb"]).undo(read["args"])
    except NotUndone as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
