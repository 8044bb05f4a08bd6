"""The errors of the sandbox, each one line for a person and an exit code for a script.

SandboxError (70)
├── BadUse (2)      a command or a manifest that cannot mean what it says
├── NotUp (3)       asked something of a sandbox that is not running
└── Refused (5)     nothing was started: already up, a port in use, a part missing
"""


class SandboxError(Exception):
    """Base: a component failed; the message names it first and says what to do."""

    exit_code = 70


class BadUse(SandboxError):
    """A command line or a manifest with a mistake."""

    exit_code = 2


class NotUp(SandboxError):
    """There is no running sandbox of this checkout."""

    exit_code = 3


class Refused(SandboxError):
    """Nothing was started or changed."""

    exit_code = 5

    def __init__(self, message: str) -> None:
        super().__init__(f"refused: {message}")
