"""Traders of `benchmarks/market_doors`: one connection each, over HTTP/1.1 or the WebSocket.

The client shares the engine's cores, so it does little: requests are put together from bytes, of an
answer only what the next order needs is decoded, uvloop and picows carry them.
"""

from __future__ import annotations

import asyncio
import random
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Sequence
from itertools import count
from typing import NamedTuple, cast
from urllib.parse import urlsplit

import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks.http_load import END_OF_HEAD, answer_end
from benchmarks.market_flow import CANCELS, MARKETABLE, PASSIVE, PRICE_MINOR, TICK_MINOR
from benchmarks.running_engine import Engine

LEVELS = 5  # ticks to either side that passive orders spread over: within the book's bands
MOST_OPEN = 30  # of a trader; with more, it cancels
PACE_S = 0.002
GRACE_S = 30.0
REFUSED_STATUSES = (b"404", b"409", b"422")


class Known(msgspec.Struct):
    """What a trader remembers of an order."""

    order_id: int
    side: str
    status: str
    limit_minor: int


class Problem(msgspec.Struct):
    """Why an order was refused."""

    code: str


class Welcome(msgspec.Struct, tag_field="t", tag="welcome"):
    """The WebSocket door knows us."""


class Result(msgspec.Struct, tag_field="t", tag="result"):
    """What became of a call."""

    id: str
    data: Known


class Error(msgspec.Struct, tag_field="t", tag="error"):
    """Why a call was refused."""

    id: str
    code: str


class Order(NamedTuple):
    """order_id 0: a new one; price_minor 0: a cancel."""

    order_id: int
    price_minor: int
    side: bytes = b""
    tif: bytes = b""


class Trader:
    """One user's orders in the mix of `market_flow`; it learns from answers which are open."""

    def __init__(self, issue_id: str, token: str, seed: int) -> None:
        self.issue_id, self.token = issue_id, token
        self._chance = random.Random(seed)
        self._open: list[Known] = []

    def next(self) -> Order:
        """The next order; what it cancels or replaces was open when last heard of."""
        drawn, buys = self._chance.random(), self._chance.random() < 0.5
        if len(self._open) > MOST_OPEN:
            drawn = 1 - CANCELS * drawn
        if drawn < PASSIVE or not self._open:
            ticks = self._chance.randint(1, LEVELS)
            return self._new(buys, -ticks if buys else ticks, b"gtc")
        if drawn < PASSIVE + MARKETABLE:
            return self._new(buys, LEVELS if buys else -LEVELS, b"ioc")
        place = self._chance.randrange(len(self._open))
        self._open[place], self._open[-1] = self._open[-1], self._open[place]
        order = self._open.pop()
        if drawn >= 1 - CANCELS:
            return Order(order.order_id, 0)
        away = -TICK_MINOR if order.side == "buy" else TICK_MINOR
        return Order(order.order_id, order.limit_minor + away)

    def learn(self, answer: Known) -> None:
        """What became of an order."""
        if answer.status == "open":
            self._open.append(answer)

    def _new(self, buys: bool, ticks: int, tif: bytes) -> Order:
        return Order(0, PRICE_MINOR + ticks * TICK_MINOR, b"buy" if buys else b"sell", tif)


class Tally:
    """What all lines got together. `end`: of `time.perf_counter`; 0: only what is told is asked."""

    def __init__(self, end: float) -> None:
        self.end = end
        self.under_way = 0
        self.latencies_ms: list[float] = []
        self.refused: Counter[str] = Counter()
        self.over = asyncio.get_running_loop().create_future()

    def check(self) -> None:
        """Note that nothing is under way any more, if so."""
        if not self.under_way and not self.over.done():
            self.over.set_result(None)


class Line(ABC):
    """One trader's connection. `depth`: orders under way at most; what is due beyond it waits."""

    keys = count(time.time_ns())

    def __init__(self, trader: Trader, depth: int) -> None:
        self.trader = trader
        self._depth = depth
        self._asked: dict[int, float] = {}
        self._waiting: deque[float] = deque()
        self._tally: Tally

    def use(self, tally: Tally) -> None:
        """Count for this tally from now on."""
        self._tally = tally

    def fill(self) -> None:
        """Ask as much as may be under way."""
        for _ in range(self._depth):
            self.ask(time.perf_counter())

    def ask(self, due: float) -> None:
        """Ask for the trader's next order, or do so once there is room."""
        self._tally.under_way += 1
        if len(self._asked) < self._depth:
            self._send(due)
        else:
            self._waiting.append(due)

    def answered(self, key: int, known: Known | None, code: str) -> None:
        """The order of that key was taken, or refused with a code."""
        now, tally = time.perf_counter(), self._tally
        due = self._asked.pop(key)
        if known is None:
            tally.refused[code] += 1
        else:
            self.trader.learn(known)
            tally.latencies_ms.append((now - due) * 1e3)
        tally.under_way -= 1
        if self._waiting:
            self._send(self._waiting.popleft())
        elif now < tally.end:
            self.ask(now)
        else:
            tally.check()

    def broken(self, why: str) -> None:
        """The connection is not what it should be; the run fails."""
        if not self._tally.over.done():
            self._tally.over.set_exception(ConnectionError(why))

    def _send(self, due: float) -> None:
        key = next(self.keys)
        self._asked[key] = due
        self.write(key, self.trader.next())

    @abstractmethod
    def write(self, key: int, order: Order) -> None:
        """Send it."""

    @abstractmethod
    def close(self) -> None:
        """Disconnect."""


class HttpLine(Line, asyncio.Protocol):
    """Requests one after the other on one kept connection."""

    def __init__(self, trader: Trader, url: str) -> None:
        super().__init__(trader, 1)
        path = f"/api/v1/books/{trader.issue_id}/orders".encode()
        head = (
            f" HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nAuthorization: Bearer {trader.token}"
            "\r\nContent-Type: application/json\r\nIdempotency-Key: "
        ).encode()
        self._place = b"POST " + path + head
        self._replace = b"POST " + path + b"/%d/replacement" + head
        self._cancel = b"DELETE " + path + b"/%d" + head
        self._data = bytearray()
        self._known = msgspec.json.Decoder(Known).decode
        self._problem = msgspec.json.Decoder(Problem).decode
        self._key = 0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready."""
        self._transport = cast(asyncio.Transport, transport)

    def write(self, key: int, order: Order) -> None:
        """See Line."""
        self._key = key
        if not order.price_minor:
            head, body = self._cancel % order.order_id, b""
        elif order.order_id:
            head = self._replace % order.order_id
            body = b'{"shares":1,"price_minor":%d}' % order.price_minor
        else:
            form = b'{"side":"%b","shares":1,"price_minor":%d,"time_in_force":"%b"}'
            head, body = self._place, form % (order.side, order.price_minor, order.tif)
        end = b"%d\r\nContent-Length: %d\r\n\r\n%b"
        self._transport.write(head + end % (key, len(body), body))

    def data_received(self, data: bytes) -> None:
        """Note the answer once it is whole."""
        self._data += data
        end = answer_end(self._data)
        if not end:
            return
        whole = bytes(self._data[:end])
        del self._data[:end]
        status, body = whole[9:12], whole[whole.index(END_OF_HEAD) + len(END_OF_HEAD) :]
        if status.startswith(b"2"):
            self.answered(self._key, self._known(body), "")
        elif status in REFUSED_STATUSES:
            self.answered(self._key, None, self._problem(body).code)
        else:
            self.broken(whole.decode())

    def connection_lost(self, error: Exception | None) -> None:
        """Nobody expected that, or the run is over."""
        self.broken(f"a connection ended: {error}")

    def close(self) -> None:
        """See Line."""
        self._transport.close()


class Outcome(msgspec.Struct):
    """What became of one order of a request."""

    order: Known | None
    code: str | None


class Outcomes(msgspec.Struct):
    """What became of all of them, in order."""

    results: list[Outcome]


class BatchLine(HttpLine):
    """What is asked while a request is under way leaves together in the next one."""

    def __init__(self, trader: Trader, url: str, depth: int) -> None:
        super().__init__(trader, url)
        self._depth = depth
        self._batch = self._place.replace(b"/orders HTTP", b"/orders/batch HTTP")
        self._gathered: list[tuple[int, bytes]] = []
        self._sent: list[int] = []
        self._outcomes = msgspec.json.Decoder(Outcomes).decode

    def write(self, key: int, order: Order) -> None:
        """See Line."""
        if not order.price_minor:
            body = b'{"op":"cancel","order_id":%d}' % order.order_id
        elif order.order_id:
            form = b'{"op":"replace","order_id":%d,"shares":1,"price_minor":%d}'
            body = form % (order.order_id, order.price_minor)
        else:
            form = b'{"op":"place","side":"%b","shares":1,"price_minor":%d,"time_in_force":"%b"}'
            body = form % (order.side, order.price_minor, order.tif)
        self._gathered.append((key, body))
        if len(self._gathered) == 1 and not self._sent:
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        if self._sent or not self._gathered:
            return
        self._sent = [key for key, _ in self._gathered]
        body = b'{"orders":[%b]}' % b",".join(body for _, body in self._gathered)
        self._gathered.clear()
        end = b"%d\r\nContent-Length: %d\r\n\r\n%b"
        self._transport.write(self._batch + end % (self._sent[0], len(body), body))

    def data_received(self, data: bytes) -> None:
        """Note the outcomes once the answer is whole."""
        self._data += data
        end = answer_end(self._data)
        if not end:
            return
        whole = bytes(self._data[:end])
        del self._data[:end]
        if not whole.startswith(b"HTTP/1.1 200"):
            self.broken(whole.decode())
            return
        body = whole[whole.index(END_OF_HEAD) + len(END_OF_HEAD) :]
        sent, self._sent = self._sent, []
        for key, outcome in zip(sent, self._outcomes(body).results, strict=True):
            self.answered(key, outcome.order, outcome.code or "")
        self._flush()


class SocketLine(Line, WSListener):
    """Calls side by side on one WebSocket."""

    def __init__(self, trader: Trader, depth: int) -> None:
        super().__init__(trader, depth)
        head = f'"params":{{"issue_id":"{trader.issue_id}",'.encode()
        call = b'{"t":"call","id":"%d","key":"%d","op":"market.'
        self._place = (
            call + b'place",' + head + b'"side":"%b","shares":1,"price_minor":%d,'
            b'"time_in_force":"%b"}}'
        )
        self._replace = call + b'replace",' + head + b'"order_id":%d,"shares":1,"price_minor":%d}}'
        self._cancel = call + b'cancel",' + head + b'"order_id":%d}}'
        self._decode = msgspec.msgpack.Decoder(Welcome | Result | Error).decode
        self._transport: WSTransport
        self.ready = asyncio.get_running_loop().create_future()

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Sign in."""
        self._transport = transport
        hello = {"t": "hello", "token": self.trader.token, "encoding": "msgpack"}
        transport.send(WSMsgType.TEXT, msgspec.json.encode(hello))

    def write(self, key: int, order: Order) -> None:
        """See Line."""
        if not order.price_minor:
            text = self._cancel % (key, key, order.order_id)
        elif order.order_id:
            text = self._replace % (key, key, order.order_id, order.price_minor)
        else:
            text = self._place % (key, key, order.side, order.price_minor, order.tif)
        self._transport.send(WSMsgType.TEXT, text)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Note the answer."""
        if frame.msg_type != WSMsgType.BINARY:
            return
        match self._decode(frame.get_payload_as_memoryview()):
            case Result(key, known):
                self.answered(int(key), known, "")
            case Error("", code):
                self.broken(code)
            case Error(key, code):
                self.answered(int(key), None, code)
            case Welcome():
                self.ready.set_result(None)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Nobody expected that, or the run is over."""
        self.broken("a connection ended")

    def close(self) -> None:
        """See Line."""
        self._transport.disconnect()


async def http_lines(engine: Engine, traders: Sequence[Trader], depth: int = 1) -> list[Line]:
    """A kept connection for each; with a depth above 1, that many orders a request."""
    loop, made = asyncio.get_running_loop(), list[Line]()
    address = urlsplit(engine.url)
    host, port = address.hostname or "127.0.0.1", address.port or 80
    for trader in traders:
        url = engine.url
        line = HttpLine(trader, url) if depth == 1 else BatchLine(trader, url, depth)
        await loop.create_connection(lambda line=line: line, host, port)  # type: ignore[misc]
        made.append(line)
    return made


async def socket_lines(engine: Engine, traders: Sequence[Trader], depth: int) -> list[Line]:
    """A WebSocket for each, signed in."""
    made = list[Line]()
    for trader in traders:
        line = SocketLine(trader, depth)
        await ws_connect(lambda line=line: line, engine.realtime_url)
        await line.ready
        made.append(line)
    return made


async def flat_out(lines: Sequence[Line], seconds: float) -> Tally:
    """Each line always asks as much as it may."""
    tally = Tally(time.perf_counter() + seconds)
    for line in lines:
        line.use(tally)
        line.fill()
    await asyncio.wait_for(tally.over, seconds + GRACE_S)
    return tally


async def paced(lines: Sequence[Line], per_second: float, seconds: float) -> Tally:
    """So many orders a second, whether or not answers come; latencies count from when one is due.

    They fall on the lines in turn.
    """
    tally = Tally(0.0)
    for line in lines:
        line.use(tally)
    began, due_count = time.perf_counter(), round(per_second * seconds)
    sent = 0
    tally.under_way += 1  # this task: it is not over before all was asked
    while sent < due_count:
        while sent < due_count and (due := began + sent / per_second) <= time.perf_counter():
            lines[sent % len(lines)].ask(due)
            sent += 1
        await asyncio.sleep(PACE_S)
    tally.under_way -= 1
    tally.check()
    await asyncio.wait_for(tally.over, GRACE_S)
    return tally
