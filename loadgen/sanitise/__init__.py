"""Takes secrets and persons out of recorded traffic, and says so in a manifest that belongs to the trace; fails closed.

An allow-list keeps what is known to be harmless (`sanitiser`, `payload`, `words`), keyed pseudonyms stand for names
(`pseudonyms`), a scan looks at every string that is to be written (`leaks`), and the manifest is bound to the content
of the trace (`manifest`, `digest`). What has none plays only against the sandbox (`target`).
"""

from __future__ import annotations

from loadgen.sanitise.leaks import LeakFound
from loadgen.sanitise.manifest import Finding, is_sanitised, resign, scan, vouch
from loadgen.sanitise.sanitiser import Sanitiser
from loadgen.sanitise.target import check_target

__all__ = ["Finding", "LeakFound", "Sanitiser", "check_target", "is_sanitised", "resign", "scan", "vouch"]
