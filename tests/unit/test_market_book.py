"""The book of one symbol, by tables that one can check by eye."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from domain.market.book import Book, Change, Event, Level, Resting

ANNE, BOB, CYD = 1, 2, 3


def book(capacity: int = 100, max_price: int = 4096) -> Book:
    return Book(capacity, max_price)


def told(events: list[Event]) -> list[str]:
    """Each event as `kind reason price x quantity id/maker`."""
    return [
        f"{e.kind} {e.reason or '-'} {e.price_ticks}x{e.quantity} {e.order_id}"
        + (f"/{e.maker_order_id}" if e.maker_order_id else "")
        for e in events
    ]


def place(at: Book, what: str, **more: Any) -> list[str]:
    """`id owner side price x quantity [tif [stp]]`."""
    order_id, owner, side, shown, *rules = what.split()
    price, quantity = shown.split("x")
    words: Any = (side, *rules, *("gtc", "none")[len(rules) :])
    submit: Any = at.submit
    return told(submit(int(order_id), *words, int(owner), int(price), int(quantity), **more))


def test_better_prices_first_then_time_at_the_makers_price() -> None:
    b = book()
    for order in ("1 1 sell 102x5", "2 1 sell 101x5", "3 2 sell 101x5"):
        place(b, order)
    assert place(b, "9 3 buy 102x12") == [
        "ack - 102x12 9", "trade - 101x5 9/2", "trade - 101x5 9/3", "trade - 102x2 9/1",
    ]  # fmt: skip
    assert b.depth(5) == ([], [Level(102, 3, 1)])
    assert (b.best_bid, b.best_ask) == (None, 102)


def test_what_is_left_rests_or_goes() -> None:
    b = book()
    place(b, "1 1 sell 100x5")
    assert place(b, "2 2 buy 100x8")[-1] == "trade - 100x5 2/1"
    assert b.best_bid == 100
    assert place(b, "3 1 sell 99x9 ioc")[1:] == ["trade - 100x3 3/2", "cancelled ioc 99x6 3"]
    assert place(b, "4 1 sell 0x9 market") == ["ack - 1x9 4", "cancelled ioc 1x9 4"]
    assert b.live_orders == 0


def test_refusals_change_nothing() -> None:
    b = book()
    place(b, "1 1 sell 100x5")
    before = b.state_hash()
    assert place(b, "2 2 buy 100x0") == ["rejected quantity 0x0 2"]
    assert place(b, "2 2 buy 4096x1") == ["rejected price 0x0 2"]
    assert place(b, "1 2 buy 99x1") == ["rejected duplicate 0x0 1"]
    assert place(b, "2 2 buy 100x1 post") == ["rejected post_only 0x0 2"]
    assert place(b, "2 2 buy 100x6 fok") == ["rejected fok 0x0 2"]
    assert told(b.cancel(1, BOB)) == ["rejected owner 0x0 1"]
    assert told(b.cancel(7, BOB)) == ["rejected unknown 0x0 7"]
    assert told(b.replace(1, ANNE, 0, 5)) == ["rejected price 0x0 1"]
    assert b.state_hash() == before


@pytest.mark.parametrize(
    ("rule", "said", "left"),
    [
        ("none", ["trade - 100x5 9/1", "trade - 100x3 9/2"], 4),
        ("cancel_newest", ["cancelled stp 100x8 9"], 12),
        ("cancel_oldest", ["cancelled stp 100x5 1", "trade - 100x7 9/2"], 1),
        ("cancel_both", ["cancelled stp 100x5 1", "cancelled stp 100x8 9"], 7),
        ("decrement", ["decremented stp 100x5 9/1", "trade - 100x3 9/2"], 4),
    ],
)
def test_own_orders_meet_by_the_takers_rule(rule: str, said: list[str], left: int) -> None:
    b = book()
    place(b, "1 1 sell 100x5")
    place(b, "2 2 sell 100x7")
    assert place(b, f"9 1 buy 100x8 gtc {rule}")[1:] == said
    assert sum(order.quantity for order in b.resting()) == left


def test_replace_keeps_its_place_only_when_it_shrinks() -> None:
    b = book()
    place(b, "1 1 buy 100x5")
    place(b, "2 2 buy 100x5")
    assert told(b.replace(1, ANNE, 100, 4)) == ["replaced - 100x4 1"]
    assert [o.order_id for o in b.resting()] == [1, 2]
    b.replace(1, ANNE, 100, 6)
    assert [o.order_id for o in b.resting()] == [2, 1]
    place(b, "3 3 sell 103x2")
    assert told(b.replace(2, BOB, 104, 5)) == ["replaced - 104x5 2", "trade - 103x2 2/3"]
    assert told(b.replace(1, ANNE, 100, 6, "post")) == ["replaced - 100x6 1"]


def test_an_iceberg_shows_a_slice_and_each_slice_queues_anew() -> None:
    b = book()
    place(b, "1 1 sell 100x10", display=4)
    place(b, "2 2 sell 100x3")
    assert b.depth(1)[1] == [Level(100, 7, 2)]
    assert place(b, "9 3 buy 100x9")[1:] == [
        "trade - 100x4 9/1", "trade - 100x3 9/2", "trade - 100x2 9/1",
    ]  # fmt: skip
    assert b.resting() == [Resting(1, ANNE, "sell", 100, 2, 2, 4)]
    assert place(b, "3 3 buy 100x4 fok")[1:] == ["trade - 100x2 3/1", "trade - 100x2 3/1"]
    assert place(b, "4 1 sell 100x100", display=1) == ["rejected display 0x0 4"]


def test_stops_wait_for_a_trade_and_wake_in_turn() -> None:
    b = book()
    for order in ("1 1 sell 100x1", "2 1 sell 101x1", "3 1 sell 105x9"):
        place(b, order)
    assert place(b, "5 2 buy 0x1 market", stop=101) == ["ack - 4095x1 5"]
    place(b, "4 2 buy 106x1", stop=100)
    assert b.depth(1)[0] == []
    assert place(b, "9 3 buy 100x1")[1:] == [
        "trade - 100x1 9/1", "triggered - 106x1 4", "trade - 101x1 4/2",
        "triggered - 4095x1 5", "trade - 105x1 5/3",
    ]  # fmt: skip
    place(b, "6 2 sell 50x1", stop=60)
    assert told(b.replace(6, BOB, 50, 1)) == ["rejected stop 0x0 6"]
    assert told(b.cancel(6, BOB)) == ["cancelled user 50x1 6"]


def test_dates_end_orders_soonest_first() -> None:
    b = book()
    for order, until in (("1 1 buy 100x1", 30), ("2 1 buy 101x1", 10), ("3 1 buy 99x1", 10)):
        place(b, order, expires_at_ms=until)
    assert b.next_expiry_ms() == 10
    b.cancel(2, ANNE)
    assert told(b.expire(29)) == ["cancelled expired 99x1 3"]
    assert b.next_expiry_ms() == 30
    assert told(b.expire(30)) == ["cancelled expired 100x1 1"]
    assert b.next_expiry_ms() is None


def test_a_call_auction_trades_most_at_one_price() -> None:
    b = book()
    assert b.set_auction(True)
    for order in ("1 1 buy 103x5", "2 1 buy 101x5", "3 2 sell 100x4", "4 2 sell 102x4"):
        assert len(place(b, order)) == 1
    assert place(b, "5 3 buy 100x1 ioc") == ["rejected auction 0x0 5"]
    assert (b.best_bid, b.best_ask) == (103, 100)
    assert not b.set_auction(False)
    assert told(b.uncross()) == ["trade - 102x4 1/3", "trade - 102x1 1/4"]
    assert b.depth(2) == ([Level(101, 5, 1)], [Level(102, 3, 1)])
    assert not b.in_auction


def test_changes_are_told_once() -> None:
    b = book()
    place(b, "1 1 buy 100x5")
    place(b, "2 1 buy 99x5")
    b.cancel(2, ANNE)
    assert b.take_changes() == [Change("buy", 99, 0, 0), Change("buy", 100, 5, 1)]
    assert b.take_changes() == []


def test_a_full_book_refuses_and_forgets_nothing() -> None:
    b = book(capacity=2)
    place(b, "1 1 buy 100x5")
    place(b, "2 1 buy 100x5")
    assert place(b, "3 1 buy 100x5") == ["rejected capacity 0x0 3"]
    assert place(b, "4 2 sell 100x1 ioc")[1] == "trade - 100x1 4/1"
    b.cancel(1, ANNE)
    assert place(b, "3 1 buy 100x5") == ["ack - 100x5 3"]


def test_sums_of_a_level_do_not_overflow() -> None:
    b = book()
    most = (1 << 63) - 1
    place(b, f"1 1 buy 100x{most - 5}")
    assert place(b, "2 1 buy 100x6") == ["rejected capacity 0x0 2"]
    assert place(b, "2 1 buy 100x5") == ["ack - 100x5 2"]
    assert b.depth(1)[0] == [Level(100, most, 2)]
    assert place(b, f"3 2 sell 100x{most} fok")[-1] == "trade - 100x5 3/2"


def test_a_sweep_larger_than_the_buffer() -> None:
    b = book(6000)
    for at in range(5000):
        place(b, f"{at + 1} 1 sell {100 + at % 50}x1")
    said = place(b, "9999 2 buy 200x5000")
    assert len(said) == 5001
    assert b.live_orders == 0


def test_a_book_comes_back_as_it_was() -> None:
    b = book()
    place(b, "1 1 sell 100x10", display=4)
    place(b, "2 2 sell 100x3", expires_at_ms=50)
    place(b, "7 3 buy 100x5")
    place(b, "3 1 buy 90x2", stop=120, display=1)
    place(b, "4 1 buy 0x2 market decrement", stop=110)
    c = book()
    c.restore(b.resting())
    assert c.resting() == b.resting()
    assert c.state_hash() == b.state_hash()
    assert c.next_expiry_ms() == 50
    assert c.take_changes() == []
    for at in (b, c):
        at.take_changes()
    assert place(b, "8 3 buy 101x7") == place(c, "8 3 buy 101x7")
    assert b.take_changes() == c.take_changes()
    assert b.state_hash() == c.state_hash()


@pytest.mark.parametrize(
    "orders",
    [
        [Resting(1, ANNE, "buy", 0, 5)],
        [Resting(1, ANNE, "buy", 4096, 5)],
        [Resting(1, ANNE, "buy", 5, 0)],
        [Resting(1, ANNE, "buy", 5, 5, hidden=3)],
        [Resting(1, ANNE, "buy", 5, 5, stop=4096)],
        [Resting(1, ANNE, "buy", 5, 5), Resting(1, BOB, "buy", 6, 5)],
        [Resting(at, ANNE, "buy", 5, 5) for at in range(101)],
    ],
)
def test_what_could_not_have_rested_does_not_come_back(orders: list[Resting]) -> None:
    b = book()
    with pytest.raises(ValueError, match=r"rest in this book|one id|no room"):
        b.restore(orders)
    assert b.live_orders == 0


def test_the_hash_is_of_the_lines_of_all_orders() -> None:
    b = book()
    for order in ("1 1 sell 100x10", "2 2 buy 90x3", "3 2 buy 91x4"):
        place(b, order)
    lines = b"0,buy,91,3,4,2\n0,buy,90,2,3,2\n0,sell,100,1,10,1"
    assert b.state_hash() == hashlib.sha256(lines).digest()
    assert book().state_hash() == hashlib.sha256(b"").digest()
