"""Undo of certificates that were replaced: the former bytes, which lie beside them, go back."""

from __future__ import annotations

import hashlib
import os
import shlex
from pathlib import Path

from chaoslib_ext.certificates import VALID, look, verdict
from chaoslib_ext.guardian.verbs.base import Args, NotUndone, Verb


class Restore:
    """`tls.restore` {instance, file, kept, sha256, ca, addresses}: the file holds what it held before.

    `kept` is the copy that was made of it; where there is none, nothing was replaced. `addresses` are the host:port
    where the certificate is shown.
    """

    def undo(self, args: Args) -> None:
        """Move the copy over the file, in one step; without a copy there is nothing to do."""
        kept = Path(args["kept"])
        try:
            if _sum(kept) != args["sha256"]:
                raise NotUndone(f"{kept} is not the former certificate of {args['instance']}; put that back by hand")
            os.replace(kept, args["file"])
        except FileNotFoundError:
            pass
        except OSError as error:
            raise NotUndone(f"{args['file']}: {error.strerror}") from error
        for part in (f"{kept}.part", f"{kept}.new"):  # what a kill in the middle of it left
            Path(part).unlink(missing_ok=True)

    def observe(self, args: Args) -> str:
        """The file is the former one, and who asks the instance for its certificate sees a valid one."""
        file = args["file"]
        try:
            found = _sum(Path(file))
        except OSError as error:
            raise NotUndone(f"{file}: {error.strerror}") from error
        if found != args["sha256"]:
            raise NotUndone(f"{file} is not the former certificate of {args['instance']}")
        seen = []
        for address in args["addresses"]:
            code = look(address, args["ca"])
            if code is not None and code != VALID:
                raise NotUndone(f"{args['instance']} at {address} still shows a certificate that is {verdict(code)}")
            seen.append(f"{address} {'takes no connection' if code is None else 'shows a valid certificate'}")
        return f"{file} is as before; {', '.join(seen)}"

    def by_hand(self, args: Args) -> str:
        """Move the copy back."""
        kept, file = shlex.quote(args["kept"]), shlex.quote(args["file"])
        return f"{{ test ! -e {kept} || mv -f {kept} {file}; }} && rm -f {kept}.part {kept}.new"


VERBS: dict[str, Verb] = {"tls.restore": Restore()}


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
