"""One suite for every object store."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from storage.objects import (
    FolderObjects,
    ObjectMissingError,
    ObjectStore,
    audio_name,
    open_objects,
)

CONTENT = bytes(range(256)) * 2_000
NAME = audio_name(hashlib.sha256(CONTENT).digest())


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    urls = {"folder": f"file://{tmp_path / 'objects'}", "memory": "memory:///"}
    return open_objects(urls[request.param])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


async def read(store: ObjectStore, start: int, stop: int) -> bytes:
    return b"".join([chunk async for chunk in await store.read(NAME, start, stop)])


async def test_what_is_put_is_read(store: ObjectStore, file: Path) -> None:
    await store.put_file(NAME, file, "audio/ogg")
    assert await store.size(NAME) == len(CONTENT)
    assert await read(store, 0, len(CONTENT)) == CONTENT
    assert await read(store, 70_000, 70_001) == CONTENT[70_000:70_001]
    assert await read(store, len(CONTENT) - 5, len(CONTENT)) == CONTENT[-5:]
    await store.check()


async def test_putting_twice_at_once_is_putting_once(store: ObjectStore, file: Path) -> None:
    await asyncio.gather(*(store.put_file(NAME, file, "audio/ogg") for _ in range(4)))
    assert await read(store, 0, len(CONTENT)) == CONTENT


async def test_what_is_missing_is_said_to_be(store: ObjectStore) -> None:
    with pytest.raises(ObjectMissingError):
        await store.size(NAME)
    with pytest.raises(ObjectMissingError):
        await store.read(NAME, 0, 1)
    await store.check()


async def test_a_folder_holds_whole_objects_only(tmp_path: Path, file: Path) -> None:
    folder = tmp_path / "objects"
    store = FolderObjects(folder)
    await store.put_file(NAME, file, "audio/ogg")
    with pytest.raises(FileNotFoundError):
        await store.put_file("audio/aa/other", tmp_path / "no such file", "audio/ogg")
    assert [path for path in folder.rglob("*") if path.is_file()] == [folder / NAME]


async def test_a_folder_that_is_gone_fails_its_check(tmp_path: Path) -> None:
    store = FolderObjects(tmp_path / "objects")
    (tmp_path / "objects").rmdir()
    with pytest.raises(OSError):
        await store.check()
