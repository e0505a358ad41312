"""The traders of `benchmarks/market_doors`: their mix, and that both doors understand them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from copy import copy
from functools import partial
from typing import Any, cast

import msgspec
import pytest

from api.market_batch import Orders
from api.market_orders import NewOrder, Replacement
from api.realtime.market import CancelParams, PlaceParams, ReplaceParams
from api.realtime.protocol import Call, Encoding, decode
from benchmarks.cpu_parts import between
from benchmarks.market_doors_client import (
    MOST_OPEN,
    BatchLine,
    HttpLine,
    Known,
    Line,
    Order,
    SocketLine,
    Tally,
    Trader,
    paced,
)

ISSUE = "01900000-0000-8000-8000-000000000001"
ORDERS = [Order(0, 995, b"buy", b"gtc"), Order(7, 1_005), Order(7, 0)]


def trader() -> Trader:
    return Trader(ISSUE, "token", 7)


class Taken(Line):
    """A connection that is answered when the test says so."""

    def __init__(self) -> None:
        super().__init__(trader(), 1)
        self.sent: list[int] = []

    def write(self, key: int, order: Order) -> None:
        self.sent.append(key)

    def close(self) -> None:
        pass


class Prompt(Taken):
    """Answered at once."""

    def write(self, key: int, order: Order) -> None:
        super().write(key, order)
        self.answered(key, Known(1, "buy", "filled", 1_000), "")


class Written:
    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data = data

    def send(self, kind: Any, data: bytes) -> None:
        self.data = data


def test_the_mix_is_the_one_that_is_named() -> None:
    who, kinds = trader(), Counter[str]()
    for number in range(1, 40_001):
        order = who.next()
        if order.order_id:
            kinds["replace" if order.price_minor else "cancel"] += 1
        else:
            kinds[order.tif.decode()] += 1
        # A quarter of what rests is met before the trader hears of it; it never grows too long.
        rests = order.price_minor and order.tif != b"ioc" and number % 4
        who.learn(Known(number, "buy", "open" if rests else "filled", 1_000))
    shares = {kind: count / kinds.total() for kind, count in kinds.items()}
    wanted = {"gtc": 0.50, "cancel": 0.35, "ioc": 0.10, "replace": 0.05}
    assert shares == pytest.approx(wanted, abs=0.02)
    assert len(who._open) <= MOST_OPEN + 1


async def test_the_http_door_understands_each_request() -> None:
    line, wire = HttpLine(trader(), "http://127.0.0.1:1"), Written()
    line.connection_made(cast(asyncio.BaseTransport, wire))
    found = []
    for order in ORDERS:
        line.write(12_345_678, order)
        head, body = wire.data.split(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        assert b"Idempotency-Key: 12345678" in head
        found.append((head.split(b" HTTP")[0].decode(), body))
    path = f"/api/v1/books/{ISSUE}/orders"
    assert [request for request, _ in found] == [
        f"POST {path}",
        f"POST {path}/7/replacement",
        f"DELETE {path}/7",
    ]
    placed = NewOrder.model_validate_json(found[0][1])
    assert (placed.side, placed.price_minor, placed.time_in_force) == ("buy", 995, "gtc")
    assert Replacement.model_validate_json(found[1][1]).price_minor == 1_005
    assert found[2][1] == b""


async def test_the_socket_door_understands_each_call() -> None:
    line, wire = SocketLine(trader(), 4), Written()
    line._transport = cast(Any, wire)
    found: list[Any] = []
    types = {"market.place": PlaceParams, "market.replace": ReplaceParams}
    for order in ORDERS:
        line.write(12_345_678, order)
        call = decode(wire.data, Encoding.JSON)
        assert isinstance(call, Call)
        assert (call.id, call.key) == ("12345678", "12345678")
        found.append(msgspec.json.decode(call.params, type=types.get(call.op, CancelParams)))
    assert (found[0].issue_id, found[0].price_minor) == (ISSUE, 995)
    assert (found[1].order_id, found[1].price_minor) == (7, 1_005)
    assert found[2] == CancelParams(ISSUE, 7)


async def test_what_is_due_while_an_answer_is_out_waits_and_counts_from_then() -> None:
    line, tally = Taken(), Tally(0.0)
    line.use(tally)
    line.ask(time.perf_counter())
    line.ask(time.perf_counter() - 5)
    assert len(line.sent) == 1
    line.answered(line.sent[0], Known(1, "buy", "filled", 1_000), "")
    assert len(line.sent) == 2
    assert not tally.over.done()
    line.answered(line.sent[1], Known(2, "buy", "filled", 1_000), "")
    assert tally.over.done()
    assert tally.latencies_ms[1] >= 5_000


async def test_so_many_are_asked_as_the_pace_says_over_the_lines_in_turn() -> None:
    lines = [Prompt(), Prompt()]
    tally = await paced(lines, 2_000, 0.01)
    assert [len(line.sent) for line in lines] == [10, 10]
    assert len(tally.latencies_ms) == 20


async def test_a_refusal_is_no_order_and_a_lost_connection_ends_the_run() -> None:
    line = Taken()
    tally = Tally(time.perf_counter() - 1)
    line.use(tally)
    line.fill()
    line.answered(line.sent[0], None, "order-not-found")
    assert tally.over.done()
    assert (tally.latencies_ms, tally.refused) == ([], {"order-not-found": 1})
    line.use(lost := Tally(0.0))
    line.broken("gone")
    with pytest.raises(ConnectionError, match="gone"):
        await lost.over


def test_what_was_spent_is_the_difference_the_most_first() -> None:
    spent = between({"a": 1.0, "gone": 5.0}, {"a": 2.0, "new": 3.0})
    assert list(spent.items()) == [("new", 3.0), ("a", 1.0)]


async def test_what_is_asked_meanwhile_leaves_in_the_next_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written, tally = Written(), Tally(0.0)
    line = BatchLine(trader(), "http://127.0.0.1:8000", 3)
    line._transport = cast(Any, written)
    line.use(tally)
    for order in ORDERS:
        monkeypatch.setattr(line.trader, "next", partial(copy, order))
        line.ask(0.0)
    assert not written.data
    await asyncio.sleep(0)
    head, _, body = written.data.partition(b"\r\n\r\n")
    assert head.startswith(f"POST /api/v1/books/{ISSUE}/orders/batch HTTP/1.1".encode())
    asked = Orders.model_validate_json(body).orders
    assert [one.op for one in asked] == ["place", "replace", "cancel"]
    line.ask(0.0)
    results = [{"order": None, "code": "order-not-found"}] * len(ORDERS)
    answer = msgspec.json.encode({"results": results})
    line.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))
    assert tally.refused == {"order-not-found": len(ORDERS)}
    assert len(Orders.model_validate_json(written.data.partition(b"\r\n\r\n")[2]).orders) == 1
