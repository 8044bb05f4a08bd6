"""The programs that the sandbox is made of, and where to get each without root, apt or containers."""

from sandbox.parts.lookup import PARTS, Found, ensure, find

__all__ = ["PARTS", "Found", "ensure", "find"]
