"""Our realtime door and `websockets` as fan-out servers, for `benchmarks/fanout.py`.

    python -m benchmarks.fanout_server ours|websockets HEAD TAIL WIDTH

`benchmarks/fanout_message.py` has the commands. Ours publishes into the hub, as its feed does.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from benchmarks.fanout_message import CHANNEL, STALLED_CHANNEL, Template, event

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

    from api.realtime.channels import Subject

YIELD_AFTER = 2_000  # deliveries after which the loop is given to others, as our feed does


class FanOut(Protocol):
    """A server. `show` writes a message to all listeners, or to the stalled ones alone."""

    listeners: Callable[[], int]

    async def start(self) -> int:
        """Listen; returns the port."""

    def show(self, at_ns: int, *, stalled: bool = False) -> None:
        """Broadcast."""


class Ours:
    """The door: hub and picows listener, without a feed."""

    def __init__(self, template: Template) -> None:
        from api.realtime.hub import Hub
        from api.realtime.operations import Operations
        from api.realtime.server import RealtimeServer
        from messages.errors import Unauthenticated

        def nobody(_token: str) -> Subject:
            raise Unauthenticated

        self._width = template.width
        self._numbers = count()
        self._hub = Hub()
        self._door = RealtimeServer(self._hub, Operations(), nobody, None)
        self.listeners = lambda: len(self._door)

    async def start(self) -> int:
        """See FanOut."""
        await self._door.start()
        return self._door.port

    def show(self, at_ns: int, *, stalled: bool = False) -> None:
        """See FanOut."""
        at = f"{at_ns:0{self._width}d}"
        channel = STALLED_CHANNEL if stalled else CHANNEL
        self._hub.publish(event(next(self._numbers), at, channel))


class Websockets:
    """`websockets` with its broadcast, which frames once and never waits; no compression."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self._all: set[ServerConnection] = set()
        self._stalled: set[ServerConnection] = set()
        self.listeners = lambda: len(self._all)

    async def start(self) -> int:
        """See FanOut."""
        from websockets.asyncio.server import serve

        server = await serve(self._keep, "127.0.0.1", 0, compression=None, backlog=2_048)
        port: int = next(iter(server.sockets)).getsockname()[1]
        return port

    async def _keep(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        is_stalled = bool(urlsplit(connection.request.path).query)
        sets = (self._all, self._stalled) if is_stalled else (self._all,)
        for members in sets:
            members.add(connection)
        await connection.wait_closed()
        for members in sets:
            members.discard(connection)

    def show(self, at_ns: int, *, stalled: bool = False) -> None:
        """See FanOut."""
        from websockets.asyncio.server import broadcast

        broadcast(self._stalled if stalled else self._all, self._template.text(at_ns))


KINDS: dict[str, Callable[[Template], FanOut]] = {"ours": Ours, "websockets": Websockets}


async def send(server: FanOut, number: int, *, stalled: bool = False) -> None:
    """So many messages at once."""
    written = 0
    for _ in range(number):
        server.show(time.monotonic_ns(), stalled=stalled)
        written += server.listeners()
        if written >= YIELD_AFTER:
            written = 0
            await asyncio.sleep(0)


async def pace(server: FanOut, rate: int, number: int) -> None:
    """So many messages, `rate` a second, each stamped with the time it was due."""
    began = time.monotonic_ns()
    for n in range(number):
        due = began + n * 1_000_000_000 // rate
        if (ahead := due - time.monotonic_ns()) > 0:
            await asyncio.sleep(ahead / 1e9)
        server.show(min(due, time.monotonic_ns()))


async def fill(server: FanOut, number: int) -> None:
    """So many messages to the stalled listeners alone."""
    await send(server, number, stalled=True)
    print("done", flush=True)


async def collect(_server: FanOut) -> None:
    """No garbage is left to be measured."""
    gc.collect()
    print("done", flush=True)


COMMANDS: dict[str, Callable[..., Awaitable[None]]] = {
    "send": send,
    "pace": pace,
    "fill": fill,
    "collect": collect,
}


async def serve_commands(kind: str, template: Template) -> None:
    """Until the input ends."""
    server = KINDS[kind](template)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print(f"ready {await server.start()}", flush=True)
    while line := await reader.readline():
        verb, *numbers = line.decode().split()
        await COMMANDS[verb](server, *map(int, numbers))


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve_commands(sys.argv[1], Template(sys.argv[2], sys.argv[3], int(sys.argv[4]))))
