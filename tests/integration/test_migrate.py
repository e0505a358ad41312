"""Migrations: once each, together or not at all, never edited."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from storage.migrate import MigrationDrift, migrate


def _write(folder: Path, name: str, sql: str) -> None:
    file = folder / "shop" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(sql, "utf-8")


async def test_four_at_once_apply_each_file_once(database_url: str, tmp_path: Path) -> None:
    _write(tmp_path, "0001_items.sql", "create table shop.items (id int primary key)")
    index = "-- no-transaction\ncreate index concurrently if not exists items_i on shop.items (id)"
    _write(tmp_path, "0002_index.sql", index)
    applied = await asyncio.gather(*(migrate(database_url, tmp_path) for _ in range(4)))
    assert sorted(name for names in applied for name in names) == [
        "shop/0001_items",
        "shop/0002_index",
    ]


async def test_a_failing_file_leaves_nothing(database_url: str, tmp_path: Path) -> None:
    _write(tmp_path, "0001_bad.sql", "create table shop.half (id int); select 1 / 0")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(database_url, tmp_path)
    connection = await asyncpg.connect(database_url)
    assert await connection.fetchval("select to_regclass('shop.half')") is None
    await connection.close()
    _write(tmp_path, "0001_bad.sql", "create table shop.half (id int)")
    assert await migrate(database_url, tmp_path) == ["shop/0001_bad"]


async def test_an_edited_file_is_refused(database_url: str, tmp_path: Path) -> None:
    _write(tmp_path, "0001_items.sql", "create table shop.items (id int)")
    await migrate(database_url, tmp_path)
    _write(tmp_path, "0001_items.sql", "create table shop.items (id bigint)")
    with pytest.raises(MigrationDrift, match="shop/0001_items"):
        await migrate(database_url, tmp_path)
