"""The listeners of `benchmarks/fanout.py`, on picows: they count, and read the time in a message.

They run in the benchmark's own process, each server in another.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import socket
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks.fanout_message import CHANNEL, SIZE, STALLED_CHANNEL

AT_ONCE = 50  # connections under way
PATIENCE_S = 60.0
NAP_S = 0.004
RECEIVE_BUFFER = 4_096
READ_BUFFER = 4_096


class Dialect(NamedTuple):
    """What a server wants to hear and says.

    greet: a new listener's messages; a stalled one sends `greet_stalled`.  ready: how the text
    begins that says that it is subscribed; empty: it is as soon as it is connected.
    size: of a message's payload.  tail: bytes after the time in it.
    """

    path: str
    greet: tuple[str, ...]
    greet_stalled: tuple[str, ...]
    ready: str
    size: int
    tail: int


def _subscribe(channel: str) -> str:
    return f'{{"t":"subscribe","id":"{channel}","channel":"{channel}"}}'


_OURS = ('{"t":"hello"}', _subscribe(CHANNEL))
SOCKET_IO_HEAD, SOCKET_IO_TAIL = '42["event",', "]"
PLAIN = Dialect("/", (), (), "", SIZE, 3)
OURS = Dialect(
    "/", _OURS, (*_OURS, _subscribe(STALLED_CHANNEL)), '{"t":"subscribed"', SIZE, PLAIN.tail
)
SOCKET_IO = Dialect(
    "/socket.io/?EIO=4&transport=websocket",
    ("40",),
    ("40",),
    "40",
    SIZE + len(SOCKET_IO_HEAD) + len(SOCKET_IO_TAIL),
    PLAIN.tail + len(SOCKET_IO_TAIL),
)


class Tally:
    """What all listeners got together. `on_due` is called when `count` reaches `due`."""

    __slots__ = ("count", "cut", "due", "latencies_ns", "on_due", "size", "tail")

    def __init__(self, dialect: Dialect, width: int) -> None:
        self.size = -1  # nothing is counted before all are connected
        self.tail = dialect.tail
        self.cut = dialect.tail + width
        self.count = 0
        self.due = 0
        self.latencies_ns: list[int] | None = None
        self.on_due: Callable[[], None] = lambda: None

    def expect(self, due: int, on_due: Callable[[], None], *, timed: bool) -> None:
        """Begin to count."""
        self.count, self.due, self.on_due = 0, due, on_due
        self.latencies_ns = [] if timed else None


class Ear(WSListener):
    """One listener."""

    __slots__ = ("_dialect", "_tally", "ready")

    def __init__(self, dialect: Dialect, tally: Tally) -> None:
        self._dialect = dialect
        self._tally = tally
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Subscribe."""
        for text in self._dialect.greet:
            transport.send(WSMsgType.TEXT, text.encode())
        if not self._dialect.ready:
            self.ready.set_result(None)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Count it."""
        tally = self._tally
        if frame.payload_size != tally.size:
            self._on_other(transport, frame)
            return
        tally.count += 1
        if tally.latencies_ns is not None:
            sent = int(frame.get_payload_as_bytes()[-tally.cut : -tally.tail])
            tally.latencies_ns.append(time.monotonic_ns() - sent)
        if tally.count == tally.due:
            tally.on_due()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """A listener that is lost before it is ready fails the benchmark."""
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("the server closed a listener"))

    def _on_other(self, transport: WSTransport, frame: WSFrame) -> None:
        text = frame.get_payload_as_bytes().decode("utf-8", "replace")
        if text == "2":  # engine.io asks for a sign of life
            transport.send(WSMsgType.TEXT, b"3")
        elif not self.ready.done() and text.startswith(self._dialect.ready):
            self.ready.set_result(None)


class Audience:
    """Listeners of one server."""

    def __init__(self, port: int, dialect: Dialect, width: int) -> None:
        self._port = port
        self._dialect = dialect
        self.tally = Tally(dialect, width)
        self._transports: list[WSTransport] = []
        self._stalled: list[socket.socket] = []

    def __len__(self) -> int:
        return len(self._transports)

    async def grow(self, total: int) -> None:
        """Connect until there are so many, all subscribed."""
        gate = asyncio.Semaphore(AT_ONCE)
        self.tally.size = -1
        url = f"ws://127.0.0.1:{self._port}{self._dialect.path}"

        async def connect() -> WSTransport:
            async with gate:
                ear = Ear(self._dialect, self.tally)
                transport, _ = await ws_connect(
                    lambda: ear,
                    url,
                    websocket_handshake_timeout=PATIENCE_S,
                    read_buffer_init_size=READ_BUFFER,
                )
                await asyncio.wait_for(ear.ready, PATIENCE_S)
                return transport

        self._transports += await asyncio.gather(*(connect() for _ in range(total - len(self))))
        await asyncio.sleep(0.2)  # until the server has done its part as well
        self.tally.size = self._dialect.size

    async def shrink(self, total: int) -> None:
        """Disconnect until there are so many."""
        while len(self) > total:
            self._transports.pop().disconnect()
        await asyncio.sleep(0.5)

    async def stall(self, number: int) -> None:
        """Connect so many more that subscribe and then never read."""
        for _ in range(number):
            made = await asyncio.to_thread(stalled_socket, self._port, self._dialect)
            self._stalled.append(made)

    async def release(self) -> None:
        """Disconnect the stalled."""
        for stalled in self._stalled:
            stalled.close()
        self._stalled.clear()
        await asyncio.sleep(0.5)

    async def close(self) -> None:
        """Disconnect all."""
        await self.release()
        await self.shrink(0)


def stalled_socket(port: int, dialect: Dialect) -> socket.socket:
    """A connection that has subscribed and will not read again."""
    made = socket.socket()
    made.settimeout(PATIENCE_S)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    made.connect(("127.0.0.1", port))
    path = f"{dialect.path}{'&' if '?' in dialect.path else '?'}stalled=1"
    made.sendall(upgrade_request(path, port))
    heard = b""
    while b"\r\n\r\n" not in heard:
        heard += _received(made)
    for text in dialect.greet_stalled:
        made.sendall(client_frame(text.encode()))
    marks = max(1, sum("subscribe" in text for text in dialect.greet_stalled))
    while dialect.ready and heard.count(dialect.ready.encode()) < marks:
        heard += _received(made)
    return made


def _received(made: socket.socket) -> bytes:
    if not (data := made.recv(RECEIVE_BUFFER)):
        raise ConnectionError("the server closed a stalled listener while it subscribed")
    return data


def upgrade_request(path: str, port: int) -> bytes:
    """The request that opens a WebSocket."""
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Version: 13",
        "\r\n",
    )
    return "\r\n".join(lines).encode()


def client_frame(payload: bytes) -> bytes:
    """A short text frame as clients send it: masked, here with zeros."""
    assert len(payload) < 126
    return bytes((0x81, 0x80 | len(payload))) + bytes(4) + payload


async def flat_out(
    audience: Audience, send: Callable[[int], None], window: int, seconds: float
) -> float:
    """Deliveries a second while at most `window` messages are under way to each listener."""
    listeners, step = len(audience), max(1, window // 2)
    done = asyncio.Event()
    began = time.perf_counter()
    sent = window
    tally = audience.tally

    def on_due() -> None:
        nonlocal sent
        if time.perf_counter() - began < seconds:
            sent += step
            send(step)
            tally.due += step * listeners
        elif tally.due < sent * listeners:
            tally.due = sent * listeners
        else:
            done.set()

    tally.expect((sent - step) * listeners, on_due, timed=False)
    napping = asyncio.create_task(_nap())
    send(window)
    try:
        await _patiently(done, tally)
    finally:
        napping.cancel()
    return tally.count / (time.perf_counter() - began)


async def paced(audience: Audience, start: Callable[[], None], messages: int) -> Sequence[float]:
    """The sorted latencies in ms of the messages that `start` has the server send."""
    done = asyncio.Event()
    tally = audience.tally
    tally.expect(messages * len(audience), done.set, timed=True)
    start()
    await _patiently(done, tally)
    assert tally.latencies_ns is not None
    return sorted(latency / 1e6 for latency in tally.latencies_ns)


async def _nap() -> None:
    """Look at the sockets now and then: a read brings several messages and costs no more."""
    while True:
        time.sleep(NAP_S)  # noqa: ASYNC251 - the whole process is to rest
        await asyncio.sleep(0)


async def _patiently(done: asyncio.Event, tally: Tally) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(done.wait(), PATIENCE_S)
    if not done.is_set():
        raise TimeoutError(f"{tally.count:,} messages arrived, {tally.due:,} were expected")
