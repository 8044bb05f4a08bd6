"""`python -m sandbox.node.volume MB FILL VOLUME -- COMMAND …`: the command, with a small disk where VOLUME is.

The disk is a tmpfs in a mount namespace (inside a user namespace, so without root), and holds what VOLUME held. With
FILL nothing is free on it. The process becomes the command: same pid, same user, and the disk goes with it.
"""

import contextlib
import ctypes
import errno
import os
import shutil
import signal
import sys
from pathlib import Path

FULL = ".muster-full"
_MS_REC, _MS_PRIVATE, _MS_NOSUID, _MS_NODEV = 0x4000, 1 << 18, 0x2, 0x4
_PR_SET_PDEATHSIG = 1
_CHUNK = 256 * 1024


def main(argv: list[str]) -> int:
    """Make the disk and become the command; 71 with one line in the log where that fails."""
    size, fill, folder, _, *command = argv
    parent = os.getppid()
    try:
        enter()
        _disk(int(size), Path(folder))
        if fill == "1":
            _fill(Path(folder) / FULL)
        _die_with(parent)
        os.execvp(command[0], command)
    except (OSError, shutil.Error) as error:
        sys.stderr.write(f"volume {folder} of {size} MB: {error}\n")
    return 71


def enter() -> None:
    """Move this process into namespaces of its own, as the same user; raises OSError where that is not allowed."""
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, "it takes Linux")
    user, group = os.geteuid(), os.getegid()
    try:
        os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNS)
    except OSError:
        if user != 0:
            raise
        os.unshare(os.CLONE_NEWNS)  # root needs no user namespace
    else:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)


def _disk(size_mb: int, folder: Path) -> None:
    below = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)  # what is there, also when it is covered
    _mount("muster", str(folder), "tmpfs", _MS_NOSUID | _MS_NODEV, f"size={size_mb}m,mode=700")
    shutil.copytree(f"/proc/self/fd/{below}", folder, dirs_exist_ok=True, symlinks=True)
    os.close(below)
    os.chdir(folder)  # the working directory was the covered one


def _fill(path: Path) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    chunk = bytes(_CHUNK)
    try:
        while True:
            os.write(handle, chunk)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    finally:
        os.close(handle)


def _mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    words = [None if word is None else word.encode() for word in (source, target, kind)]
    if libc.mount(*words, ctypes.c_ulong(flags), options.encode()) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), target)


def _die_with(parent: int) -> None:
    """The kernel may have forgotten the death signal when the user namespace changed."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
