"""`muster sandbox …`: hands the words over to `python -m sandbox`, which knows nothing of us, nor we of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import click

_SUBCOMMANDS = {
    "up": "Start it, and return when every instance is ready.",
    "down": "End it and everything it started; fine when nothing runs.",
    "status": "Show every instance.",
    "logs": "Print the log of one instance (or of `agent`).",
    "env": 'Print exports for a shell: eval "$(muster sandbox env)".',
    "describe": "Print addresses, instances and links as JSON.",
    "parts": "Find every part, building what has to be built (once).",
}


def hand_over(words: list[str]) -> int:
    """Run `python -m sandbox WORDS` on our terminal and return its exit code; Ctrl-C is its own to answer."""
    child = subprocess.Popen(
        [sys.executable, "-m", "sandbox", *words], env={**os.environ, "SANDBOX_PROG": "muster sandbox"}
    )
    while True:
        try:
            code = child.wait()
        except KeyboardInterrupt:  # the terminal told the child as well: let it clean up
            continue
        return code if code >= 0 else 128 - code


@click.group()
def command() -> None:
    """Run the exchange in a box: one per checkout, on loopback, without root."""


def _forwarder(name: str) -> Callable[..., int]:
    @click.pass_context
    def forward(context: click.Context) -> int:
        return hand_over([name, *context.args])

    return forward


for _name, _help in _SUBCOMMANDS.items():
    command.command(
        _name,
        help=_help,
        add_help_option=False,  # the sandbox describes its own options
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )(_forwarder(_name))
