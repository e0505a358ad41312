"""The audit log on a real PostgreSQL: sealed in the order of its transactions, tampering found."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from deployments.commands import audit_files
from messages.audit import Fault, Seal
from messages.users import Role
from storage import audit, audit_chain
from storage import users as users_storage
from storage.database import Connection, Pool
from tests.api_services import Api, assert_problem, make_services, open_api

STATEMENTS = [
    value
    for name, value in vars(audit_chain).items()
    if name[0] != "_" and name.isupper() and isinstance(value, str)
]


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(make_services(tmp_path, pool)) as opened:
        yield opened


async def record(connection: Connection, n: int) -> None:
    await audit.record(
        connection, f"test.done-{n}", actor="u", subject=f"thing:{n}", at_ms=n, detail={"n": n}
    )


async def fill(pool: Pool, count: int, first: int = 1) -> None:
    for n in range(first, first + count):
        async with pool.acquire() as connection, connection.transaction():
            await record(connection, n)


async def sealed(pool: Pool) -> None:
    while await audit_chain.seal_settled(pool, 3):
        pass


async def found(pool: Pool, *pins: Seal) -> list[tuple[Fault, int, int]]:
    async with pool.acquire() as connection:
        told = await audit_chain.faults(connection, pins)
    return [(fault.kind, fault.number, fault.entry_id) for fault in told]


async def tamper(url: str, *statements: str) -> None:
    """As a superuser who turns the triggers off."""
    connection = await asyncpg.connect(url)
    await connection.execute("set session_replication_role = replica")
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def test_every_statement_compiles(pool: Pool) -> None:
    assert len(STATEMENTS) >= 8
    async with pool.acquire() as connection:
        for statement in STATEMENTS:
            await connection.prepare(statement)


async def test_entries_and_seals_are_append_only(pool: Pool) -> None:
    await fill(pool, 2)
    await sealed(pool)
    for statement in (
        "update audit.entries set actor = 'x'",
        "delete from audit.entries",
        "truncate audit.entries cascade",
        "update audit.chain set hash = decode(repeat('00', 32), 'hex')",
        "delete from audit.chain",
        "truncate audit.chain",
    ):
        with pytest.raises(asyncpg.RaiseError, match="append-only"):
            await pool.execute(statement)
    assert not await found(pool)


async def test_an_entry_is_sealed_once_every_transaction_before_it_is_over(pool: Pool) -> None:
    async with pool.acquire() as slow:
        transaction = slow.transaction()
        await transaction.start()
        await record(slow, 1)
        await fill(pool, 2, first=2)
        await sealed(pool)
        assert await audit_chain.head(pool) is None, "the first is not over yet"
        await transaction.commit()
    await sealed(pool)
    rows = await pool.fetch(
        "select e.action from audit.chain c join audit.entries e using (entry_id) order by number"
    )
    assert [row["action"] for row in rows] == ["test.done-1", "test.done-2", "test.done-3"]
    assert not await found(pool)


async def test_sealers_at_the_same_moment_make_one_chain(pool: Pool) -> None:
    await fill(pool, 20)
    counts = await asyncio.gather(*(audit_chain.seal_settled(pool, 4) for _ in range(8)))
    assert sum(counts) == 20
    head = await audit_chain.head(pool)
    assert head is not None
    assert head.number == 20
    assert not await found(pool)


async def test_tampering_is_found_where_it_was_done(pool: Pool, database_url: str) -> None:
    await fill(pool, 6)
    await sealed(pool)
    ids = [row[0] for row in await pool.fetch("select entry_id from audit.chain order by number")]
    await tamper(
        database_url,
        f"update audit.entries set actor = 'somebody else' where entry_id = {ids[1]}",
        f"delete from audit.entries where entry_id = {ids[3]}",
        "insert into audit.entries (xid, at_ms, action, actor, subject, detail)"
        f" select xid, 1, 'test.never', 'u', 'x', '{{}}' from audit.entries"
        f" where entry_id = {ids[0]}",
    )
    last = await pool.fetchval("select max(entry_id) from audit.entries")
    assert await found(pool) == [
        (Fault.CHANGED, 2, ids[1]),
        (Fault.REMOVED, 4, ids[3]),
        (Fault.INSERTED, 0, last),
    ]
    await sealed(pool)
    await fill(pool, 1, first=9)
    await sealed(pool)
    assert len(await found(pool)) == 3, "sealing goes on and heals nothing"


async def test_a_log_cut_or_made_anew_is_not_the_one_that_was_pinned(
    pool: Pool, database_url: str
) -> None:
    await fill(pool, 4)
    await sealed(pool)
    pin = await audit_chain.head(pool)
    assert pin is not None
    assert not await found(pool, pin)
    await tamper(
        database_url,
        "delete from audit.chain",
        "update audit.entries set actor = 'x' where action = 'test.done-1'",
    )
    await sealed(pool)
    assert not await found(pool), "whole again"
    assert await found(pool, pin) == [(Fault.REWRITTEN, 4, 0)]
    await tamper(database_url, "delete from audit.chain", "delete from audit.entries")
    assert await found(pool, pin) == [(Fault.REWRITTEN, 4, 0)]


async def test_an_export_is_checked_without_the_database(pool: Pool, tmp_path: Path) -> None:
    await fill(pool, 5)
    await sealed(pool)
    pin = await audit_chain.head(pool)
    assert pin is not None
    async with pool.acquire() as connection:
        lines = [line async for line in audit_files.exported(connection)]
    file = tmp_path / "audit.jsonl"
    file.write_bytes(b"".join(lines))
    assert audit_files.faults(file, [pin]) == ([], pin)
    changed = lines[2].replace(b'"actor":"u"', b'"actor":"v"')
    assert changed != lines[2]
    file.write_bytes(b"".join([*lines[:2], changed, *lines[3:]]))
    told, _ = audit_files.faults(file, [pin])
    assert [fault.kind for fault in told] == [Fault.CHANGED]
    file.write_bytes(b"".join(lines[:4]))
    told, _ = audit_files.faults(file, [pin])
    assert [fault.kind for fault in told] == [Fault.REWRITTEN]
    for bad in (b"{}\n", b"[", b'{"number":1,"xid":1,"entry_id":1,"hash":"zz","entry":null}\n'):
        file.write_bytes(bad)
        with pytest.raises(audit_files.NotAnExportError):
            audit_files.faults(file, [])


async def test_admins_read_the_log_page_by_page(api: Api) -> None:
    await api.register()
    await api.sign_in()
    await users_storage.grant_role(api.pool, "mira", Role.ADMIN)
    await fill(api.pool, 5)
    await sealed(api.pool)
    await fill(api.pool, 1, first=6)
    url = "/api/v1/audit/entries"
    seen: list[str] = []
    cursor = ""
    while True:
        params = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        body = (await api.client.get(url, params=params, headers=api.headers())).json()
        seen += [item["action"] for item in body["items"] if item["action"].startswith("test.")]
        cursor = body["next_cursor"]
        if not cursor:
            break
    assert seen == [f"test.done-{n}" for n in (6, 5, 4, 3, 2, 1)]
    first = (await api.client.get(url, params={"limit": 1}, headers=api.headers())).json()
    assert first["items"][0]["number"] is None
    for params, wanted in (
        ({"about": "thing:3"}, ["test.done-3"]),
        ({"actor": "u", "since_ms": "4", "until_ms": "6"}, ["test.done-5", "test.done-4"]),
        ({"action": "test.done-2"}, ["test.done-2"]),
        ({"action": "tes"}, []),
        ({"actor": "nobody"}, []),
    ):
        body = (await api.client.get(url, params=params, headers=api.headers())).json()
        assert [item["action"] for item in body["items"]] == wanted, params
    assert body["next_cursor"] is None
    bad = await api.client.get(url, params={"cursor": "x"}, headers=api.headers())
    assert_problem(bad, 422, "cursor-invalid")


@pytest.mark.parametrize("role", [Role.USER, Role.ARTIST, Role.MODERATOR])
async def test_nobody_else_reads_it(api: Api, role: Role) -> None:
    url = "/api/v1/audit/entries"
    assert_problem(await api.client.get(url), 401, "unauthenticated")
    await api.register()
    await users_storage.grant_role(api.pool, "mira", role)
    await api.sign_in()
    refused = await api.client.get(url, headers=api.headers())
    assert_problem(refused, 403, "permission-missing")


async def test_anybody_sees_the_head_and_any_number_of_the_chain(api: Api) -> None:
    url = "/api/v1/audit/head"
    assert_problem(await api.client.get(url), 404, "audit-chain-empty")
    await fill(api.pool, 3)
    await sealed(api.pool)
    head = (await api.client.get(url)).json()
    assert head["number"] == 3
    assert len(bytes.fromhex(head["hash"])) == 32
    second = (await api.client.get(url, params={"number": 2})).json()
    assert second["number"] == 2
    assert second["hash"] != head["hash"]
    later = await api.client.get(url, params={"number": 4})
    assert_problem(later, 404, "audit-chain-empty")
    assert json.dumps(head).count("thing") == 0, "a hash and nothing of what was done"
