"""What a thin book's quotes and trades are worth as a price: rested quotes, and the mark.

Prices are ticks and a mark is in half ticks, so that the middle between two ticks is exact; 0 says
that there is none. All is integers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from domain.policy import BPS

# A rung is (since_ms, key): the worst price since then, as a number that is smaller when worse.
Rung: TypeAlias = tuple[int, int]

MAX_PRICE = (1 << 30) - 1
NO_KEY = -MAX_PRICE - 1  # no quote at all: below every price and every negated one
MAX_RUNGS = 64


def quotable(levels: Iterable[tuple[int, int]], tick_minor: int, floor_minor: int) -> int:
    """The price, in ticks, down to which one side's orders are worth `floor_minor`; 0 for none.

    levels: (price in ticks, shares), best first. What is worth less is no quote: it costs its owner
    too little to be wrong.
    """
    worth_minor = 0
    for price, shares in levels:
        worth_minor += price * tick_minor * shares
        if worth_minor >= floor_minor:
            return price
    return 0


def extend(rungs: list[Rung], at_ms: int, key: int) -> None:
    """Note a quote that is `key` from now on.

    rungs: the least key of the last `rest_ms`, as the queue of a sliding minimum: keys rise from
    the first rung, which is what counts now, to the last, which is the quote as it stands. A worse
    quote takes effect at once, a better one when it has rested. Amortised O(1). Beyond MAX_RUNGS
    improvements within the time of rest the newest two rest together: later, never earlier.
    """
    if rungs[-1][1] == key:
        return
    since_ms = at_ms
    while rungs and rungs[-1][1] >= key:
        since_ms = rungs.pop()[0]
    if len(rungs) == MAX_RUNGS:
        rungs.pop()
        since_ms = at_ms
    rungs.append((since_ms, key))


def drop(rungs: list[Rung], since_ms: int) -> None:
    """Forget the rungs below those that have stood since then, and so have rested by now."""
    while len(rungs) > 1 and rungs[1][0] <= since_ms:
        rungs.pop(0)


def sides(bid_key: int, ask_key: int) -> tuple[int, int]:
    """(bid, ask) in ticks of the two keys. Quotes that touch or cross are none."""
    bid, ask = max(bid_key, 0), 0 if ask_key == NO_KEY else -ask_key
    return (0, 0) if bid and ask and bid >= ask else (bid, ask)


def bid_key(price: int) -> int:
    """A bid's key: worse is lower."""
    return price or NO_KEY


def ask_key(price: int) -> int:
    """An ask's key: worse is higher."""
    return -price if price else NO_KEY


def is_narrow(bid: int, ask: int, most_bps: int) -> bool:
    """Whether there are quotes on both sides, and close enough to say what the price is."""
    return bool(bid and ask) and (ask - bid) * BPS <= most_bps * bid


def mark(bid: int, ask: int, last_half: int, *, narrow: bool) -> int:
    """The mark in half ticks: the median of bid, ask and last trade.

    With one quote it is the last trade, drawn to the quote; with two narrow ones and no trade,
    their middle. Nobody stands behind a trade that is over: without quotes there is no mark.
    """
    if not last_half:
        return bid + ask if narrow else 0
    if not (bid or ask):
        return 0
    drawn = max(last_half, 2 * bid)
    return min(drawn, 2 * ask) if ask else drawn


def can_trust(bid: int, ask: int, *, narrow: bool) -> bool:
    """Whether a trade shows anything. Two accounts of one owner can print any price into a book
    that is empty or wide open."""
    return narrow or bool(bid) != bool(ask)


def believed(bid: int, ask: int, last_half: int, price: int, *, narrow: bool) -> int:
    """The last trade, in half ticks, after one at `price` that can be trusted.

    A print counts no further than the narrow quotes between which it happened. Where one side stood
    alone it may draw the price towards that quote and not away from it.
    """
    traded = 2 * price
    if narrow:
        return min(max(traded, 2 * bid), 2 * ask)
    if not last_half:
        return 0
    if bid:
        return min(max(traded, 2 * bid), max(last_half, 2 * bid))
    return max(min(traded, 2 * ask), min(last_half, 2 * ask))
