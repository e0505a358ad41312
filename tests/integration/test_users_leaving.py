"""Leaving: a copy of everything, and deletion that erases a person and keeps the books."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from domain.users_accounts import MINUTE_MS, POLICY
from messages.ledger import LedgerTransaction, account, transfer
from storage import ledger, users_erasure, users_export
from storage.database import Pool
from tests.api_services import NOW_MS, Api, assert_problem, make_services, open_api

# Columns that name a user. One that is added is to be thought of here, in erasure and in export.
NAMES_USERS = (
    "user_id", "payer_id", "reporter_id", "follower_id", "artist_user_id", "email", "email_key",
    "recipient",
)  # fmt: skip
NOBODYS = {  # tables with such a column that hold nothing of a user's for longer than a moment
    "users.external_authorizations", "users.external_completions", "users.reset_requests",
}  # fmt: skip
TABLES = """
select distinct table_schema || '.' || table_name from information_schema.columns
where column_name = any($1) and table_schema not in ('pg_catalog', 'information_schema')"""


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(make_services(tmp_path, pool)) as opened:
        await opened.register()
        await opened.sign_in()
        yield opened


def wait(api: Api, ms: int) -> None:
    api.services.clock.now_ms += ms  # type: ignore[attr-defined]


async def me(api: Api) -> str:
    found = await api.client.get("/api/v1/users/me", headers=api.headers())
    return str(found.json()["user_id"])


async def delete(api: Api, username: str = "mira", **body: Any) -> httpx.Response:
    path, body = "/api/v1/users/me/deletion", {"username": username, **body}
    return await api.client.post(path, json=body, headers=api.headers())


async def pay(pool: Pool, user_id: str, amount: int = 700) -> None:
    target = account("user", user_id, "available", "EUR")
    made: LedgerTransaction = transfer(
        b"k" * 16, "outside:bank:funds/EUR", target, amount, cause="test", purpose="credit"
    )
    async with pool.acquire() as connection, connection.transaction():
        await ledger.post(connection, [made], NOW_MS)


async def everything(pool: Pool) -> str:
    """Every row of every table but what is append-only by its nature, as text."""
    tables = await pool.fetch(
        "select table_schema || '.' || table_name from information_schema.tables "
        "where table_type = 'BASE TABLE' and table_schema not in "
        "('pg_catalog', 'information_schema', 'bus')"
    )
    rows = [
        row[0]
        for (table,) in tables
        for row in await pool.fetch(f"select row_to_json(t)::text from {table} t")
    ]
    return "\n".join(rows)


async def test_every_statement_compiles(pool: Pool) -> None:
    constants = {n: v for n, v in vars(users_erasure).items() if n[0] != "_" and n.isupper()}
    statements = [s for s in constants.values() if isinstance(s, str)]
    statements += [*users_erasure.FORGET, *users_erasure.FORGET_ADDRESS]
    statements += [users_export.statement(part) for part in users_export.PARTS]
    async with pool.acquire() as connection:
        for statement in statements:
            await connection.prepare(statement)


async def test_every_table_that_names_users_is_exported_and_erased_or_said_to_stay(
    pool: Pool,
) -> None:
    tables = {row[0] for row in await pool.fetch(TABLES, list(NAMES_USERS))} - NOBODYS
    exported = " ".join(users_export.PARTS.values())
    assert {t for t in tables if t not in exported} == set(users_export.LEFT_OUT) & tables
    source = Path(users_erasure.__file__).parent
    modules = ("erasure", "factors", "wallets", "external", "follows", "activity", "accounts")
    files = [*(f"users_{m}.py" for m in modules), "saved_methods.py"]
    erasing = " ".join((source / file).read_text("utf-8") for file in files)
    gone_with = {"users.refresh_tokens", "users.passkey_challenges"}
    missing = {
        t for t in tables - set(users_erasure.KEPT) - gone_with
        if f"from {t}" not in erasing and f'"{t.split(".")[1]}"' not in erasing
    }  # fmt: skip
    assert not missing - {"users.retired_usernames"}


async def test_a_deleted_account_is_nobody(api: Api, tmp_path: Path) -> None:
    user_id = await me(api)
    await api.register("nils")
    await api.client.patch("/api/v1/users/me", json={"username": "mira2"}, headers=api.headers())
    await api.client.put(
        "/api/v1/users/me/email", json={"email": "mira@new.example"}, headers=api.headers()
    )
    await api.client.post("/api/v1/password-resets", json={"email": "mira@example.org"})
    await pay(api.pool, user_id)
    before = await api.pool.fetchval("select count(*) from ledger.postings")
    held = assert_problem(await delete(api, "mira2"), 409, "account-holds-value")
    assert held["params"] == {"accounts": 1}
    answer = await delete(api, "MIRA2", leave_balances=True)
    assert answer.status_code == 200
    code = f"user:{user_id}:available/EUR"
    assert answer.json() == {"left": [{"code": code, "amount": "700"}]}

    last = await api.pool.fetch("select recipient, params from mail.outgoing where template = $1",
                                "account-deleted")  # fmt: skip
    assert [row["recipient"] for row in last] == ["mira@example.org"]
    await api.pool.execute("delete from mail.outgoing where template = 'account-deleted'")
    text = await everything(api.pool)
    assert "mira" not in text.lower(), [line for line in text.split("\n") if "mira" in line.lower()]
    assert "nils@example.org" in text
    assert await api.pool.fetchval("select count(*) from ledger.postings") == before
    async with api.pool.acquire() as connection:
        assert not await ledger.verify(connection)
    events = await api.pool.fetch("select type, body from bus.outbox order by id")
    assert events[-1]["type"] == "AccountDeleted"
    assert not any("example" in row["body"] for row in events)


async def test_after_a_deletion_nobody_signs_in_and_the_address_is_free(api: Api) -> None:
    token = api.token
    assert (await delete(api)).status_code == 200
    assert_problem(await api.sign_in(), 401, "credentials-wrong")
    assert_problem(await api.sign_in("mira@example.org"), 401, "credentials-wrong")
    api.token = token
    seen = await api.client.get("/api/v1/users/me", headers=api.headers())
    assert seen.status_code in {401, 404}
    taken = await api.ask_to_register("mira", email="other@example.org")
    assert_problem(taken, 409, "username-taken")
    assert (await api.register("mira-again", email="mira@example.org")).status_code == 201
    wait(api, POLICY.name_kept_ms)
    assert (await api.ask_to_register("mira", email="third@example.org")).status_code == 202


async def test_a_deletion_is_meant_and_lately_proved(api: Api) -> None:
    assert_problem(await delete(api, "nils"), 422, "deletion-not-meant")
    wait(api, 6 * MINUTE_MS)
    assert_problem(await delete(api), 403, "step-up-required")
    assert await api.pool.fetchval("select status from users.users") == "active"


_DROP = """
insert into drops.drops
values (gen_random_uuid(), $1, gen_random_uuid(), 'x', 'active', 'USD',
    1, 1, 1, 1, 0, 0, 0, 0, 1)"""
_VENTURE = """
with venture as (
    insert into ventures.ventures
    values (gen_random_uuid(), $1, null, 'x', 'x', 'open', 'USD', 1, 1, 1, 1, 1,
        '[]', 0, 0, 0, 0, 1)
    returning venture_id
)
insert into ventures.investments
select gen_random_uuid(), venture_id, $1, 'USD', 1, 'open', 1 from venture"""


async def test_open_orders_payments_and_issues_stand_in_the_way(api: Api) -> None:
    await api.pool.execute(
        "insert into market.orders select gen_random_uuid(), 1, $1::uuid, 'buy', 'open', '', 1, 0, "
        "1, 1, 0, 0, 0, 0, 0, 0, 0, 0", await me(api),
    )  # fmt: skip
    bound = assert_problem(await delete(api, leave_balances=True), 409, "account-bound")
    assert bound["params"] == {
        "orders": 1, "payments": 0, "issues": 0, "drops": 0, "ventures": 0, "investments": 0,
    }  # fmt: skip
    await api.pool.execute("update market.orders set status = 'cancelled'")
    for statement, counts in (_DROP, {"drops": 1}), (_VENTURE, {"ventures": 1, "investments": 1}):
        await api.pool.execute(statement, await me(api))
        bound = assert_problem(await delete(api, leave_balances=True), 409, "account-bound")
        assert {name: n for name, n in bound["params"].items() if n} == counts
        await api.pool.execute("update drops.drops set status = 'completed'")
    await api.pool.execute("update ventures.ventures set status = 'failed'")
    await api.pool.execute("update ventures.investments set status = 'returned'")
    assert (await delete(api)).status_code == 200


async def test_of_two_deletions_at_once_one_is_told(api: Api) -> None:
    answers = await asyncio.gather(*(delete(api) for _ in range(3)))
    codes = sorted(answer.status_code for answer in answers)
    assert codes[0] == 200
    assert all(code in {401, 404} for code in codes[1:])
    types = [row["type"] for row in await api.pool.fetch("select type from bus.outbox")]
    assert types.count("AccountDeleted") == 1


async def test_the_last_letter_leaves_no_address_behind(api: Api) -> None:
    from storage.mail import MailQueue

    await delete(api)
    queue = MailQueue(api.pool)
    [mail] = await queue.claim(api.services.clock(), 1_000, 5)
    assert (mail.template, mail.to) == ("account-deleted", "mira@example.org")
    await queue.sent(mail.mail_id, api.services.clock())
    assert "mira" not in await everything(api.pool)


async def test_sessions_of_the_deleted_are_purged_once_their_tokens_are_dead(api: Api) -> None:
    await delete(api)
    now = api.services.clock()
    assert await users_erasure.purge_sessions(api.pool, now) == 0
    assert await users_erasure.purge_sessions(api.pool, now + 1) == 1


async def test_an_export_has_everything_and_no_secret(api: Api, tmp_path: Path) -> None:
    user_id = await me(api)
    await pay(api.pool, user_id)
    await api.register("nils")
    answer = await api.client.get("/api/v1/users/me/export", headers=api.headers())
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert "attachment" in answer.headers["content-disposition"]
    found = json.loads(answer.text)
    assert set(found) == {*users_export.PARTS, "factors", "wallets", "external_identities"}
    [row] = found["account"]
    assert (row["user_id"], row["email"]) == (user_id, "mira@example.org")
    assert len(found["sessions"]) == 1
    assert found["balances"] == [{"code": f"user:{user_id}:available/EUR", "amount_minor": "700"}]
    assert [line["amount_minor"] for line in found["ledger"]] == ["700"]
    assert {entry["action"] for entry in found["audit"]} >= {"user.registered", "session.started"}
    for secret in ("$argon2", "hash", "nils"):
        assert secret not in answer.text
    assert not list((tmp_path / "uploads").glob("export-*")), "the file is gone"


async def test_an_export_wants_a_recent_proof(api: Api) -> None:
    wait(api, 6 * MINUTE_MS)
    answer = await api.client.get("/api/v1/users/me/export", headers=api.headers())
    assert_problem(answer, 403, "step-up-required")
