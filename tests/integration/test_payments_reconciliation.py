"""Reconciliation against the stand-in of Stripe: real owners, ledger and books over HTTP."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import uvicorn

from actors import payment_reconciler
from actors.payment_reconciler import Books, Reconciler
from actors.payments import PaymentsKind
from actors.runtime.handle import Handle
from actors.runtime.host import Host
from actors.runtime.metrics import HandleMetrics
from actors.runtime.placement import assign
from actors.runtime.transport_local import LocalTransport
from domain.payments.policy import DAY_MS
from domain.payments.reconciling import wanted
from integrations.payment_courier import Courier
from integrations.payment_gateway_stripe import StripeGateway
from integrations.provider_records_stripe import StripeRecords
from integrations.stripe_client import StripeHttp, StripeSettings, open_client
from messages.keys import derive_key
from messages.payments.gateways import GatewayName, Method
from messages.payments.payments import (
    Assessment,
    PaymentStatus,
    PaymentView,
    Purpose,
    RefundPayment,
    StartPayment,
    Verdict,
)
from messages.payments.reconciliations import (
    Difference,
    DifferenceKind,
    DifferenceState,
    Run,
    RunState,
)
from messages.payments.records import EntryKind
from simulators.payments.stripe import SECRET_KEY, WEBHOOK_SECRET, StripeSimulator
from storage import ledger, placement
from storage import payments_differences as differences
from storage import payments_reconciliations as storage
from storage.database import Pool
from storage.rows import OLDEST
from tests.contracts.payment_rigs import free_port
from tests.integration.payments_support import clock

STRIPE = GatewayName.STRIPE
PAYER = str(uuid4())
ROOT = Path(__file__).resolve().parents[2]


def later() -> int:
    """The clock of the comparison: what happens now is long over by then."""
    return clock() + 2 * DAY_MS


@dataclass
class World:
    """Owners of payments, a Stripe, and who compares the two."""

    pool: Pool
    payments: Handle
    stripe: StripeSimulator
    gateway: StripeGateway
    records: StripeRecords
    courier: Courier

    def reconciler(self) -> Reconciler:
        books = {STRIPE: Books(self.records, self.gateway)}
        return Reconciler(self.pool, self.payments, books, later)

    async def pay(self, amount: int = 10_000, source: str = "pm_card_visa") -> PaymentView:
        """A payment as far as it gets at once."""
        command = StartPayment(
            PAYER, Purpose.TOP_UP, amount, "USD", Method.CARD, (STRIPE,),
            Assessment(Verdict.ALLOW), source=source,
        )  # fmt: skip
        payment_id = str(uuid4())
        view = await self.payments.ask(payment_id, command, key=derive_key("start", payment_id))
        return await self.courier.run(view)

    async def look(self, payment: PaymentView) -> PaymentView:
        from messages.payments.payments import GetPayment

        key = derive_key("look", str(uuid4()))
        found: PaymentView = await self.payments.ask(payment.payment_id, GetPayment(), key=key)
        return found

    def intent(self, payment: PaymentView) -> dict[str, Any]:
        return next(
            one
            for one in self.stripe.intents.values()
            if one["metadata"].get("payment_id") == payment.payment_id
        )

    async def ask(self, key: str = "") -> Run:
        """A comparison of today, as somebody asked for it."""
        since = clock() - clock() % DAY_MS
        run = wanted(STRIPE, since, since + DAY_MS, "ana", clock(), key)
        await storage.ask(self.pool, run)
        return run

    async def reconcile(self, key: str = "") -> Run:
        run = await self.ask(key)
        await run_out(self.reconciler())
        return run

    async def found(self, run: Run) -> dict[tuple[DifferenceKind, str], DifferenceState]:
        kept = await differences.of_run(self.pool, run.run_id, (0, str(uuid4())), 100)
        return {(one.found.kind, one.found.entry_kind.value): one.state for one in kept}


async def run_out(reconciler: Reconciler) -> None:
    while await reconciler.step():
        pass


@pytest.fixture
async def world(pool: Pool) -> AsyncIterator[World]:
    async with open_world(pool) as opened:
        yield opened
        async with pool.acquire() as connection:
            assert await ledger.verify(connection) == []


@asynccontextmanager
async def open_world(pool: Pool) -> AsyncIterator[World]:
    kind = PaymentsKind()
    await placement.ensure(pool, kind.name, assign(kind.name, kind.partitions, ["host"]))
    transport = LocalTransport()
    handle = Handle(kind, transport, partial(placement.read, pool), metrics=HandleMetrics())
    host = Host("host", [kind], pool, clock)
    await host.start()
    transport.add("host", host)
    port = free_port()
    simulator = StripeSimulator()
    config = uvicorn.Config(simulator.app(), "127.0.0.1", port, log_level="critical")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event to await
        await asyncio.sleep(0.01)
    settings = StripeSettings(SECRET_KEY, WEBHOOK_SECRET, f"http://127.0.0.1:{port}", 5.0)
    gateway, records = StripeGateway(settings), StripeRecords(settings)
    yield World(pool, handle, simulator, gateway, records, Courier(handle, {STRIPE: gateway}))
    await gateway.close()
    await records.close()
    server.should_exit = True
    await serving
    await handle.close()
    await host.stop()


async def behind_our_back(world: World) -> PaymentView:
    """Three good payments; an answer and its webhook lost; a refund and a charge by others."""
    for amount in (10_000, 20_000, 30_000):
        assert (await world.pay(amount)).status is PaymentStatus.COMPLETED
    world.stripe.faults.set([{"on": "create", "do": "lose-answer"}])
    lost = await world.pay(40_000)
    assert lost.status is PaymentStatus.PROCESSING
    refunded = await world.pay(50_000)
    world.stripe.refund(world.intent(refunded), 7_000)
    charge = {"amount": 900, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
    http = StripeHttp(5.0)
    client = open_client(world.gateway._settings, http)
    await client.v1.payment_intents.create_async(charge)  # type: ignore[arg-type]
    await http.close_async()  # type: ignore[no-untyped-call]
    return lost


async def test_what_is_the_same_is_told_to_be_so(world: World) -> None:
    payment = await world.pay()
    command = RefundPayment("11111111-2222-4333-8444-555555555555", 4_000, "unhappy", PAYER)
    key = derive_key("refund", payment.payment_id)
    await world.courier.run(await world.payments.ask(payment.payment_id, command, key=key))
    disputed = await world.pay(source="pm_card_createDispute")
    assert (await world.look(disputed)).status is PaymentStatus.DISPUTED
    run = await world.reconcile()
    report = await storage.report(world.pool, run.run_id)
    assert report is not None
    assert report.totals == {"USD": [6_000, 6_000]}
    assert (report.counts, report.entries, report.charges) == ({}, 4, 2)
    assert await storage.cost(world.pool, payment.payment_id) == 320


async def test_what_happened_behind_our_back_is_found_and_healed(world: World) -> None:
    lost = await behind_our_back(world)
    run = await world.reconcile()
    assert await world.found(run) == {
        (DifferenceKind.MISSING_HERE, "capture"): DifferenceState.HEALED,
        (DifferenceKind.MISSING_HERE, "refund"): DifferenceState.HEALED,
        (DifferenceKind.UNKNOWN_CHARGE, "capture"): DifferenceState.OPEN,
    }
    report = await storage.report(world.pool, run.run_id)
    assert report is not None
    assert report.counts == {"missing-here": 2, "unknown-charge": 1}
    assert report.totals == {"USD": [110_000, 143_900]}
    assert (await world.look(lost)).status is PaymentStatus.COMPLETED
    again = await world.reconcile("again")
    assert await world.found(again) == {
        (DifferenceKind.UNKNOWN_CHARGE, "capture"): DifferenceState.OPEN
    }
    (stays,) = await differences.search(world.pool, (2**62, str(uuid4())), 9, DifferenceState.OPEN)
    async with world.pool.acquire() as connection, connection.transaction():
        await differences.explain(connection, stays.difference_id, "ana", "a test charge", clock())
    assert await world.found(await world.reconcile("clean")) == {}
    assert await differences.count_open(world.pool) == {}


async def test_what_the_books_do_not_have(world: World) -> None:
    await world.pay()
    world.stripe.balance.transactions.clear()
    run = await world.reconcile()
    expected = {(DifferenceKind.MISSING_THERE, "capture"): DifferenceState.OPEN}
    assert await world.found(run) == expected


async def test_what_was_booked_before_we_heard_of_it_is_read_too(world: World) -> None:
    await world.pay()
    world.stripe.balance.transactions[0]["created"] -= 25 * 3_600
    run = await world.ask()
    books = {STRIPE: Books(world.records, world.gateway, before_ms=2 * DAY_MS)}
    await run_out(Reconciler(world.pool, world.payments, books, later))
    assert await world.found(run) == {}


async def test_the_days_since_the_first_call_are_caught_up(world: World) -> None:
    await world.pay()
    await run_out(world.reconciler())
    rows = await world.pool.fetch(
        "select since_ms, until_ms, state from payments.reconciliation_runs"
    )
    today = clock() - clock() % DAY_MS
    spans = sorted((row["since_ms"], row["until_ms"], row["state"]) for row in rows)
    assert spans[0] == (today, today + DAY_MS, "done")
    assert await world.pool.fetchval("select count(*) from payments.reconciliations") == len(rows)
    await run_out(world.reconciler())
    assert await world.pool.fetchval("select count(*) from payments.reconciliations") == len(rows)


async def test_a_provider_that_is_away_is_asked_later(world: World) -> None:
    await world.pay()
    run = await world.ask()
    world.stripe.faults.set([{"on": "list", "do": "500"}])
    reconciler = world.reconciler()
    await reconciler.step()
    waits = await storage.find(world.pool, run.run_id)
    assert waits is not None
    assert (waits.failures, waits.state) == (1, RunState.READING)
    await world.pool.execute("update payments.reconciliation_runs set not_before_ms = 0")
    await run_out(reconciler)
    done = await storage.find(world.pool, run.run_id)
    assert done is not None
    assert done.state is RunState.DONE


async def test_the_operators_command(world: World, database_url: str, tmp_path: Path) -> None:
    await behind_our_back(world)
    words = ("payments", "reconcile", "--provider", "stripe", "--day")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deployments.cli", *words, datetime.now(UTC).date().isoformat(),
        cwd=ROOT,
        env={**os.environ, "VIBESTREAM_DATA_DIR": str(tmp_path),
             "VIBESTREAM_POSTGRES_URL": database_url},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    talk = asyncio.create_task(process.communicate())
    reconciler = world.reconciler()
    while not talk.done():
        if not await reconciler.step():
            await asyncio.sleep(0.05)
    told = (await talk)[0].decode()
    assert process.returncode == 1
    assert "ours 143000 USD, theirs 143900 USD" in told  # the day's own had healed the rest
    assert "unknown-charge capture" in told
    assert told.endswith("Differences: 1.\n")


async def test_what_comes_again_is_open_again_unless_it_was_explained(world: World) -> None:
    runs = [await world.ask(name) for name in ("first", "second", "third")]
    found = Difference(DifferenceKind.MISSING_HERE, EntryKind.CAPTURE, "pi_1", "txn_1", "", 1)
    states = []
    async with world.pool.acquire() as connection, connection.transaction():
        for run, still in ((runs[0], []), (runs[1], [found])):
            await differences.keep(connection, run, [found], 1)
            await differences.close_gone(connection, run, ["pi_1"], still, 2)
            kept = await differences.of_run(connection, run.run_id, OLDEST, 9)
            states.append(kept[0].state)
        await differences.explain(connection, kept[0].difference_id, "ana", "a test", 3)
        await differences.keep(connection, runs[2], [found], 4)
        assert await differences.of_run(connection, runs[2].run_id, OLDEST, 9) == []
        moves = await connection.fetch(
            "select state, by from payments.difference_moves order by move_id"
        )
    assert states == [DifferenceState.HEALED, DifferenceState.OPEN]
    assert [tuple(move) for move in moves] == [
        ("healed", "platform"), ("open", "platform"), ("explained", "ana"),
    ]  # fmt: skip


class DeathError(BaseException):
    """The worker is no more."""


STEPS = [
    *(("storage", name) for name in ("begin", "keep_entries", "begin_comparing", "charges")),
    *(("storage", name) for name in ("ours", "advance", "finish")),
    *(("differences", name) for name in ("keep", "close_gone")),
]


@pytest.mark.parametrize(("module", "name"), STEPS)
async def test_a_worker_that_dies_is_followed_by_one_that_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch, module: str, name: str
) -> None:
    """Before the step and after it: the end is the same, and reported once."""
    monkeypatch.setattr(payment_reconciler, "PAGE", 2)
    await behind_our_back(world)
    await world.ask()
    place = getattr(payment_reconciler, module)
    real: Callable[..., Awaitable[Any]] = getattr(place, name)
    for after in (False, True):

        async def dying(*given: Any, after: bool = after, **named: Any) -> Any:
            if after:
                await real(*given, **named)
            raise DeathError

        monkeypatch.setattr(place, name, dying)
        with pytest.raises(DeathError):
            await run_out(world.reconciler())
        monkeypatch.setattr(place, name, real)
    await run_out(world.reconciler())
    mine = "select count(*) from payments.reconciliations where asked_by = 'ana'"
    assert await world.pool.fetchval(mine) == 1
    rows = await world.pool.fetch(
        "select kind, state, count(*) from payments.differences group by 1, 2"
    )
    assert sorted(tuple(row) for row in rows) == [
        ("missing-here", "healed", 2), ("unknown-charge", "open", 1),
    ]  # fmt: skip


async def test_a_fetch_that_breaks_off_is_repeated(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = await behind_our_back(world)
    await world.ask()

    async def dying(_ref: str) -> Any:
        raise DeathError

    with monkeypatch.context() as broken:
        broken.setattr(world.gateway, "fetch", dying)
        with pytest.raises(DeathError):
            await run_out(world.reconciler())
    await run_out(world.reconciler())
    assert (await world.look(lost)).status is PaymentStatus.COMPLETED


@pytest.mark.parametrize("module", [storage, differences])
async def test_every_statement_compiles(pool: Pool, module: object) -> None:
    verbs = ("select", "insert", "update", "with")
    statements = [
        text
        for text in vars(module).values()
        if isinstance(text, str) and text.lstrip().startswith(verbs)
    ]
    assert len(statements) >= 9
    async with pool.acquire() as connection:
        for statement in statements:
            await connection.prepare(statement)
