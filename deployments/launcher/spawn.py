"""Exec a server so that it ends when its parent does. Run as a script; standard library only.

    python -I spawn.py PARENT_PID SIGNAL MODE PROGRAM [ARGUMENT…]

A separate program because the same steps between fork and exec of a threaded parent may deadlock.
On Linux the kernel sends SIGNAL when the parent dies (prctl PR_SET_PDEATHSIG); elsewhere the server
is watched by its parent alone. MODE `unprivileged` enters a user namespace in which root is mapped
to nobody: PostgreSQL refuses to run as root, and this needs neither a new account nor a chown. MODE
`nobody` becomes that user outright, where namespaces are forbidden; the files are given to it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x1000_0000
NOBODY = 65_534


def enter_user_namespace() -> None:
    """Become `nobody` inside a new user namespace, still root's files outside. Raises OSError."""
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "user namespaces are not available")
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{NOBODY} {uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{NOBODY} {gid} 1", encoding="ascii")


def main(arguments: list[str]) -> None:
    """Prepare this process and replace it."""
    parent, signum, mode, program, *rest = arguments
    if mode == "unprivileged":
        enter_user_namespace()
    elif mode == "nobody":
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    if sys.platform == "linux":
        # After the namespace: changing credentials clears it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signum))
        if os.getppid() != int(parent):
            sys.exit("the parent is gone")
    os.execv(program, [program, *rest])  # noqa: S606 - the launcher's own program


if __name__ == "__main__":
    main(sys.argv[1:])
