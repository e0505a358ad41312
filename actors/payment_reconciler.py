"""Compares providers' books with ours: a day after the other, and whatever is asked for.

A comparison is a row that says how far it is. It reads a provider's books to the end, page by page,
then goes through the charges in the order of their references, some at a time; whoever finds it
unfinished goes on from there, and its report is written in the transaction that ends it. What is
missing here is told to the payment's owner, as the provider tells it when it is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import structlog
from prometheus_client import CollectorRegistry, Gauge

from domain.payments.policy import DAY_MS, POLICY, PaymentPolicy
from domain.payments.reconciling import (
    GRACE_MS,
    HEALED_BY_LOOKING,
    Charge,
    compare,
    totals,
    wanted,
)
from integrations.payment_gateway import PaymentGateway
from integrations.payment_recorder import during
from integrations.provider_calls import Asks
from integrations.provider_records import ProviderRecords
from messages.errors import Refusal
from messages.keys import derive_key
from messages.payments.exchanges import Occasion
from messages.payments.gateways import CallDeclined, CallKind, GatewayName
from messages.payments.payments import RecordSnapshot, Source
from messages.payments.reconciliations import Difference, Run, RunState
from messages.payments.records import ProviderEntry
from storage import payments_differences as differences
from storage import payments_reconciliations as storage
from storage.audit import PLATFORM
from storage.database import Pool

PAGE = 200  # entries kept, and charges compared, at a time
MAX_AT_ONCE = 8  # charges that are looked at
MAX_DAYS = 31  # asked for at a time, if so many were missed
MAX_FAILURES = 20
RETRY_MS, MAX_RETRY_MS = 10_000, 1_800_000

log = structlog.get_logger(__name__)


class Books(NamedTuple):
    """A provider: its books, and whom to ask about a charge.

    before_ms: how long before we hear of a movement its provider may have booked it.
    """

    records: ProviderRecords
    gateway: PaymentGateway
    before_ms: int = GRACE_MS


class Reconciler:
    """Does a bounded part of what waits, each time it is called. One at a time."""

    def __init__(
        self,
        pool: Pool,
        owners: Asks,
        books: Mapping[GatewayName, Books],
        clock_ms: Callable[[], int],
        *,
        policy: PaymentPolicy = POLICY,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._pool, self._owners, self._books = pool, owners, books
        self._clock_ms, self._policy = clock_ms, policy
        self._days: dict[GatewayName, int] = {}  # the next to be asked for
        self._open = Gauge(
            "vibestream_payments_open_differences",
            "Differences between a provider's books and ours that nobody has settled",
            ("gateway",),
            registry=registry or CollectorRegistry(),
        )

    async def step(self) -> int:
        """Go on with the comparison that has waited longest; 0 if none waits."""
        await self._ask_for_days()
        run = await storage.next_run(self._pool, list(self._books), self._clock_ms())
        if run is None:
            await self._count()
            return 0
        try:
            if run.state is RunState.COMPARING:
                await self._compare(run)
            else:
                await self._read(run)
        except Exception as error:  # noqa: BLE001 - it goes on later, and says why it did not
            log.warning("a reconciliation broke off", run_id=run.run_id, error=repr(error))
            now_ms = self._clock_ms()
            pause = min(RETRY_MS << min(run.failures, 10), MAX_RETRY_MS)
            await storage.fail(
                self._pool, run.run_id, repr(error), now_ms + pause, MAX_FAILURES, now_ms
            )
        return 1

    async def _ask_for_days(self) -> None:
        """Every whole day (UTC) since the first call, once things in flight have landed."""
        now_ms = self._clock_ms()
        for name in self._books:
            since = self._days.get(name)
            if since is None:
                since = await storage.days_begin(self._pool, name, PLATFORM)
            if since is None:
                continue
            since -= since % DAY_MS
            for _ in range(MAX_DAYS):
                until = since + DAY_MS
                if until + GRACE_MS > now_ms:
                    break
                await storage.ask(self._pool, wanted(name, since, until, PLATFORM, now_ms))
                since = until
            self._days[name] = since

    async def _read(self, run: Run) -> None:
        """Read the books, and some more on both sides: the two clocks are not the same."""
        now_ms = self._clock_ms()
        await storage.begin(self._pool, run.run_id, now_ms)
        page: list[ProviderEntry] = []
        books = self._books[run.gateway]
        since_ms = max(0, run.since_ms - books.before_ms)
        until_ms = min(run.until_ms + GRACE_MS, max(now_ms, run.until_ms))
        async for entry in books.records.entries(since_ms, until_ms):
            page.append(entry)
            if len(page) == PAGE:
                await storage.keep_entries(self._pool, run, page, now_ms)
                page = []
        await storage.keep_entries(self._pool, run, page, now_ms)
        await storage.begin_comparing(self._pool, run.run_id)

    async def _compare(self, run: Run) -> None:
        """Compare some charges, or write the report if there are no more."""
        refs = await storage.charges(self._pool, run, PAGE)
        if not refs:
            await storage.finish(self._pool, run.run_id, self._clock_ms())
            return
        charges = await self._charges(run, refs)
        found = [one for charge in charges for one in self._differences(charge)]
        reported = [one for one in found if run.since_ms <= one.at_ms < run.until_ms]
        async with self._pool.acquire() as connection, connection.transaction():
            await differences.keep(connection, run, reported, self._clock_ms())
        told = await self._tell(run, found)
        again = await self._charges(run, told)
        still = [one for one in found if one.charge_ref not in told]
        still += [one for charge in again for one in self._differences(charge)]
        sums = _with(run.totals, charges, run, reported)
        async with self._pool.acquire() as connection, connection.transaction():
            await differences.close_gone(connection, run, refs, still, self._clock_ms())
            await storage.advance(connection, run, refs[-1], len(refs), sums)

    def _differences(self, charge: Charge) -> list[Difference]:
        return compare(charge, self._clock_ms(), self._policy)

    async def _charges(self, run: Run, refs: Sequence[str]) -> list[Charge]:
        """Both sides of charges."""
        if not refs:
            return []
        ours = await storage.ours(self._pool, run.gateway, refs)
        theirs = await storage.theirs(self._pool, run.gateway, refs)
        named = {entry.charge_ref: entry.our_id for entry in theirs if entry.our_id}
        owners = await storage.owners(self._pool, run.gateway, refs, named)
        return [
            Charge(
                run.gateway,
                ref,
                owners.get(ref, ""),
                [one for one in ours if one.charge_ref == ref],
                [one for one in theirs if one.charge_ref == ref],
            )
            for ref in refs
        ]

    async def _tell(self, run: Run, found: Sequence[Difference]) -> list[str]:
        """Tell the owners of charges that differ what their provider says; which were told."""
        charges = {
            one.charge_ref: one.payment_id
            for one in found
            if one.payment_id and one.kind in HEALED_BY_LOOKING
        }
        free = asyncio.Semaphore(MAX_AT_ONCE)

        async def look(ref: str, payment_id: str) -> None:
            async with free:
                await self._look(run, ref, payment_id)

        await asyncio.gather(*(look(ref, payment_id) for ref, payment_id in charges.items()))
        return sorted(charges)

    async def _look(self, run: Run, ref: str, payment_id: str) -> None:
        gateway = self._books[run.gateway].gateway
        fetch = CallKind.FETCH.value
        try:
            with during(Occasion(Source.RECONCILIATION, payment_id, kind=fetch)):
                snapshot = await gateway.fetch(ref)
            command = RecordSnapshot(run.gateway, snapshot, Source.RECONCILIATION)
            key = derive_key("payment-reconciled", run.run_id, ref, repr(snapshot))
            await self._owners.ask(payment_id, command, key=key)
        except (CallDeclined, Refusal) as error:
            log.warning("a charge that differs was not told", ref=ref, code=error.code)

    async def _count(self) -> None:
        found = await differences.count_open(self._pool)
        for name in self._books:
            self._open.labels(name.value).set(found.get(name.value, 0))


def _with(
    known: Mapping[str, list[int]],
    charges: Sequence[Charge],
    run: Run,
    reported: Sequence[Difference],
) -> dict[str, list[int]]:
    """The totals with those of some more charges."""
    entries = [
        entry
        for charge in charges
        for entry in charge.theirs
        if run.since_ms <= entry.at_ms < run.until_ms
    ]
    found = {name: list(sums) for name, sums in known.items()}
    for currency, (ours, theirs) in totals(entries, reported).items():
        sums = found.setdefault(currency, [0, 0])
        sums[0], sums[1] = sums[0] + ours, sums[1] + theirs
    return found
