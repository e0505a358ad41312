"""The object store: immutable blobs under content-addressed names.

A name is derived from the blob's SHA-256, so writing the same blob twice changes nothing, and a
crash between writing a blob and the row that names it leaves only a blob that the next attempt
reuses. Nothing is ever overwritten with other bytes, so readers need no locks.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import obstore
from obstore.store import LocalStore, MemoryStore, from_url

CHUNK_BYTES = 64 * 1024
PART_BYTES = 8 * 1024 * 1024


class ObjectMissingError(Exception):
    """A row names an object that the store does not have: a bug or a lost disk, never a refusal."""


class ObjectStore(Protocol):
    """What the rest of VibeStream knows of an object store."""

    async def put_file(self, name: str, file: Path, content_type: str) -> None:
        """Store the file's bytes under `name`, durably, all or nothing."""

    async def size(self, name: str) -> int:
        """Its length in bytes. Raises ObjectMissingError."""

    async def read(self, name: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Its bytes from `start` up to `stop` in chunks of about CHUNK_BYTES.

        Raises ObjectMissingError before the first chunk.
        """

    async def check(self) -> None:
        """Raise if the store cannot be reached."""


def audio_name(sha256: bytes) -> str:
    """The name of the original upload with this digest."""
    digest = sha256.hex()
    return f"audio/{digest[:2]}/{digest}"


def open_objects(url: str) -> ObjectStore:
    """A store from `file:///folder` (made if missing), `memory:///` or `s3://bucket/prefix`.

    S3 credentials and endpoint come from the usual AWS_… variables.
    """
    if url.startswith("file://"):
        return FolderObjects(Path(url.removeprefix("file://")))
    return RemoteObjects(MemoryStore() if url.startswith("memory:") else from_url(url))


class RemoteObjects:
    """Objects behind obstore: S3 and its kin, or memory."""

    def __init__(self, store: Any) -> None:
        self._store = store

    async def put_file(self, name: str, file: Path, content_type: str) -> None:
        """See ObjectStore."""
        await obstore.put_async(
            self._store, name, _parts(file), attributes={"Content-Type": content_type}
        )

    async def size(self, name: str) -> int:
        """See ObjectStore."""
        try:
            meta = await obstore.head_async(self._store, name)
        except FileNotFoundError:
            raise ObjectMissingError(name) from None
        return int(meta["size"])

    async def read(self, name: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """See ObjectStore."""
        try:
            got = await obstore.get_async(self._store, name, options={"range": (start, stop)})
        except FileNotFoundError:
            raise ObjectMissingError(name) from None
        return _chunks(got)

    async def check(self) -> None:
        """See ObjectStore."""
        try:
            await obstore.head_async(self._store, "audio/health")
        except FileNotFoundError:
            return


class FolderObjects(RemoteObjects):
    """Objects in a local folder. Reads through obstore; writes with fsync, which it does not do."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        super().__init__(LocalStore(folder))
        self._folder = folder

    async def put_file(self, name: str, file: Path, content_type: str) -> None:
        """See ObjectStore. The folder keeps no content type; the song's row does."""
        await asyncio.to_thread(self._write, name, file)

    def _write(self, name: str, source: Path) -> None:
        target = self._folder / name
        if target.exists():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".writing-")
        try:
            with os.fdopen(handle, "wb") as sink, source.open("rb") as data:
                shutil.copyfileobj(data, sink, PART_BYTES)
                sink.flush()
                os.fsync(sink.fileno())
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        # Without its folders on disk the file is not on disk either.
        for folder in (target.parent, target.parent.parent, self._folder):
            _sync_folder(folder)

    async def check(self) -> None:
        """See ObjectStore."""
        if not os.access(self._folder, os.W_OK):
            raise PermissionError("the object folder is not writable")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


async def _parts(file: Path) -> AsyncIterator[bytes]:
    with file.open("rb") as data:
        while part := await asyncio.to_thread(data.read, PART_BYTES):
            yield part


async def _chunks(got: Any) -> AsyncIterator[bytes]:
    async for chunk in got.stream(min_chunk_size=CHUNK_BYTES):
        yield bytes(chunk)
