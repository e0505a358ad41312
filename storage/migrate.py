"""Versioned SQL migrations, a folder and a schema per context.

`storage/migrations/<context>/NNNN_what.sql` runs once, in order, each file in one transaction, with
its SHA-256 recorded: an edited file that already ran is refused. Several processes may migrate at
the same moment; one does the work. A file whose first line is `-- no-transaction` runs outside one
(CREATE INDEX CONCURRENTLY), with a lock timeout.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path

import asyncpg

from storage.database import Connection

MIGRATIONS = Path(__file__).with_name("migrations")
ADVISORY_LOCK = 0x5669_6265
NO_TRANSACTION = "-- no-transaction"

_BOOK = """
create schema if not exists migrations;
create table if not exists migrations.applied (
    context text not null,
    version text not null,
    sha256 text not null,
    at timestamptz not null default now(),
    primary key (context, version)
)"""


class MigrationDrift(Exception):  # noqa: N818
    """A migration that already ran was edited. Write a new one instead."""


def migration_files(folder: Path = MIGRATIONS) -> Iterator[tuple[str, Path]]:
    """(context, file) in the order they run."""
    for context in sorted(p for p in folder.iterdir() if p.is_dir()):
        for file in sorted(context.glob("[0-9]*.sql")):
            yield context.name, file


async def migrate(url: str, folder: Path = MIGRATIONS) -> list[str]:
    """Apply what is missing and return its names. Raises MigrationDrift or the server's error."""
    connection = await asyncpg.connect(url)
    try:
        # The blocking form would deadlock with CREATE INDEX CONCURRENTLY, which waits for all
        # transactions that hold a snapshot; the try form holds none while it waits.
        while not await connection.fetchval(  # noqa: ASYNC110 - the lock has no event to await
            "select pg_try_advisory_lock($1)", ADVISORY_LOCK
        ):
            await asyncio.sleep(0.05)
        return await _apply_missing(connection, folder)
    finally:
        await connection.close()


async def _apply_missing(connection: Connection, folder: Path) -> list[str]:
    await connection.execute(_BOOK)
    rows = await connection.fetch("select context, version, sha256 from migrations.applied")
    done = {(row["context"], row["version"]): row["sha256"] for row in rows}
    applied = []
    for context, file in migration_files(folder):
        sql = file.read_text(encoding="utf-8")
        digest = hashlib.sha256(sql.encode()).hexdigest()
        name = f"{context}/{file.stem}"
        recorded = done.get((context, file.stem))
        if recorded == digest:
            continue
        if recorded is not None:
            raise MigrationDrift(f"{name} was edited after it ran")
        await _run(connection, context, file.stem, sql, digest)
        applied.append(name)
    return applied


async def _run(connection: Connection, context: str, version: str, sql: str, digest: str) -> None:
    record = "insert into migrations.applied (context, version, sha256) values ($1, $2, $3)"
    await connection.execute(f'create schema if not exists "{context}"')
    if sql.startswith(NO_TRANSACTION):
        await connection.execute("set lock_timeout = '5s'")
        await connection.execute(sql)
        await connection.execute(record, context, version, digest)
        return
    async with connection.transaction():
        await connection.execute(sql)
        await connection.execute(record, context, version, digest)
