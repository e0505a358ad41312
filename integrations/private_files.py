"""Files that hold secrets: readable by their owner alone, whole or not there."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

SECRET_BYTES = 32


class UnsafeKeyFileError(Exception):
    """A secret's file can be read by others than its owner."""


def load_secret(file: Path) -> bytes:
    """The secret in `file`, made with SECRET_BYTES random bytes if it is missing."""
    make_folder(file.parent)
    if not file.exists():
        create(file, secrets.token_bytes(SECRET_BYTES))
    return read_private(file)


def make_folder(folder: Path) -> None:
    """A folder that only its owner may enter, if there is none."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def create(file: Path, content: bytes) -> None:
    """Write a file of mode 0600 that appears whole or not at all; the first of two writers wins."""
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as sink:
            sink.write(content)
            sink.flush()
            os.fsync(sink.fileno())
        try:
            file.hardlink_to(temporary)
        except FileExistsError:
            return
    finally:
        temporary.unlink(missing_ok=True)


def read_private(file: Path) -> bytes:
    """The content. Raises UnsafeKeyFileError if others than its owner may read it.

    A file of another owner is read through its group: container platforms mount secrets so.
    """
    state = file.stat()
    others = 0o037 if state.st_uid != os.geteuid() else 0o077
    if stat.S_IMODE(state.st_mode) & others:
        raise UnsafeKeyFileError(f"{file} must be readable by its owner only (chmod 600)")
    return file.read_bytes()
