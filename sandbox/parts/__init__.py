"""The programs that the sandbox is made of, and where to get each without root, apt or containers."""

from sandbox.parts.lookup import KUBERNETES, PARTS, Found, ensure, ensure_all, find

__all__ = ["KUBERNETES", "PARTS", "Found", "ensure", "ensure_all", "find"]
