"""Random histories on PostgreSQL beside the naive ledger."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, ClassVar, TypeVar

import asyncpg
import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from domain.ledger import Verdict
from messages.errors import IdempotencyKeyReused
from messages.keys import derive_key
from messages.ledger import LedgerTransaction, currency_of, transfer
from storage import ledger
from storage.database import Connection
from tests.integration.ledger_support import AT
from tests.unit.ledger_naive import CURRENCIES, NUMBERS, NaiveLedger, code, transaction_of

T = TypeVar("T")
CONNECTIONS = 3
BATCH = st.lists(st.integers(0, NUMBERS - 1), min_size=1, max_size=12)
PICKS = st.lists(st.integers(0, 10_000), min_size=1, max_size=6)


class LedgerHistory(RuleBasedStateMachine):
    """Every step goes to both. Histories share a database and have accounts of their own."""

    loop: ClassVar[asyncio.AbstractEventLoop]
    connections: ClassVar[Sequence[Connection]]
    worlds: ClassVar[itertools.count[int]]

    def __init__(self) -> None:
        super().__init__()
        self.world = f"w{next(self.worlds)}"
        self.naive = NaiveLedger()
        self.sent: list[LedgerTransaction] = []

    @initialize(amounts=st.lists(st.sampled_from([2, 12, 2 * 10**20]), min_size=9, max_size=9))
    def fund(self, amounts: list[int]) -> None:
        pairs = itertools.product(range(1, 4), CURRENCIES)
        self.post_to_both(
            transfer(
                *(derive_key(self.world, "fund", n), code(self.world, 0, currency)),
                *(code(self.world, owner, currency), amount),
                cause="test:fund",
                purpose="issue",
            )
            for n, ((owner, currency), amount) in enumerate(zip(pairs, amounts, strict=True))
        )

    @rule(numbers=BATCH)
    def post(self, numbers: list[int]) -> None:
        self.post_to_both(transaction_of(self.world, number) for number in numbers)

    @precondition(lambda self: self.sent)
    @rule(picks=PICKS, numbers=BATCH)
    def retry_among_new_ones(self, picks: list[int], numbers: list[int]) -> None:
        self.post_to_both([*self.earlier(picks), *(transaction_of(self.world, n) for n in numbers)])

    @rule(numbers=BATCH)
    def roll_back(self, numbers: list[int]) -> None:
        batch = [transaction_of(self.world, number) for number in numbers]
        expected = self.naive.copy().post_all(batch)
        assert self.run(self.post_and_roll_back(batch)) == expected

    @precondition(lambda self: self.naive.posted)
    @rule(picks=PICKS, number=st.integers(0, NUMBERS - 1))
    def use_a_key_for_something_else(self, picks: list[int], number: int) -> None:
        posted = list(self.naive.posted.values())[picks[0] % len(self.naive.posted)]
        other = msgspec.structs.replace(posted, cause="test:something else")
        with pytest.raises(IdempotencyKeyReused):
            self.run(self.post_on(0, [transaction_of(self.world, number), other]))

    @precondition(lambda self: self.sent)
    @rule(batches=st.lists(BATCH, min_size=2, max_size=CONNECTIONS), picks=PICKS)
    def post_at_once(self, batches: list[list[int]], picks: list[int]) -> None:
        """Some order of the batches, one after the other, explains all verdicts and balances."""
        told = [[transaction_of(self.world, number) for number in batch] for batch in batches]
        told[0] += self.earlier(picks)
        found = self.run(self.post_on_each(told))
        balances = self.run(self.read())
        for order in itertools.permutations(range(len(told))):
            trial = self.naive.copy()
            verdicts = {n: trial.post_all(told[n]) for n in order}
            if verdicts == dict(enumerate(found)) and trial.nonzero() == balances:
                break
        else:
            pytest.fail("no order of the batches explains what happened")
        self.naive = trial
        self.sent += itertools.chain(*told)

    @invariant()
    def balances_are_those_of_the_naive_ledger(self) -> None:
        balances = self.run(self.read())
        assert balances == self.naive.nonzero()
        sums: Counter[str] = Counter()
        for account, balance in balances.items():
            sums[currency_of(account)] += balance
        assert not any(sums.values())

    def teardown(self) -> None:
        assert self.run(ledger.verify(self.connections[0])) == []

    def post_to_both(self, transactions: Iterable[LedgerTransaction]) -> None:
        batch = list(transactions)
        self.sent += batch
        assert self.run(self.post_on(0, batch)) == self.naive.post_all(batch)

    def earlier(self, picks: Sequence[int]) -> list[LedgerTransaction]:
        return [self.sent[pick % len(self.sent)] for pick in picks]

    def run(self, doing: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(doing)

    async def post_on(self, number: int, batch: Sequence[LedgerTransaction]) -> list[Verdict]:
        connection = self.connections[number]
        async with connection.transaction():
            return await ledger.post(connection, batch, AT)

    async def post_on_each(
        self, batches: Sequence[Sequence[LedgerTransaction]]
    ) -> list[list[Verdict]]:
        return await asyncio.gather(*(self.post_on(n, batch) for n, batch in enumerate(batches)))

    async def post_and_roll_back(self, batch: Sequence[LedgerTransaction]) -> list[Verdict]:
        transaction = self.connections[0].transaction()
        await transaction.start()
        verdicts = await ledger.post(self.connections[0], batch, AT)
        await transaction.rollback()
        return verdicts

    async def read(self) -> dict[str, int]:
        rows = await self.connections[0].fetch(
            "select code from ledger.accounts where code ~ $1", f":{self.world}[:-]"
        )
        found = await ledger.balances(self.connections[0], [row["code"] for row in rows])
        return {account: balance for account, balance in found.items() if balance}


@pytest.mark.timeout(300)
def test_any_history_is_that_of_the_naive_ledger(database_url: str) -> None:
    with asyncio.Runner() as runner:
        LedgerHistory.loop = runner.get_loop()
        LedgerHistory.worlds = itertools.count()
        LedgerHistory.connections = [
            runner.run(asyncpg.connect(database_url)) for _ in range(CONNECTIONS)
        ]
        run_state_machine_as_test(
            LedgerHistory, settings=settings(max_examples=30, stateful_step_count=20)
        )
        for connection in LedgerHistory.connections:
            runner.run(connection.close())
