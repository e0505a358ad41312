"""The handle before hosts that are not there: coalescing, retries, deadlines, bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from actors.runtime.codec import decode_payload, encode
from actors.runtime.handle import Handle
from actors.runtime.limits import HandleLimits
from actors.runtime.transport import HostUnreachable
from messages.envelope import Answer, CommandEnvelope
from messages.errors import Conflict, Overloaded, Unavailable, VibeStreamError
from messages.keys import derive_key, partition_of
from tests.integration.runtime_kinds import Add, Count, Counter

QUICK = HandleLimits(backoff_first_ms=1, backoff_most_ms=2, ask_ms=10_000)
KIND = Counter()

Answering = Callable[[str, CommandEnvelope], Answer]


class Hosts:
    """Answers calls as told, and remembers them. A call waits while `gate` is closed."""

    def __init__(self, answering: Answering) -> None:
        self.answering = answering
        self.calls: list[tuple[str, list[CommandEnvelope]]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.under_way = 0
        self.most_under_way = 0

    async def call(self, host: str, payload: bytes) -> bytes:
        kind, envelopes = decode_payload(payload)
        assert kind == "counter"
        self.calls.append((host, envelopes))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self.gate.wait()
            return encode([self.answering(host, envelope) for envelope in envelopes])
        finally:
            self.under_way -= 1

    async def health(self, host: str) -> bytes:
        raise NotImplementedError

    def sizes(self) -> list[int]:
        """How many commands each call carried."""
        return [len(envelopes) for _, envelopes in self.calls]


class Placing:
    """A placement that can change, and be unreadable."""

    def __init__(self, *hosts: str) -> None:
        self.hosts: Sequence[str] = hosts
        self.reads = 0
        self.fails = 0

    async def __call__(self, kind: str) -> Mapping[int, str]:
        self.reads += 1
        await asyncio.sleep(0)
        if self.fails:
            self.fails -= 1
            raise ConnectionError
        return {p: self.hosts[p % len(self.hosts)] for p in range(KIND.partitions) if self.hosts}


def counted(host: str, envelope: CommandEnvelope) -> Answer:
    return Answer(encode(Count(7)))


class Asking:
    """A handle and its surroundings."""

    def __init__(self, answering: Answering = counted, limits: HandleLimits = QUICK) -> None:
        self.hosts = Hosts(answering)
        self.placing = Placing("h0")
        self.handle = Handle(KIND, self.hosts, self.placing, limits)
        self._number = 0

    async def ask(self, entity_id: str = "a", timeout_ms: int | None = None) -> Count:
        self._number += 1
        key = derive_key("ask", self._number)
        found = await self.handle.ask(entity_id, Add(1), key=key, timeout_ms=timeout_ms)
        assert isinstance(found, Count)
        return found

    async def ask_many(self, count: int) -> list[Count]:
        return await asyncio.gather(*(self.ask() for _ in range(count)))


@pytest.fixture
async def make() -> AsyncIterator[Callable[..., Asking]]:
    made: list[Asking] = []

    def new(answering: Answering = counted, limits: HandleLimits = QUICK) -> Asking:
        made.append(Asking(answering, limits))
        return made[-1]

    yield new
    for asking in made:
        await asking.handle.close()


async def test_the_answer_is_decoded(make: Callable[..., Asking]) -> None:
    assert await make().ask() == Count(7)


async def test_what_is_asked_together_leaves_together(make: Callable[..., Asking]) -> None:
    asking = make()
    await asking.ask()
    await asking.ask_many(40)
    assert asking.hosts.sizes() == [1, 40]


async def test_what_arrives_while_calls_are_under_way_leaves_in_the_next(
    make: Callable[..., Asking],
) -> None:
    asking = make()
    await asking.ask()
    asking.hosts.gate.clear()
    asks = []
    for _ in range(30):
        asks.append(asyncio.create_task(asking.ask()))
        for _ in range(3):
            await asyncio.sleep(0)
    asking.hosts.gate.set()
    await asyncio.gather(*asks)
    assert asking.hosts.sizes() == [1, 1, 1, 28]
    assert asking.hosts.most_under_way == 2


async def test_a_call_carries_no_more_than_its_bound(make: Callable[..., Asking]) -> None:
    asking = make()
    await asking.ask()
    asking.hosts.gate.clear()
    asks = asyncio.create_task(asking.ask_many(1_203))
    async with asyncio.timeout(60):
        while asking.hosts.most_under_way < 2:  # noqa: ASYNC110 - the gate holds them meanwhile
            await asyncio.sleep(0.001)
    asking.hosts.gate.set()
    await asks
    assert asking.hosts.sizes() == [1, 500, 500, 203]
    assert asking.hosts.most_under_way == 2


async def test_each_partition_is_asked_where_it_is(make: Callable[..., Asking]) -> None:
    asking = make()
    asking.placing.hosts = ("h0", "h1", "h2")
    await asyncio.gather(*(asking.ask(f"e{n}") for n in range(50)))
    assert len(asking.hosts.calls) == 3
    for host, envelopes in asking.hosts.calls:
        for envelope in envelopes:
            assert host == f"h{partition_of(envelope.entity_id, KIND.partitions) % 3}"


async def test_an_error_is_the_typed_one(make: Callable[..., Asking]) -> None:
    def refuse(host: str, envelope: CommandEnvelope) -> Answer:
        return Answer(code="conflict", detail="below zero", params={"count": 3})

    with pytest.raises(Conflict, match="below zero") as caught:
        await make(refuse).ask()
    assert caught.value.params == {"count": 3}


async def test_an_internal_error_is_one(make: Callable[..., Asking]) -> None:
    def fail(host: str, envelope: CommandEnvelope) -> Answer:
        return Answer(code="internal", detail="failed")

    with pytest.raises(VibeStreamError) as caught:
        await make(fail).ask()
    assert type(caught.value) is VibeStreamError


async def test_what_moved_is_asked_at_its_new_place_with_the_same_key(
    make: Callable[..., Asking],
) -> None:
    asking = make()

    def only_h1(host: str, envelope: CommandEnvelope) -> Answer:
        asking.placing.hosts = ("h1",)
        return counted(host, envelope) if host == "h1" else Answer(code="not-owner")

    asking.hosts.answering = only_h1
    assert await asking.ask_many(3) == [Count(7)] * 3
    (first, sent), (second, again) = asking.hosts.calls
    assert (first, second) == ("h0", "h1")
    assert sent == again
    assert asking.placing.reads == 2


async def test_a_host_that_is_not_there_is_asked_until_it_is(make: Callable[..., Asking]) -> None:
    asking, fails = make(), [5]

    def come_back(host: str, envelope: CommandEnvelope) -> Answer:
        if fails[0]:
            fails[0] -= 1
            raise HostUnreachable(host)
        return counted(host, envelope)

    asking.hosts.answering = come_back
    assert await asking.ask() == Count(7)
    assert len({envelopes[0].key for _, envelopes in asking.hosts.calls}) == 1
    assert len(asking.hosts.calls) == 6


@pytest.mark.parametrize("why", [HostUnreachable("h0"), ValueError("what is this?")])
async def test_the_deadline_ends_the_asking(make: Callable[..., Asking], why: Exception) -> None:
    def fail(host: str, envelope: CommandEnvelope) -> Answer:
        raise why

    with pytest.raises(Unavailable):
        await make(fail).ask(timeout_ms=60)


async def test_a_call_that_does_not_come_back_is_given_up(make: Callable[..., Asking]) -> None:
    asking = make(limits=HandleLimits(call_ms=20, backoff_first_ms=1))
    asking.hosts.gate.clear()
    ask = asyncio.create_task(asking.ask())
    while len(asking.hosts.calls) < 3:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    asking.hosts.gate.set()
    assert await ask == Count(7)


async def test_a_placement_that_cannot_be_read_is_read_again(make: Callable[..., Asking]) -> None:
    asking = make()
    asking.placing.fails = 3
    assert await asking.ask() == Count(7)
    assert asking.placing.reads == 4


async def test_a_partition_that_has_no_place_yet_is_waited_for(make: Callable[..., Asking]) -> None:
    asking = make()
    asking.placing.hosts = ()
    ask = asyncio.create_task(asking.ask())
    while asking.placing.reads < 3:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    asking.placing.hosts = ("h0",)
    assert await ask == Count(7)


async def test_too_many_that_wait_are_refused(make: Callable[..., Asking]) -> None:
    asking = make(limits=HandleLimits(pending_commands=10))
    asking.hosts.gate.clear()
    asks = [asyncio.create_task(asking.ask()) for _ in range(10)]
    await asyncio.sleep(0.01)
    with pytest.raises(Overloaded) as caught:
        await asking.ask()
    assert caught.value.retry_after_ms == 250
    asking.hosts.gate.set()
    assert await asyncio.gather(*asks) == [Count(7)] * 10
    assert await asking.ask() == Count(7)


async def test_a_caller_that_gives_up_is_not_sent_again(make: Callable[..., Asking]) -> None:
    asking = make(limits=HandleLimits(calls_in_flight=1))
    asking.hosts.gate.clear()
    asks = [asyncio.create_task(asking.ask()) for _ in range(2)]
    await asyncio.sleep(0.01)
    late = [asyncio.create_task(asking.ask()) for _ in range(2)]
    asks += [late[0]]
    await asyncio.sleep(0.01)
    late[1].cancel()
    asking.hosts.gate.set()
    await asyncio.gather(*asks)
    assert sum(asking.hosts.sizes()) == 3


async def test_closing_tells_whoever_waits(make: Callable[..., Asking]) -> None:
    asking = make()
    asking.hosts.gate.clear()
    asks = [asyncio.create_task(asking.ask()) for _ in range(3)]
    await asyncio.sleep(0.01)
    await asking.handle.close()
    outcomes = await asyncio.gather(*asks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3


async def test_each_ask_has_its_time_whatever_came_of_those_before(
    make: Callable[..., Asking],
) -> None:
    asking = make(limits=replace(QUICK, ask_ms=30))
    assert await asking.ask_many(3) == [Count(7)] * 3
    asking.hosts.gate.clear()
    late = await asyncio.gather(*(asking.ask() for _ in range(3)), return_exceptions=True)
    assert [type(found) for found in late] == [Unavailable] * 3
    asking.hosts.gate.set()
    assert await asking.ask() == Count(7)
    asking.hosts.gate.clear()
    with pytest.raises(Unavailable):
        await asking.ask()
    asking.hosts.gate.set()
