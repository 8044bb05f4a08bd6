"""Figures as people read them: one place for spaces, digits and units."""

from __future__ import annotations

import re

from drills.units import format_duration


def seconds_text(value: float | None, error: float | None = None) -> str:
    """A measured time: `2.14 s ± 0.02`; `never` for one that was never reached."""
    if value is None:
        return "never"
    digits = 3 if abs(value) < 0.1 else 2
    text = f"{value:.{digits}f} s"
    # an error is never shown as smaller than the last digit
    return text if error is None else f"{text} ± {max(error, 10**-digits):.{digits}f}"


def duration_text(seconds: float) -> str:
    """A limit as it was written, with a space: `10 s`, `500 ms`, `5 m`."""
    return re.sub(r"(?<=[0-9])(?=[a-z])", " ", format_duration(seconds))


def percent_text(share: float, digits: int = 2) -> str:
    """A share in percent: `99.86 %`. It is cut, not rounded, so that 99.999 % is never shown as 100 %."""
    scale = 10 ** (digits + 2)
    # the small term keeps 0.29 * 100 from being cut to 28
    return f"{int(share * scale + 1e-6) / 10**digits:.{digits}f} %"


def sentence(text: str) -> str:
    """With a capital at the start and a full stop at the end."""
    text = text.strip()
    return text if not text else text[0].upper() + text[1:].rstrip(".") + "."
