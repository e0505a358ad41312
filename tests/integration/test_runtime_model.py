"""Random histories with crashes, moves and retries, beside a model that knows none of these."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar, TypeVar
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from actors.runtime import funds
from actors.runtime.lane import Lane
from messages.envelope import Answer, CommandEnvelope
from messages.keys import derive_key
from storage import journal, ledger, outbox
from storage.database import Pool, open_pool
from tests.integration.runtime_kinds import (
    Add,
    Balance,
    Count,
    Fund,
    Get,
    Hush,
    Pay,
    Till,
    purse,
)
from tests.integration.runtime_support import CALM, World, answers, counted, sent, till_of

T = TypeVar("T")
LIMITS = replace(
    CALM, reminder_poll_ms=3, sweep_ms=3, idle_ms=50_000, passivation_snapshot_events=2
)
POINTS = ["look_up", "load", "write"]
ADDS = st.builds(Add, st.integers(-3, 5), st.sampled_from([0, 0, 0, 1_000, 20_000]))
COMMAND = st.tuples(st.sampled_from("abc"), st.one_of(ADDS, st.just(Hush()), st.just(Get())))
COMMANDS = st.lists(COMMAND, min_size=1, max_size=5)
# Commands under way together have no order: after a crash, what was recorded comes before what was
# not. So the model can tell the outcome only of commands that are all recorded, or alone.
SURE = st.tuples(st.sampled_from("abc"), st.builds(Add, st.integers(0, 5), st.just(0)))
RETRIED = st.one_of(
    st.lists(SURE, min_size=1, max_size=5), st.lists(COMMAND, min_size=1, max_size=1)
)
TILL_COMMANDS = st.one_of(
    st.tuples(st.just("fund"), st.sampled_from("ab"), st.integers(1, 9)),
    st.tuples(st.sampled_from(["pay", "pay unchecked"]), st.sampled_from("ab"), st.integers(0, 9)),
)


class Model:
    """What entities are, if nothing ever breaks. Timers are by entity; `told` is by key."""

    def __init__(self) -> None:
        self.counts: dict[str, Count] = {}
        self.timers: dict[str, int] = {}
        self.tills: dict[str, Till] = {}
        self.money: dict[str, int] = {}
        self.told: dict[bytes, Answer] = {}

    def answer(self, entity_id: str, key: bytes, command: Any, body: bytes) -> str | Any:
        """The outcome: a code for a refusal, else the answer."""
        if key in self.told:
            return self.told[key]
        found = self.decide(entity_id, command)
        if not isinstance(found, str) and isinstance(command, Add | Fund | Pay):
            self.told[key] = found
        return found

    def decide(self, entity_id: str, command: Any) -> Any:
        count = self.counts.get(entity_id, Count())
        match command:
            case Add(amount, remind_at_ms):
                if count.count + amount < 0:
                    return "conflict"
                self.counts[entity_id] = Count(count.count + amount, count.rings)
                if remind_at_ms:
                    self.timers[entity_id] = remind_at_ms
                return self.counts[entity_id]
            case Hush():
                self.timers.pop(entity_id, None)
                return None
            case Get():
                return count
        return self.till(entity_id, command)

    def till(self, entity_id: str, command: Fund | Pay) -> Any:
        till = self.tills.setdefault(entity_id, Till(entity_id))
        if isinstance(command, Fund):
            before = msgspec.structs.replace(till)
            till.funded += command.amount
            self.move(entity_id, command.amount)
            return before
        if command.amount <= 0:
            return "invalid"
        if self.money.get(entity_id, 0) < command.amount:
            return "insufficient-funds"
        till.paid += command.amount
        self.move(entity_id, -command.amount)
        self.move(command.payee, command.amount)
        return None

    def move(self, entity_id: str, amount: int) -> None:
        self.money[entity_id] = self.money.get(entity_id, 0) + amount

    def ring(self, now_ms: int) -> None:
        for name, due in list(self.timers.items()):
            if due <= now_ms:
                count = self.counts.get(name, Count())
                self.counts[name] = Count(count.count, (*count.rings, due))
                del self.timers[name]


class Histories(RuleBasedStateMachine):
    """Every command goes to both. Histories share a database and have entities of their own."""

    loop: ClassVar[asyncio.AbstractEventLoop]
    pool: ClassVar[Pool]
    numbers: ClassVar[Iterator[int]]

    def __init__(self) -> None:
        super().__init__()
        self.name = f"w{next(self.numbers)}"
        self.model = Model()
        self.world = World(self.pool, LIMITS)
        self.at = "h0"
        self.sent: list[tuple[str, CommandEnvelope, Any]] = []
        self.run(self.world.start("h0"))
        self.run(self.world.start("h1"))
        for kind in ("counter", "till"):
            self.run(self.move_all(kind, "h0"))

    @rule(commands=COMMANDS)
    def ask(self, commands: list[tuple[str, Any]]) -> None:
        self.ask_both("counter", [self.made(name, command) for name, command in commands])

    @rule(command=TILL_COMMANDS)
    def move_money(self, command: tuple[str, str, int]) -> None:
        self.ask_both("till", [self.money(*command)])

    @precondition(lambda self: self.sent)
    @rule(picks=st.lists(st.integers(0, 10_000), min_size=1, max_size=4), commands=COMMANDS)
    def retry_among_new_ones(self, picks: list[int], commands: list[tuple[str, Any]]) -> None:
        again = [self.sent[pick % len(self.sent)] for pick in picks]
        for kind, envelope, command in again:
            if envelope.key in self.model.told:
                self.ask_both(kind, [(envelope, command)])
        fresh = [self.made(name, command) for name, command in commands]
        recorded = [
            (e, c) for kind, e, c in again if kind == "counter" and e.key in self.model.told
        ]
        self.ask_both("counter", [*recorded, *fresh, *recorded])

    @rule(commands=RETRIED, point=st.sampled_from(POINTS), after=st.booleans())
    def crash_on_the_way(self, commands: list[tuple[str, Any]], point: str, after: bool) -> None:
        self.crash("counter", [self.made(*c) for c in commands], journal, point, after)

    @rule(
        command=TILL_COMMANDS,
        point=st.sampled_from([(funds, "post"), (Lane, "_commit"), (outbox, "append")]),
        after=st.booleans(),
    )
    def crash_with_money_on_the_way(
        self, command: tuple[str, str, int], point: tuple[Any, str], after: bool
    ) -> None:
        self.crash("till", [self.money(*command)], *point, after)

    @rule(commands=RETRIED, after=st.booleans())
    def lose_the_connection(self, commands: list[tuple[str, Any]], after: bool) -> None:
        with broken(Lane, "_commit", after, ConnectionResetError()):
            self.ask_both("counter", [self.made(*c) for c in commands])

    @rule()
    def restart(self) -> None:
        self.run(self.world.restart(self.at))

    @rule()
    def move(self) -> None:
        self.at = "h1" if self.at == "h0" else "h0"
        for kind in ("counter", "till"):
            self.run(self.move_all(kind, self.at))

    @rule(ms=st.sampled_from([1_000, 20_000, 60_000]))
    def pass_time(self, ms: int) -> None:
        """Timers fire; at the longest, whatever is in memory leaves it."""
        self.world.clock.now_ms += ms
        self.model.ring(self.world.clock())
        self.run(self.quiet())

    @invariant()
    def entities_are_what_the_model_says(self) -> None:
        if not self.sent:
            return
        host = self.world.hosts[self.at]
        names = sorted(self.model.counts)
        found = self.run(answers(host, "counter", *(sent(Get(), n) for n in names)))
        assert {n: counted(f) for n, f in zip(names, found, strict=True)} == self.model.counts
        names = sorted(self.model.tills)
        found = self.run(answers(host, "till", *(sent(Balance(), n) for n in names)))
        for name, answer in zip(names, found, strict=True):
            till, expected = till_of(answer), self.model.tills[name]
            assert (till.funded, till.paid) == (expected.funded, expected.paid)
        assert self.run(self.balances()) == self.model.money

    def teardown(self) -> None:
        try:
            self.run(self.check())
        finally:
            self.run(self.world.stop())

    # --- how ------------------------------------------------------------------------------------

    def run(self, doing: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(doing, 30))

    def made(self, name: str, command: Any) -> tuple[CommandEnvelope, Any]:
        if isinstance(command, Add) and command.remind_at_ms:
            due = self.world.clock() + command.remind_at_ms
            command = Add(command.amount, due)
        return sent(command, f"{self.name}-{name}", self.key()), command

    def money(self, what: str, name: str, amount: int) -> tuple[CommandEnvelope, Any]:
        own, order = f"{self.name}-{name}", f"{self.name}-{next(self.numbers)}"
        if what == "fund":
            command: Any = Fund(order, amount)
        else:
            payee = f"{self.name}-{'b' if name == 'a' else 'a'}"
            command = Pay(order, payee, amount, what == "pay")
        return sent(command, own, self.key()), command

    def key(self) -> bytes:
        return derive_key("model", next(self.numbers))

    def ask_both(self, kind: str, asked: Sequence[tuple[CommandEnvelope, Any]]) -> None:
        self.sent += [(kind, envelope, command) for envelope, command in asked]
        host = self.world.hosts[self.at]
        found = self.run(answers(host, kind, *(envelope for envelope, _ in asked)))
        for answer, (envelope, command) in zip(found, asked, strict=True):
            told = self.model.answer(envelope.entity_id, envelope.key, command, envelope.body)
            if isinstance(told, str):
                assert answer.code == told
            elif isinstance(told, Count):
                assert counted(answer) == told
            elif isinstance(told, Till):
                assert (till_of(answer).funded, till_of(answer).paid) == (told.funded, told.paid)
            else:
                assert (answer.code, answer.body) == ("", b"")

    def crash(
        self,
        kind: str,
        asked: Sequence[tuple[CommandEnvelope, Any]],
        owner: Any,
        point: str,
        after: bool,
    ) -> None:
        """The host dies with the commands in hand; they are sent again to the one that follows."""

        async def die() -> None:
            host = self.world.hosts[self.at]
            with broken(owner, point, after, None) as reached:
                both = [
                    asyncio.ensure_future(answers(host, kind, *(e for e, _ in asked))),
                    asyncio.ensure_future(reached.wait()),
                ]
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                await self.world.kill(self.at)
                for task in both:
                    task.cancel()
                await asyncio.gather(*both, return_exceptions=True)
            await self.world.start(self.at)

        self.run(die())
        self.ask_both(kind, asked)

    async def move_all(self, kind: str, host: str) -> None:
        """Also brings hosts of earlier histories to where the next history needs them."""
        await self.pool.execute(
            "update runtime.partitions set host = $2, epoch = epoch + 1 where kind = $1", kind, host
        )
        await answers(self.world.hosts[host], kind)

    async def quiet(self) -> None:
        """Wait until all due timers have had their effect."""
        query = "select count(*) from runtime.reminders where not_before_ms <= $1"
        while await self.pool.fetchval(query, self.world.clock()):  # noqa: ASYNC110
            await asyncio.sleep(0.003)
        await asyncio.sleep(0.005)

    async def balances(self) -> dict[str, int]:
        async with self.pool.acquire() as connection:
            found = await ledger.balances(connection, [purse(name) for name in self.model.money])
        return {code.split(":")[1]: amount for code, amount in found.items()}

    async def check(self) -> None:
        """One row a key, no more and no less; and money is where it should be."""
        rows = await self.pool.fetch(
            "select key from runtime.journal where entity_id like $1 || '-%' and key = any($2)",
            self.name,
            [envelope.key for _, envelope, _ in self.sent],
        )
        assert sorted(row["key"] for row in rows) == sorted(self.model.told)
        paid = await self.pool.fetchval(
            "select coalesce(sum(amount), 0) from public.payments where till like $1 || '-%'",
            self.name,
        )
        assert paid == sum(till.paid for till in self.model.tills.values())
        async with self.pool.acquire() as connection:
            assert await ledger.verify(connection) == []


class broken:  # noqa: N801 - reads as a word of the test
    """The next time that a point is reached: an error, or nothing any more, before or after it."""

    def __init__(self, owner: Any, name: str, after: bool, error: Exception | None) -> None:
        self.reached = asyncio.Event()
        real = getattr(owner, name)

        async def instead(*arguments: Any, **named: Any) -> Any:
            if self.reached.is_set():
                return await real(*arguments, **named)
            if after:
                result = await real(*arguments, **named)
            if self.reached.is_set():
                return result
            self.reached.set()
            if error is not None:
                raise error
            return await asyncio.Event().wait()

        self.patch = patch.object(owner, name, instead)

    def __enter__(self) -> asyncio.Event:
        self.patch.start()
        return self.reached

    def __exit__(self, *_: object) -> None:
        self.patch.stop()


@pytest.mark.parametrize("examples", [25])
def test_histories_with_crashes_are_those_of_the_model(database_url: str, examples: int) -> None:
    with asyncio.Runner() as runner:

        async def prepare() -> Pool:
            opened = await open_pool(database_url, max_size=16)
            world = World(opened, LIMITS)
            await world.prepare()
            return opened

        pool = runner.run(prepare())

        class Machine(Histories):
            loop = runner.get_loop()

        Machine.pool = pool
        Machine.numbers = itertools.count()
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=25,
                deadline=None,
                report_multiple_bugs=False,
            ),
        )
        runner.run(pool.close())
