"""The matching kernel at each edge, in scenarios that one can check by eye.

Each line is `command > events`. A command: `id/owner buy 5@100 [tif] [stp]`, `cancel id/owner`,
`replace id/owner 5@100 [tif] [stp]`. Events, in order: `ack`, `5@100 with 7` (a trade), `off 5@100
with 7` (decremented), `cancelled 5@100 [of 7] reason`, `refused reason`, `replaced`. A line without
an arrow expects nothing; the twin must agree with all of them.
"""

from __future__ import annotations

from typing import Any

import pytest

from kernels.matching import Market
from tests.kernels.matching_support import check_same, levels, said
from tests.kernels.naive import market as naive
from tests.kernels.naive.market import Command, Event

HALF = 1 << 62
SCENARIOS = {
    "cancel the middle, the head, the tail, then sweep": """
        1/1 sell 1@100
        2/1 sell 2@100
        3/1 sell 3@100
        4/1 sell 4@100
        5/1 sell 5@100
        cancel 3/1 > cancelled 3@100 user
        cancel 1/1 > cancelled 1@100 user
        cancel 5/1 > cancelled 5@100 user
        9/2 buy 9@100 > ack; 2@100 with 2; 4@100 with 4
    """,
    "a maker filled in part keeps the front": """
        1/1 sell 5@100
        2/1 sell 5@100
        3/2 buy 2@100 > ack; 2@100 with 1
        4/2 buy 4@100 > ack; 3@100 with 1; 1@100 with 2
    """,
    "a sweep to the exact end of a level": """
        1/1 sell 5@100
        2/1 sell 5@101
        3/2 buy 5@101 > ack; 5@100 with 1
        4/2 buy 5@101 > ack; 5@101 with 2
        5/2 sell 1@101 > ack
    """,
    "what is left becomes the best bid": """
        1/1 sell 5@100
        2/2 buy 7@100 > ack; 5@100 with 1
        3/1 sell 3@90 > ack; 2@100 with 2
    """,
    "replace into the other side trades at the maker's price": """
        1/1 sell 5@100
        2/2 buy 5@90
        replace 2/2 5@105 > replaced; 5@100 with 1
    """,
    "less keeps its place, more loses it, the sibling stays": """
        1/1 buy 5@100
        2/2 buy 5@100
        replace 1/1 4@100 > replaced
        3/3 sell 1@100 > ack; 1@100 with 1
        replace 1/1 5@100 > replaced
        4/3 sell 6@100 > ack; 5@100 with 2; 1@100 with 1
    """,
    "the same quantity at the same price keeps its place": """
        1/1 buy 5@100
        2/2 buy 5@100
        replace 1/1 5@100 > replaced
        3/3 sell 1@100 > ack; 1@100 with 1
    """,
    "cancel and replace of what is gone, was never there, is another's": """
        1/1 sell 5@100
        2/2 buy 5@100 > ack; 5@100 with 1
        cancel 1/1 > refused unknown
        replace 1/1 5@100 > refused unknown
        3/1 sell 5@100
        cancel 3/2 > refused owner
        replace 3/2 0@0 > refused owner
        cancel 3/1 > cancelled 5@100 user
        cancel 3/1 > refused unknown
        cancel 77/1 > refused unknown
    """,
    "an id may be used again once dead": """
        1/1 sell 5@100
        1/1 sell 5@101 > refused duplicate
        1/2 sell 5@101 > refused duplicate
        2/2 buy 5@100 > ack; 5@100 with 1
        1/1 sell 5@101 > ack
        cancel 1/1 > cancelled 5@101 user
        1/3 buy 5@99 > ack
    """,
    "no phantom best after the last order of a level": """
        1/1 buy 5@100
        2/1 buy 5@90
        cancel 1/1 > cancelled 5@100 user
        3/2 sell 5@95 > ack
        4/2 sell 5@90 > ack; 5@90 with 2
    """,
    "the rest of ioc and market never rests": """
        1/1 sell 5@100
        2/2 buy 9@100 ioc > ack; 5@100 with 1; cancelled 4@100 ioc
        3/2 buy 9@0 market > ack; cancelled 9@4095 ioc
        4/2 sell 9@-7 market > ack; cancelled 9@1 ioc
        5/2 buy 9@4096 market > ack; cancelled 9@4095 ioc
        6/1 sell 1@100 > ack
    """,
    "fok: exact, one short, across levels": """
        1/1 sell 5@100
        2/1 sell 5@102
        3/2 buy 11@102 fok > refused fok
        4/2 buy 6@101 fok > refused fok
        5/2 buy 10@102 fok > ack; 5@100 with 1; 5@102 with 2
    """,
    "fok with own orders inside": """
        1/1 sell 5@100
        2/2 sell 5@100
        3/1 sell 5@101
        4/2 buy 10@101 fok none > ack; 5@100 with 1; 5@100 with 2
        5/2 sell 5@101
        6/1 sell 5@101
        7/2 buy 10@101 fok cancel_newest > refused fok
        7/2 buy 10@101 fok cancel_both > refused fok
        7/2 buy 10@101 fok decrement > refused fok
        7/2 buy 5@101 fok decrement > ack; 5@101 with 3
        8/2 buy 5@101 fok cancel_newest > refused fok
        8/2 buy 6@101 fok cancel_oldest > refused fok
        8/2 buy 5@101 fok cancel_oldest > ack; cancelled 5@101 of 5 stp; 5@101 with 6
    """,
    "post-only: at an equal price, behind it, and in a replace": """
        1/1 sell 5@100
        2/2 buy 5@100 post > refused post_only
        2/2 buy 5@99 post > ack
        replace 2/2 5@100 post > refused post_only
        replace 2/2 5@98 post > replaced
        replace 2/2 5@100 gtc > replaced; 5@100 with 1
    """,
    "self-trade rules with the own order behind another's": """
        1/1 sell 5@100
        2/2 sell 5@100
        3/3 sell 5@100
        4/2 buy 12@100 gtc cancel_newest > ack; 5@100 with 1; cancelled 7@100 stp
        5/2 buy 3@100 gtc cancel_oldest > ack; cancelled 5@100 of 2 stp; 3@100 with 3
        6/3 buy 5@100 gtc cancel_both > ack; cancelled 2@100 of 3 stp; cancelled 5@100 stp
        7/3 sell 1@200 > ack
    """,
    "decrement: the maker left, the taker left, neither": """
        1/1 sell 5@100
        2/1 buy 3@100 gtc decrement > ack; off 3@100 with 1
        3/1 buy 2@100 gtc decrement > ack; off 2@100 with 1
        4/1 sell 2@100
        5/1 buy 6@100 gtc decrement > ack; off 2@100 with 4
        6/2 sell 4@100 > ack; 4@100 with 5
    """,
    "the rule of a replace is that of the replace": """
        1/1 sell 5@100
        2/1 buy 5@90
        replace 2/1 5@100 gtc cancel_newest > replaced; cancelled 5@100 stp
        cancel 2/1 > refused unknown
    """,
    "quantities and prices at the ends": """
        1/1 buy 0@100 > refused quantity
        1/1 buy -5@100 > refused quantity
        1/1 buy 5@0 > refused price
        1/1 buy 5@-1 > refused price
        1/1 buy 5@4096 > refused price
        1/1 buy 5@1 > ack
        2/1 sell 5@4095 > ack
        replace 1/1 0@0 > refused quantity
        replace 1/1 5@4096 > refused price
        3/2 sell 5@1 > ack; 5@1 with 1
        4/2 buy 5@4095 > ack; 5@4095 with 2
    """,
    "either side of a word of bits": """
        1/1 buy 1@63
        2/1 buy 1@64
        3/1 buy 1@1
        4/1 sell 1@4095
        5/1 sell 1@4032
        6/2 sell 2@63 > ack; 1@64 with 2; 1@63 with 1
        7/2 sell 1@2 > ack
        8/2 buy 2@4095 > ack; 1@2 with 7; 1@4032 with 5
        9/2 buy 1@4095 > ack; 1@4095 with 4
        10/2 sell 1@1 > ack; 1@1 with 3
    """,
    "quantities near the end of 64 bits": """
        1/1 sell {HALF}@100
        2/1 sell {HALF}@100 > refused capacity
        2/1 sell {LESS}@100 > ack
        3/1 sell {HALF}@101 > ack
        replace 3/1 {HALF}@100 > refused capacity
        4/2 buy 9223372036854775807@101 fok > ack; {HALF}@100 with 1; {LESS}@100 with 2
    """,
}  # fmt: skip


def command_of(words: list[str]) -> Command:
    op = words.pop(0) if words[0] in ("cancel", "replace") else "new"
    order_id, owner = map(int, words.pop(0).split("/"))
    if op == "cancel":
        return Command(op, order_id=order_id, owner=owner)
    side = words.pop(0) if op == "new" else "buy"
    quantity, price = map(int, words.pop(0).split("@"))
    tif, stp = [*words, *("gtc", "none")[len(words) :]]
    return Command(op, side, tif, stp, 0, owner, price, quantity, order_id)


def shown(event: Event) -> str:
    amount = f"{event.quantity}@{event.price}"
    if event.kind == "trade":
        return f"{amount} with {event.maker_order_id}"
    if event.kind == "decremented":
        return f"off {amount} with {event.maker_order_id}"
    if event.kind == "rejected":
        return f"refused {event.reason}"
    return f"{event.kind} {amount} of {event.order_id} {event.reason}"


def expected_of(text: str, command: Command) -> list[str]:
    events = []
    for words in (event.split() for event in text.split(";")):
        if words[0] in ("ack", "replaced"):
            price = {"market": 4095 if command.side == "buy" else 1}.get(command.tif, command.price)
            events.append(f"{words[0]} {command.quantity}@{price} of {command.order_id} ")
        elif words[0] == "cancelled" and "of" not in words:
            events.append(f"cancelled {words[1]} of {command.order_id} {words[2]}")
        else:
            events.append(" ".join(words))
    return events


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name: str) -> None:
    market, twin = Market(1, 4096, 20), naive.Market(1, 4096, 20)
    lines = SCENARIOS[name].replace("{HALF}", str(HALF)).replace("{LESS}", str(HALF - 1))
    for seq, line in enumerate(lines.strip().splitlines()):
        what, _, expected = line.partition(">")
        command = command_of(what.split())
        events = said(market, [command], first_seq=seq)
        if expected:
            assert [shown(event) for event in events] == expected_of(expected, command), line
        assert events == twin.apply(seq, command)
    check_same(market, twin)


def both(commands: list[Command], symbols: int = 1, capacity: int = 9000) -> list[Event]:
    """What the kernel says, which the twin says too."""
    market, twin = Market(symbols, 4096, capacity), naive.Market(symbols, 4096, capacity)
    found = said(market, commands, events=1 << 14)
    assert found == [e for seq, c in enumerate(commands) for e in twin.apply(seq, c)]
    check_same(market, twin)
    return found


def order(order_id: int, side: str, price: int, quantity: int, **more: Any) -> Command:
    return Command("new", side, price=price, quantity=quantity, order_id=order_id, **more)


@pytest.mark.parametrize("symbol", [-(2**63), -1, 3, 2**31, 2**63 - 1])
def test_a_symbol_out_of_range_is_shown_as_it_was_given(symbol: int) -> None:
    found = both([order(1, "buy", 9, 9, symbol=symbol), order(1, "buy", 9, 0, symbol=2)], 3)
    assert [(e.reason, e.symbol) for e in found] == [("symbol", symbol), ("quantity", 2)]


def test_cancel_shows_the_orders_own_symbol_side_and_price() -> None:
    found = both(
        [
            order(1, "sell", 70, 9, symbol=2, owner=5),
            Command("cancel", "buy", symbol=0, owner=5, price=1, quantity=1, order_id=1),
        ],
        3,
    )
    assert found[1][:7] == ("cancelled", 1, 2, "sell", "user", 70, 9)


def test_ids_and_owners_of_sixty_four_bits() -> None:
    ids = [0, -1, 2**63 - 1, -(2**63), 1 << 40, 1 << 32, (1 << 32) + 1]
    makers = [order(id_, "sell", 100, 1, owner=id_) for id_ in ids]
    found = both([*makers, order(7, "buy", 100, len(ids), owner=3)])
    assert [(e.maker_order_id, e.maker_owner) for e in found[-len(ids) :]] == [(i, i) for i in ids]


def test_a_sweep_of_five_thousand_makers() -> None:
    market = Market(1, 4096, 5001)
    said(market, [order(at + 1, "sell", 100 + at % 37, 2) for at in range(5000)], events=8192)
    found = said(market, [order(9999, "buy", 200, 10_001)], events=8192)
    assert [event.price for event in found[1:]] == sorted(event.price for event in found[1:])
    assert [event.quantity for event in found] == [10_001] + 5000 * [2]
    assert levels(market, 0, "buy") == [(200, 1, 1)]
    assert levels(market, 0, "sell") == []


def test_a_full_pool_refuses_what_would_rest_and_serves_the_rest() -> None:
    found = both(
        [
            order(1, "sell", 100, 5), order(2, "sell", 101, 5), order(3, "sell", 102, 5),
            order(3, "buy", 100, 1, tif="ioc"), order(4, "buy", 100, 9), order(2, "buy", 1, 1),
            Command("replace", price=99, quantity=9, order_id=2),
            Command("cancel", order_id=2), order(4, "buy", 100, 9, tif="post"),
        ],
        capacity=2,
    )  # fmt: skip
    assert [e.reason or e.kind for e in found] == [
        "ack", "ack", "capacity", "ack", "trade", "capacity", "duplicate", "replaced", "user",
        "post_only",
    ]  # fmt: skip


def test_an_auction_at_each_edge() -> None:
    """No cross, one side, ties on volume and on what is left over, all at one price."""
    begin = Command("auction", quantity=1)

    def trades(*orders: Command, reference: int = 0) -> list[tuple[int, int]]:
        found = both([begin, *orders, Command("uncross", price=reference)])
        return [(e.price, e.quantity) for e in found if e.kind == "trade"]

    assert trades(order(1, "buy", 99, 5), order(2, "sell", 100, 5)) == []
    assert trades(order(1, "buy", 99, 5)) == []
    assert trades() == []
    assert trades(order(1, "buy", 99, 5), order(2, "sell", 99, 3)) == [(99, 3)]
    wide = (order(1, "buy", 110, 5), order(2, "sell", 90, 5))
    assert trades(*wide) == [(90, 5)]
    assert trades(*wide, reference=104) == [(104, 5)]
    assert trades(*wide, reference=4000) == [(110, 5)]
    # 5 at 90 to 110 whoever sets it; below 100 two more sellers' shares would be left over.
    tie = (*wide, order(3, "sell", 100, 2))
    assert trades(*tie, reference=105) == [(99, 5)]
    assert trades(*tie, order(4, "buy", 105, 2), reference=120) == [(105, 5), (105, 2)]


def test_an_auction_waits_and_continuous_trading_follows() -> None:
    found = both(
        [
            order(1, "sell", 100, 5), Command("auction", quantity=1),
            order(2, "buy", 101, 3, stp="cancel_newest"), order(3, "buy", 102, 4),
            order(4, "buy", 102, 4, tif="ioc"), order(4, "buy", 102, 4, tif="fok"),
            order(4, "buy", 102, 4, tif="post"), order(4, "buy", 0, 4, tif="market"),
            Command("auction", quantity=0), Command("replace", order_id=2, price=103, quantity=3),
            Command("uncross", price=101), order(5, "sell", 101, 1),
            Command("auction", symbol=7, quantity=1), Command("uncross", symbol=-1),
        ]
    )  # fmt: skip
    assert [e.reason or e.kind for e in found] == [
        *("ack", "ack", "ack"), *4 * ["auction"], "auction", "replaced", "trade", "trade", "ack",
        "trade", "symbol", "symbol",
    ]  # fmt: skip
    assert [(e.order_id, e.quantity, e.price) for e in found if e.kind == "trade"] == [
        (2, 3, 101), (3, 2, 101), (5, 1, 102),
    ]  # fmt: skip


def test_fok_counts_what_an_iceberg_hides_only_before_no_own_order() -> None:
    """The next slice queues behind the own order, which ends the count."""
    makers = [order(1, "sell", 100, 10, owner=1, display=4), order(2, "sell", 100, 5, owner=2)]
    for rule, quantity, can in (
        ("cancel_newest", 4, True),
        ("cancel_newest", 5, False),
        ("decrement", 5, False),
        ("cancel_oldest", 10, True),
        ("cancel_oldest", 11, False),
        ("none", 15, True),
    ):
        taker = order(3, "buy", 100, quantity, owner=2, tif="fok", stp=rule)
        assert ("fok" in [e.reason for e in both([*makers, taker])]) is not can


def test_a_smaller_iceberg_gives_of_what_it_hides_first() -> None:
    """10 with 4 shown: 7 still shows 4, 3 shows 3; its place is kept."""
    for quantity, first in ((7, 4), (4, 4), (3, 3)):
        found = both(
            [
                order(1, "sell", 100, 10, display=4), order(2, "sell", 100, 5, owner=1),
                Command("replace", price=100, quantity=quantity, order_id=1),
                order(3, "buy", 100, 5, owner=2),
            ]
        )  # fmt: skip
        trades = [(e.maker_order_id, e.quantity) for e in found if e.kind == "trade"]
        assert trades == [(1, first), (2, 5 - first)]
