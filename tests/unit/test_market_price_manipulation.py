"""What it takes to move the prices of a stated market by a tenth, and what does not move them.

The market: a song's share is worth 500 ticks. Bid 490 and ask 510 (4 % apart), 200 shares on either
side, renewed every minute; 40 trades a day, at the bid and at the ask in turn, the last of them six
hours ago at 500. It has stood for two days when the attack begins. The attacker has any
number of accounts that look unrelated, so that wash trades pass for honest ones, but he cannot stop
others from trading with what he quotes.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import cache

import pytest

from domain.market.price_windows import Reading
from domain.market.prices import PriceRecord, Prices
from domain.policy import DAY_MS, MINUTE_MS

FAIR, BID, ASK, DEPTH = 500, 490, 510, 200
START_MS = 2 * DAY_MS
TRADE_EVERY_MS = DAY_MS // 40
MOST_MINUTES = 16 * 60
TENTH_BPS = 1_000
NAMES = ("five_minutes", "hour", "day", "index", "settle")


@cache
def _honest() -> PriceRecord:
    record = PriceRecord()
    record.observe_quote(0, BID, ASK)
    for turn in range(1, (START_MS - 6 * 3_600_000) // TRADE_EVERY_MS):
        price = ASK if turn % 2 else BID
        record.observe_trade(turn * TRADE_EVERY_MS, price, 10, same_owner=False)
    record.observe_trade(START_MS - 6 * 3_600_000, FAIR, 1, same_owner=False)
    return record


def honest() -> PriceRecord:
    """The market as the attack finds it, last traded at what it is worth."""
    return deepcopy(_honest())


def moved_bps(before: Reading, after: Reading) -> int:
    """How far a price went; refusing to name one is no movement."""
    if after.price_milliticks is None or before.price_milliticks is None:
        return 0
    return abs(after.price_milliticks - before.price_milliticks) * 10_000 // before.price_milliticks


def movements(record: PriceRecord, now_ms: int) -> dict[str, int]:
    before, after = honest().prices(START_MS), record.prices(now_ms)
    return {name: moved_bps(getattr(before, name), getattr(after, name)) for name in NAMES}


def sweep_and_hold(height_bps: int, minutes: int) -> Prices:
    """Buy all that is offered, stand on both sides at a multiple of the price, print trades there.

    To be worth anything his bid must stand: whoever owns a share may sell it to him."""
    record = honest()
    bid, ask = BID * height_bps // 10_000, ASK * height_bps // 10_000
    record.observe_trade(START_MS, ASK, DEPTH, same_owner=False)
    record.observe_quote(START_MS, bid, ask)
    for minute in range(minutes):
        at_ms = START_MS + minute * MINUTE_MS + 1
        record.observe_trade(at_ms, FAIR * height_bps // 10_000, 5, same_owner=False)
    return record.prices(START_MS + minutes * MINUTE_MS)


@cache
def minutes_to_move(name: str, height_bps: int) -> int:
    """How many minutes the quotes must be held at a height to move a price by a tenth."""
    before = getattr(honest().prices(START_MS), name)

    def is_moved(minutes: int) -> bool:
        return moved_bps(before, getattr(sweep_and_hold(height_bps, minutes), name)) >= TENTH_BPS

    low, high = 0, MOST_MINUTES
    assert is_moved(high), "it can be moved at all"
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_moved(middle) else (middle, high)
    return high


def cost_of_depth(name: str, height_bps: int) -> float:
    """What the attack loses, in values of the market's depth.

    The sweep is sold again at the bid. While he stands, the makers, who renew their quotes every
    minute, sell their depth to his bid each time for what it is not worth.
    """
    swept = DEPTH * (ASK - BID)
    sold = DEPTH * (BID * height_bps // 10_000 - FAIR) * minutes_to_move(name, height_bps)
    return (swept + sold) / (DEPTH * FAIR)


def table(text: str) -> dict[str, list[str]]:
    return {name: row for name, *row in map(str.split, text.strip().splitlines())}


# Minutes that quotes must be held at so many times the price to move each by 10 %.
HEIGHTS_BPS = (12_000, 15_000, 20_000, 100_000)
MINUTES = """
five_minutes     4     2     2     1
hour            31    13     7     2
day            722   290   146    17
index           32    17    17    16
settle         802   443   375   375
"""


def test_the_time_that_quotes_must_be_held() -> None:
    found = {name: [str(minutes_to_move(name, height)) for height in HEIGHTS_BPS] for name in NAMES}
    assert found == table(MINUTES)


# What the cheapest of these attacks loses, in values of the depth (100,000 ticks).
COST = """
five_minutes     0.7
hour             5.5
day            127.1
index            5.7
settle         141.2
"""


def test_what_the_cheapest_attack_costs() -> None:
    found = {
        name: [f"{min(cost_of_depth(name, height) for height in HEIGHTS_BPS):.1f}"]
        for name in NAMES
    }
    assert found == table(COST)


# What does not move them. Movement in basis points.
def one_print(record: PriceRecord) -> None:
    """One share for ten times the price, in the last millisecond."""
    record.observe_trade(START_MS - 1, 10 * FAIR, 1, same_owner=False)


def one_huge_print(record: PriceRecord) -> None:
    """The same with as many shares as there are, five minutes before."""
    record.observe_trade(START_MS - 5 * MINUTE_MS, 10 * FAIR, 10_000, same_owner=False)


def wash_prints(record: PriceRecord) -> None:
    """A hundred prints at half as much again over five minutes, between unrelated accounts."""
    for turn in range(100):
        at_ms = START_MS - 5 * MINUTE_MS + 3_000 * turn
        record.observe_trade(at_ms, FAIR * 3 // 2, 10, same_owner=False)


def own_prints(record: PriceRecord) -> None:
    """The same for hours, between accounts that are known to be one owner's."""
    for turn in range(1_000):
        at_ms = START_MS - 5 * 3_600_000 + 18_000 * turn
        record.observe_trade(at_ms, FAIR * 3 // 2, 10, same_owner=True)


def spike(record: PriceRecord) -> None:
    """The whole depth bought, quotes and prints at ten times the price, for the last second."""
    record.observe_trade(START_MS - 1_000, ASK, DEPTH, same_owner=False)
    record.observe_quote(START_MS - 1_000, 10 * BID, 10 * ASK)
    record.observe_trade(START_MS - 500, 10 * FAIR, 5, same_owner=False)


def spike_of_the_rest(record: PriceRecord) -> None:
    """The same, for as long as a quote rests before it counts."""
    record.observe_trade(START_MS - 29_999, ASK, DEPTH, same_owner=False)
    record.observe_quote(START_MS - 29_999, 10 * BID, 10 * ASK)
    record.observe_trade(START_MS - 500, 10 * FAIR, 5, same_owner=False)


def emptied(record: PriceRecord) -> None:
    """Both sides bought and sold away, then prints into the empty book for five minutes."""
    record.observe_quote(START_MS - 5 * MINUTE_MS, 0, 0)
    for turn in range(100):
        at_ms = START_MS - 5 * MINUTE_MS + 3_000 * turn
        record.observe_trade(at_ms, 10 * FAIR, 10, same_owner=False)


def auctioned(record: PriceRecord) -> None:
    """A halt, everything bought, and an auction at twice the price that nobody else is in."""
    record.halt(START_MS - 6 * MINUTE_MS)
    record.observe_quote(START_MS - 6 * MINUTE_MS, BID, 0)
    record.anchor(START_MS - 5 * MINUTE_MS, 2 * FAIR)
    record.resume(START_MS - 5 * MINUTE_MS)
    record.observe_trade(START_MS - 4 * MINUTE_MS, 2 * FAIR, 10, same_owner=False)


#                    5 min    hour     day   index  settle
MOVEMENTS = """
one_print                0       0       0       0       0
one_huge_print         200      16       0       0       0
wash_prints            200      16       0       0       0
own_prints               0       0       0       0       0
spike                    0       0       0       0       0
spike_of_the_rest       20       1       0       0       0
emptied                  0       0       0       0       0
auctioned                0       0       0       0       0
"""
ATTACKS: tuple[Callable[[PriceRecord], None], ...] = (
    one_print, one_huge_print, wash_prints, own_prints, spike, spike_of_the_rest, emptied,
    auctioned,
)  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_trade_wash_trades_and_a_spike_move_nothing(
    attack: Callable[[PriceRecord], None],
) -> None:
    record = deepcopy(_honest())
    attack(record)
    found = movements(record, START_MS)
    assert [str(moved) for moved in found.values()] == table(MOVEMENTS)[attack.__name__]
    assert max(found.values()) <= 10_000 * (ASK - FAIR) // FAIR, "never beyond the honest ask"
