"""Operators find payments by what they know of one, each search from an index."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from messages.users import Role
from storage.database import Pool
from storage.payments_search import CLAUSES, Wanted, statement
from storage.rows import FIRST_PAGE
from tests.api_services import Api, assert_problem, make_services, open_api

FILL = """
insert into payments.payments (payment_id, payer_id, purpose, status, amount_minor, currency,
    method, gateway, subject, verdict, score, reasons, created_at_ms, changed_at_ms)
select gen_random_uuid(), ('00000000-0000-0000-0000-' || lpad((n % 20)::text, 12, '0'))::uuid,
    (array['wallet-topup', 'share-purchase'])[1 + (n % 50 = 0)::int],
    (array['completed', 'on_hold'])[1 + (n % 100 = 0)::int], n,
    (array['USD', 'GBP'])[1 + (n % 100 = 1)::int], 'card',
    (array['stripe', 'paypal'])[1 + (n % 100 = 2)::int],
    case when n % 50 = 0 then 'issue:' || n else '' end, 'allow', 0, '{}', n, n
from generate_series(1, 10000) n"""
CHARGES = """
insert into payments.charges (gateway, ref, payment_id, attempt)
select 'stripe', 'pi_' || created_at_ms, payment_id, 0 from payments.payments"""
EXAMPLES: dict[str, Any] = {
    "status": "on_hold", "payer_id": "00000000-0000-0000-0000-000000000007", "currency": "GBP",
    "gateway": "paypal", "purpose": "share-purchase", "subject": "issue:5000", "ref": "pi_77",
    "least_minor": 5_000, "most_minor": 6_000, "from_ms": 9_000, "until_ms": 2_000,
}  # fmt: skip


@pytest.fixture
async def filled(pool: Pool) -> Pool:
    await pool.execute(FILL)
    await pool.execute(CHARGES)
    await pool.execute("analyze payments.payments, payments.charges")
    return pool


@pytest.fixture
async def api(filled: Pool, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(make_services(tmp_path, filled)) as opened:
        await opened.register()
        await filled.execute("update users.users set role = $1", Role.ADMIN.value)
        await opened.sign_in()
        yield opened


async def test_every_search_compiles(pool: Pool) -> None:
    async with pool.acquire() as connection:
        for names in itertools.chain(
            [()], *(itertools.combinations(CLAUSES, n) for n in (1, 2, 11))
        ):
            text, values = statement(Wanted(**{name: EXAMPLES[name] for name in names}))
            assert len(values) == len(names)
            await connection.prepare(text)


@pytest.mark.parametrize("name", [n for n in CLAUSES if not n.endswith("_minor")])
async def test_each_search_begins_at_an_index_and_sorts_nothing(filled: Pool, name: str) -> None:
    text, values = statement(Wanted(**{name: EXAMPLES[name]}))
    rows = await filled.fetch(f"explain {text}", FIRST_PAGE[0], UUID(FIRST_PAGE[1]), 21, *values)
    plan = "\n".join(row[0] for row in rows)
    assert "Seq Scan" not in plan, plan
    assert name == "ref" or "Sort" not in plan, plan  # a charge has one payment
    index = {"payer_id": "payer", "ref": "charges_ref", "from_ms": "newest", "until_ms": "newest"}
    assert f"{index.get(name, name)}" in plan, plan


async def find(api: Api, **query: Any) -> list[int]:
    answer = await api.client.get("/api/v1/payments", params=query, headers=api.headers())
    assert answer.status_code == 200, answer.text
    return [item["amount_minor"] for item in answer.json()["items"]]


async def test_what_is_asked_for_is_found(api: Api) -> None:
    assert await find(api, limit=2) == [10_000, 9_999]
    assert await find(api, ref="pi_77") == [77]
    assert await find(api, ref="pi_unknown") == []
    assert await find(api, subject="issue:5000") == [5_000]
    assert await find(api, currency="GBP", least_minor=201, most_minor=401) == [401, 301, 201]
    assert await find(api, gateway="paypal", from_ms=9_802, until_ms=9_902) == [9_802]
    assert await find(api, purpose="share-purchase", status="on_hold", limit=1) == [10_000]
    assert await find(api, payer_id=EXAMPLES["payer_id"], limit=2) == [9_987, 9_967]


async def test_pages_follow_each_other(api: Api) -> None:
    seen: list[int] = []
    query: dict[str, Any] = {"currency": "GBP", "limit": 33}
    while True:
        answer = await api.client.get("/api/v1/payments", params=query, headers=api.headers())
        page = answer.json()
        seen += [item["amount_minor"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == list(range(9_901, 0, -100))


async def test_what_cannot_be_asked(api: Api) -> None:
    for query, code in (
        ({"least_minor": 1}, "amount-without-currency"),
        ({"status": "lost"}, "invalid-request"),
        ({"colour": "red"}, "invalid-request"),
    ):
        answer = await api.client.get("/api/v1/payments", params=query, headers=api.headers())
        assert_problem(answer, 422, code)
    assert await find(api, payer_id=str(uuid4())) == []
