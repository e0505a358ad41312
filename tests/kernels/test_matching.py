"""The matching kernel against its naive twin: any commands, any batches, long runs."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kernels.matching import (
    CHANGE,
    EVENT,
    KINDS,
    MIN_EVENTS,
    REASONS,
    SIDES,
    STPS,
    TIFS,
    Market,
    state_hash,
    state_lines,
)
from tests.kernels.matching_support import check_same, decoded, encoded, levels, played, said, told
from tests.kernels.naive import market as naive
from tests.kernels.naive.market import Command, Event

PRICES = (0, 1, 2, 3, 4, 5, 6, 62, 63, 64, 65, 4094, 4095, 4096)
QUANTITIES = (-1, 0, 1, 1, 2, 3, 5, 8, 13, 40, 2**62)

# -- any commands ------------------------------------------------------------------------------

prices, quantities = st.sampled_from(PRICES), st.sampled_from(QUANTITIES)
ids, owners = st.integers(0, 12), st.integers(0, 2)
sides, tifs, stps = st.sampled_from(SIDES), st.sampled_from(TIFS), st.sampled_from(STPS)


class Twins(RuleBasedStateMachine):
    """Both do the same; every event, order and level is compared."""

    @initialize(symbols=st.integers(1, 2), capacity=st.integers(1, 8))
    def begin(self, symbols: int, capacity: int) -> None:
        self.market = Market(symbols, 4096, capacity)
        self.twin = naive.Market(symbols, 4096, capacity)
        self.seq = 0

    def both(self, command: Command) -> None:
        expected = self.twin.apply(self.seq, command)
        assert said(self.market, [command], first_seq=self.seq) == expected
        self.seq += 1

    @rule(
        side=sides, tif=tifs, stp=stps, symbol=st.integers(-1, 2), owner=owners, price=prices,
        quantity=quantities, order_id=ids,
    )  # fmt: skip
    def new(self, **fields: object) -> None:
        self.both(Command("new", **fields))  # type: ignore[arg-type]

    @rule(
        side=sides, tif=tifs, stp=stps, owner=owners, price=prices, quantity=quantities,
        order_id=ids, stop=st.one_of(st.just(0), prices), display=st.integers(-1, 3),
        expires=st.integers(-1, 9),
    )  # fmt: skip
    def new_with_options(self, **fields: object) -> None:
        self.both(Command("new", **fields))  # type: ignore[arg-type]

    @rule(owner=owners, order_id=ids)
    def cancel(self, **fields: int) -> None:
        self.both(Command("cancel", **fields))  # type: ignore[arg-type]

    @rule(
        tif=st.sampled_from(("gtc", "post")), stp=stps, owner=owners, price=prices,
        quantity=quantities, order_id=ids,
    )  # fmt: skip
    def replace(self, **fields: object) -> None:
        self.both(Command("replace", **fields))  # type: ignore[arg-type]

    @rule(expires=st.integers(0, 9))
    def expire(self, expires: int) -> None:
        self.both(Command("expire", expires=expires))

    @rule(quantity=st.integers(0, 1), symbol=st.integers(0, 2))
    def auction(self, quantity: int, symbol: int) -> None:
        self.both(Command("auction", quantity=quantity, symbol=symbol))

    @rule(price=prices, symbol=st.integers(0, 2))
    def uncross(self, price: int, symbol: int) -> None:
        self.both(Command("uncross", price=price, symbol=symbol))

    @invariant()
    def is_the_same(self) -> None:
        if hasattr(self, "market"):
            assert hash_of(self.market) == self.twin.state_hash()

    def teardown(self) -> None:
        """What is left comes back in another market."""
        if hasattr(self, "market"):
            check_same(self.market, self.twin)
            again = Market(self.twin.symbols, 4096, self.twin.capacity)
            for symbol in range(self.twin.symbols):
                again.load(self.market.dump(symbol))
            check_same(again, self.twin)


TestTwins = Twins.TestCase
TestTwins.settings = settings(max_examples=25, stateful_step_count=60)

# -- long runs ---------------------------------------------------------------------------------


def stream(seed: int, count: int, symbols: int, *, options: bool) -> list[Command]:
    """Random commands around a middle price; with options also stops, icebergs, dates, auctions."""
    chance = random.Random(seed)
    commands = []
    for at in range(count):
        op = chance.choices(("new", "cancel", "replace"), (60, 30, 10))[0]
        if options and chance.random() < 0.03:
            op = chance.choice(("expire", "auction", "uncross"))
        price = 2048 + round(chance.gauss(0, 6))
        tif = chance.choices(TIFS, (70, 8, 7, 8, 7))[0]
        more = {}
        if options and tif == "gtc" and op == "new":
            more = {
                "stop": price + chance.choice((-3, 3)) if chance.random() < 0.1 else 0,
                "display": chance.randrange(1, 5) if chance.random() < 0.2 else 0,
                "expires": at + chance.randrange(1, 400) if chance.random() < 0.2 else 0,
            }
        if op == "expire":
            more = {"expires": at}
        commands.append(
            Command(
                op, chance.choice(SIDES), tif, chance.choices(STPS, (6, 1, 1, 1, 1))[0],
                chance.randrange(symbols), chance.randrange(4), price,
                chance.randrange(2) if op == "auction" else chance.randrange(1, 50),
                chance.randrange(300), **more,
            )
        )  # fmt: skip
    return commands


def compare(commands: list[Command], symbols: int, capacity: int) -> Counter[str]:
    """Run both, compare all events, and the state each hundred commands. What was said, counted."""
    market, twin = Market(symbols, 4096, capacity), naive.Market(symbols, 4096, capacity)
    counts: Counter[str] = Counter()
    for begin in range(0, len(commands), 100):
        part = commands[begin : begin + 100]
        events = said(market, part, first_seq=begin)
        assert events == told(twin, part, begin)
        assert hash_of(market) == twin.state_hash()
        counts.update(word for event in events for word in (event.kind, event.reason))
    check_same(market, twin)
    return counts


def hash_of(market: Market) -> str:
    symbols = range(len(market.state.phases))
    return state_hash(line for symbol in symbols for line in state_lines(market.dump(symbol)))


@pytest.mark.slow
def test_a_hundred_thousand_commands() -> None:
    counts = compare(stream(1, 100_000, 2, options=False), 2, 1000)
    assert counts["trade"] > 20_000


@pytest.mark.slow
def test_a_hundred_thousand_commands_with_options() -> None:
    counts = compare(stream(2, 100_000, 2, options=True), 2, 150)
    malformed = {"symbol", "quantity", "price", "display", "expiry", "malformed"}
    assert set(counts) == {*KINDS, *REASONS} - malformed


@pytest.mark.parametrize("seed", range(10, 16))
def test_seeded_runs(seed: int) -> None:
    compare(stream(seed, 1500, 2, options=seed % 2 == 1), 2, 200)


# -- batches -----------------------------------------------------------------------------------


def test_events_do_not_depend_on_batches_or_buffers() -> None:
    """Nor does the order of changed levels depend on them, within what is taken at once."""
    commands = stream(3, 4000, 2, options=True)
    whole = Market(2, 4096, 200)
    expected = said(whole, commands, events=1 << 15)
    chance = random.Random(4)
    for most in (1, 7, 500):
        market, found, at = Market(2, 4096, 200), [], 0
        while at < len(commands):
            size = chance.randint(1, most)
            found += through(market, commands[at : at + size], chance.randint(MIN_EVENTS, 40), at)
            at += size
        assert found == expected
        assert hash_of(market) == hash_of(whole)


def through(market: Market, commands: list[Command], size: int, seq: int) -> list[Event]:
    """Run a batch with a small buffer, larger only for a command that would not fit it."""
    events: list[Event] = []
    parts = played(market, encoded(commands), size, seq)
    while True:
        try:
            events += next(parts)
        except StopIteration:
            return events
        except BufferError:
            parts = resumed(market, market.needed)


def resumed(market: Market, size: int) -> Iterator[list[Event]]:
    buffer = np.zeros(size, EVENT)
    market.give_events(buffer)
    while True:
        used = market.run()
        yield decoded(buffer[:used])
        if market.is_done:
            return


def test_a_buffer_that_is_exactly_full_and_one_short() -> None:
    resting = [Command("new", "sell", price=10, quantity=1, order_id=at) for at in range(6)]
    sweep = [Command("new", price=10, quantity=6, order_id=99)]
    for room, fits in ((MIN_EVENTS + 6, True), (MIN_EVENTS + 5, False)):
        market = Market(1, 64, 10)
        said(market, resting)
        before = hash_of(market)
        if fits:
            assert len(said(market, sweep, events=room)) == 7
        else:
            with pytest.raises(BufferError):
                said(market, sweep, events=room)
            assert market.needed == MIN_EVENTS + 6
            assert hash_of(market) == before


def test_commands_are_only_read() -> None:
    rows = encoded(stream(5, 500, 1, options=True))
    rows.flags.writeable = False
    before = rows.tobytes()
    assert sum(len(part) for part in played(Market(1, 4096, 100), rows)) > 500
    assert rows.tobytes() == before


def test_memory_of_another_form_is_refused() -> None:
    market, events = Market(1, 64, 4), np.zeros(64, EVENT)
    for wrong in (events[::2], events.reshape(8, 8), np.zeros(9)):
        with pytest.raises(ValueError, match="need"):
            market.give_events(wrong)
    events.flags.writeable = False
    with pytest.raises(ValueError, match="writable"):
        market.give_events(events)
    with pytest.raises(ValueError, match="too many"):
        Market(1, 64, 1 << 40)


@given(st.integers(0, 2**32), st.integers(1, 9))
@settings(max_examples=30)
def test_changes_make_the_same_depth(seed: int, room: int) -> None:
    """Who follows the changed levels has the levels, however few are taken at a time."""
    market = Market(1, 4096, 100)
    seen: dict[tuple[str, int], tuple[int, int]] = {}
    commands = stream(seed, 200, 1, options=True)
    for at in range(0, 200, 20):
        said(market, commands[at : at + 20])
        while market.changed:
            out = np.zeros(room, CHANGE)
            for _, side, price, orders, quantity in out[: market.take_changes(out)].tolist():
                seen[SIDES[side], price] = quantity, orders
        for side in SIDES:
            follows = {price: level for (own, price), level in seen.items() if own == side}
            expected = {
                price: (quantity, orders) for price, quantity, orders in levels(market, 0, side)
            }
            assert {price: level for price, level in follows.items() if level[1]} == expected


def test_shares_and_cash_are_conserved() -> None:
    """Each owner ends with what the trades say, and nobody fills more than was ordered."""
    commands = stream(6, 5000, 1, options=True)
    ordered: dict[int, int] = {}
    filled: Counter[int] = Counter()
    shares: Counter[int] = Counter()
    cash: Counter[int] = Counter()
    market = Market(1, 4096, 300)
    for event in said(market, commands):
        if event.kind in ("ack", "replaced"):
            ordered[event.order_id], filled[event.order_id] = event.quantity, 0
        if event.kind == "trade":
            sign = 1 if event.side == "buy" else -1
            for owner, way in ((event.owner, sign), (event.maker_owner, -sign)):
                shares[owner] += way * event.quantity
                cash[owner] -= way * event.quantity * event.price
            for order in (event.order_id, event.maker_order_id):
                filled[order] += event.quantity
                assert filled[order] <= ordered[order]
    assert sum(shares.values()) == sum(cash.values()) == 0
    assert any(shares.values())
