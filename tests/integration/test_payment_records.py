"""The records of payments through the doors: a payment's history, reports, differences."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis.asyncio as redis_asyncio

from actors.payment_reconciler import Books, Reconciler
from domain.payments.policy import DAY_MS
from messages.payments.gateways import GatewayName
from messages.payments.records import EntryKind, ProviderEntry
from messages.payments.webhooks import WebhookEvent
from messages.users import Role
from storage import payments_history, payments_webhooks
from storage.database import Pool
from tests.api_services import assert_problem
from tests.integration.payments_support import World, clock, open_world
from tests.integration.rewards_support import until


class Ledger:
    """A provider's books that say what a test wants."""

    name = GatewayName.STRIPE

    def __init__(self, *entries: ProviderEntry) -> None:
        self.all = entries

    async def entries(self, since_ms: int, until_ms: int) -> AsyncIterator[ProviderEntry]:
        for one in self.all:
            if since_ms <= one.at_ms < until_ms:
                yield one


@pytest.fixture
async def world(
    pool: Pool,
    tmp_path: Path,
    database_url: str,
    redis_server: str,
    redis_client: redis_asyncio.Redis,
) -> AsyncIterator[World]:
    async with open_world(pool, tmp_path, database_url, redis_server) as opened:
        yield opened
        await opened.verify()


async def reconcile(world: World, *entries: ProviderEntry) -> None:
    handle = world.api.services.handles["payments"]
    books = {GatewayName.STRIPE: Books(Ledger(*entries), world.gateway)}
    reconciler = Reconciler(world.api.pool, handle, books, lambda: clock() + 2 * DAY_MS)
    while await reconciler.step():
        pass


async def test_the_history_of_a_payment(world: World) -> None:
    paid = (await world.pay()).json()
    event = WebhookEvent("evt_1", "payment.captured", 1, world.charge().ref)
    assert (await world.tell(event)).status_code == 200
    refund = {"amount_minor": 4_000, "reason": "unhappy"}
    await world.post(f"payments/{paid['payment_id']}/refunds", refund)
    path = f"payments/{paid['payment_id']}/history"
    assert_problem(await world.get(path), 403, "permission-missing")
    await world.sign_in("root", Role.ADMIN)

    async def handled() -> bool:
        lines = (await world.get(path)).json()["lines"]
        return any(one["detail"].get("state") == "handled" for one in lines)

    await until(handled)
    history = (await world.get(path)).json()
    assert (history["cost_minor"], history["cost_estimated"]) == (320, True)
    kinds = [(one["kind"], one["name"]) for one in history["lines"]]
    assert kinds[0] == ("command", "StartPayment")
    for expected in (
        ("call", "create"),
        ("call-ended", "create"),
        ("webhook", "payment.captured"),
        ("movement", "capture"),
        ("movement", "refund"),
        ("transition", "completed"),
        ("transition", "partially_refunded"),
        ("decision", "RefundAsked"),
        ("ledger", "wallet-topup"),
    ):
        assert expected in kinds
    assert [one["at_ms"] for one in history["lines"]] == sorted(
        one["at_ms"] for one in history["lines"]
    )
    posted = [one for one in history["lines"] if one["kind"] == "ledger"]
    sums = [sum(int(p["amount_minor"]) for p in one["detail"]["postings"]) for one in posted]
    assert sums == [0] * len(posted)
    assert len(posted) == await world.api.pool.fetchval(
        "select count(*) from ledger.transactions where cause = $1",
        f"payment:{paid['payment_id']}",
    )
    unknown = "payments/11111111-2222-4333-8444-555555555555/history"
    assert_problem(await world.get(unknown), 404, "payment-not-found")


async def test_all_histories_for_auditors(world: World) -> None:
    paid = [(await world.pay()).json()["payment_id"] for _ in range(2)]
    path = f"payment-histories?since_ms=0&until_ms={clock() + 1_000}"
    assert_problem(await world.get(path), 403, "permission-missing")
    await world.sign_in("root", Role.ADMIN)
    answer = await world.get(path)
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert {line["payment_id"] for line in lines} == set(paid)
    assert (await world.get("payment-histories?since_ms=0&until_ms=1")).text == ""


async def test_a_review_is_kept_with_who_and_why(world: World) -> None:
    held = (await world.pay(1_000_001)).json()
    root = await world.sign_in("root", Role.ADMIN)
    path = f"payments/{held['payment_id']}"
    await world.post(f"{path}/review", {"allow": False, "reason": "a stolen card"})
    lines = (await world.get(f"{path}/history")).json()["lines"]
    (decided,) = [one for one in lines if one["name"] == "ReviewDecided"]
    assert (decided["detail"]["by"], decided["detail"]["reason"]) == (root, "a stolen card")


async def test_reports_and_differences(world: World) -> None:
    paid = (await world.pay()).json()
    today = clock() - clock() % DAY_MS
    ref = world.charge().ref
    strange = ProviderEntry("t2", EntryKind.CAPTURE, "=SUM(1)", 700, "USD", today + 1, 51)
    taken = ProviderEntry("t1", EntryKind.CAPTURE, ref, 10_000, "USD", clock(), 320)
    assert_problem(await world.get("reconciliations"), 403, "permission-missing")
    root = await world.sign_in("root", Role.ADMIN)
    await reconcile(world, taken, strange)
    reports = (await world.get("reconciliations")).json()["items"]
    (report,) = [one for one in reports if one["since_ms"] == today]
    assert report["totals"] == {"USD": {"ours_minor": 10_000, "theirs_minor": 10_700}}
    assert (report["counts"], report["asked_by"]) == ({"unknown-charge": 1}, "platform")
    run = (await world.get(f"reconciliations/{report['run_id']}")).json()
    assert (run["state"], run["report"]) == ("done", report)
    path = f"reconciliations/{report['run_id']}/differences"
    (found,) = (await world.get(path)).json()["items"]
    assert (found["kind"], found["theirs_minor"]) == ("unknown-charge", 700)
    table = (await world.get(f"{path}.csv")).text.splitlines()
    assert len(table) == 2
    assert "'=SUM(1)" in table[1]
    history = (await world.get(f"payments/{paid['payment_id']}/history")).json()
    assert (history["cost_minor"], history["cost_estimated"]) == (320, False)
    one = f"payment-differences/{found['difference_id']}/explanation"
    answers = [await world.post(one, {"reason": "a test"}, key="explain-1") for _ in range(2)]
    assert [a.json()["state"] for a in answers] == ["explained", "explained"]
    assert_problem(await world.post(one, {"reason": "again"}), 409, "difference-settled")
    assert (await world.get("payment-differences?state=open")).json()["items"] == []
    entry = await world.api.pool.fetchrow(
        "select actor, detail from audit.entries where action = 'payment-difference.explained'"
    )
    assert entry is not None
    assert (entry["actor"], json.loads(entry["detail"])) == (root, {"reason": "a test"})


async def test_asking_for_a_comparison(world: World) -> None:
    await world.sign_in("root", Role.ADMIN)
    day = (datetime.now(UTC) - timedelta(days=3)).date().isoformat()
    body = {"gateway": "stripe", "day": day, "days": 2}
    asked = [await world.post("reconciliations", body, key="compare-1") for _ in range(2)]
    assert [one.status_code for one in asked] == [202, 202]
    assert asked[0].json() == asked[1].json()
    assert asked[0].json()["state"] == "waiting"
    await reconcile(world)
    done = (await world.get(f"reconciliations/{asked[0].json()['run_id']}")).json()
    assert done["report"]["until_ms"] - done["report"]["since_ms"] == 2 * DAY_MS
    today = datetime.now(UTC).date().isoformat()
    for changes, status, code in (
        ({"day": today}, 422, "reconciliation-period-invalid"),
        ({"gateway": "paypal"}, 404, "provider-books-unknown"),
        ({"days": 32}, 422, "invalid-request"),
    ):
        assert_problem(await world.post("reconciliations", {**body, **changes}), status, code)
    gone = "11111111-2222-4333-8444-555555555555"
    for path in (f"reconciliations/{gone}", f"reconciliations/{gone}/differences",
                 f"reconciliations/{gone}/differences.csv"):  # fmt: skip
        assert_problem(await world.get(path), 404, "reconciliation-not-found")
    explained = await world.post(f"payment-differences/{gone}/explanation", {"reason": "x"})
    assert_problem(explained, 404, "difference-not-found")


async def test_forged_webhooks_are_counted_and_sampled_within_bounds(world: World) -> None:
    event = WebhookEvent("evt_1", "payment.captured", 1, "pi_1")
    for _ in range(30):
        assert_problem(await world.tell(event, "forged"), 401, "webhook-signature-wrong")
    rows = await world.api.pool.fetch("select * from payments.rejected_webhooks")
    assert 1 <= len(rows) < 30
    assert {row["reason"] for row in rows} == {"webhook-signature-wrong"}
    assert sum(row["rejected"] for row in rows) <= 30
    assert await world.api.pool.fetchval("select count(*) from payments.webhooks") == 0


async def test_a_sample_takes_the_place_of_an_old_one(pool: Pool) -> None:
    for second, rejected in ((1, 4), (1, 5), (1_001, 7), (2, 1)):
        await payments_webhooks.reject(
            pool, GatewayName.STRIPE, "webhook-signature-wrong", rejected, b"x", second * 1_000
        )
    rows = await pool.fetch("select slot, rejected from payments.rejected_webhooks order by slot")
    assert [tuple(row) for row in rows] == [(1, 7), (2, 1)]


async def test_every_statement_compiles(pool: Pool) -> None:
    async with pool.acquire() as connection:
        for name in ("OF_PAYMENT", "MOVES", "PAYMENTS"):
            await connection.prepare(getattr(payments_history, name))
        await connection.prepare(payments_webhooks.REJECT)
