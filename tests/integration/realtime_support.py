"""A running door and a client that behaves as docs/realtime.md asks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from api.realtime.asgi import create_app
from api.realtime.channels import ChannelKind
from api.realtime.feed import Feed
from api.realtime.hub import Hub, Replay, no_replay
from api.realtime.limits import Limits
from api.realtime.operations import NoParams, Operations
from api.realtime.protocol import SUBPROTOCOL
from api.realtime.server import RealtimeServer
from api.realtime.session import ClientSession
from messages.errors import Conflict
from tests.unit.realtime_support import User, authenticate

KINDS = {
    "song": ChannelKind(""),
    "depth": ChannelKind("", conflatable=True),
    "user": ChannelKind("", public=False),
}
FAR = 2**53
ORIGIN = "https://vibestream.example"


class Echo(msgspec.Struct, frozen=True):
    text: str = ""


class Door:
    """A RealtimeServer, and what its handlers did."""

    def __init__(
        self, limits: Limits | None = None, replay: Replay = no_replay, feed: Feed | None = None
    ) -> None:
        self.hub = Hub(limits or Limits(bye_spread_ms=0), replay, kinds=KINDS)
        self.closed: list[str] = []
        self.go_on = asyncio.Event()
        operations = Operations()
        operations.register("echo", self.echo, Echo, permission=None)
        operations.register("refuse", self.refuse, NoParams, permission=None)
        operations.register("break", self.break_, NoParams, permission=None)
        operations.register("wait", self.wait, NoParams, permission=None)
        operations.register("watch", self.watch, NoParams, permission=None)
        self.server = RealtimeServer(
            self.hub, operations, self.authenticate, feed, allowed_origins=frozenset({ORIGIN})
        )
        self.urls = ("", "")

    @staticmethod
    def authenticate(token: str) -> User:
        return msgspec.structs.replace(authenticate(token), expires_at_ms=FAR)

    async def echo(self, session: ClientSession, params: Echo) -> dict[str, Any]:
        return {"text": params.text, "user": session.user_id, "key": session.key().hex()}

    async def refuse(self, session: ClientSession, params: NoParams) -> None:
        raise Conflict("not now", what="this")

    async def break_(self, session: ClientSession, params: NoParams) -> None:
        raise ZeroDivisionError("secret")

    async def wait(self, session: ClientSession, params: NoParams) -> dict[str, Any]:
        await self.go_on.wait()
        return {"done": True}

    async def watch(self, session: ClientSession, params: NoParams) -> None:
        async def hook() -> None:
            self.closed.append(session.session_id)

        session.on_close("watch", hook)

    def url(self, kind: str) -> str:
        """The address of either transport."""
        return self.urls[0 if kind == "listener" else 1]


@contextlib.asynccontextmanager
async def serving_both(server: RealtimeServer) -> AsyncIterator[tuple[str, str]]:
    """The addresses of a door on its own listener and, the same protocol, on an ASGI server."""
    await server.start()
    config = uvicorn.Config(
        create_app(server), log_level="critical", lifespan="off", ws="websockets-sansio"
    )
    asgi = uvicorn.Server(config)
    asgi.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    serving = asyncio.create_task(asgi.serve([listening]))
    try:
        yield f"ws://127.0.0.1:{server.port}/", f"ws://127.0.0.1:{port}/ws"
    finally:
        await server.stop()
        asgi.should_exit = True
        await serving


@contextlib.asynccontextmanager
async def open_door(
    limits: Limits | None = None, replay: Replay = no_replay, feed: Feed | None = None
) -> AsyncIterator[Door]:
    """A door on its own listener and, with the same protocol, on an ASGI server."""
    door = Door(limits, replay, feed)
    async with serving_both(door.server) as door.urls:
        yield door


async def until(condition: Callable[[], bool]) -> None:
    """Wait for another task's doing; TimeoutError if it does not come."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.01)


class Client:
    """One WebSocket. `encoding` is how it asks to be written to, and how it writes."""

    def __init__(self, socket: ClientConnection, encoding: str) -> None:
        self.socket = socket
        self.encoding = encoding

    async def say(self, message: dict[str, Any]) -> None:
        if self.encoding == "json":
            await self.socket.send(json.dumps(message))
        else:
            await self.socket.send(msgspec.msgpack.encode(message))

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(20):
            data = await self.socket.recv()
        assert isinstance(data, str) == (self.encoding == "json")
        if isinstance(data, str):
            return json.loads(data)  # type: ignore[no-any-return]
        return msgspec.msgpack.decode(data)  # type: ignore[no-any-return]

    async def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        await self.say(message)
        return await self.hear()

    async def hello(self, token: str | None = None) -> dict[str, Any]:
        return await self.ask({"t": "hello", "token": token, "encoding": self.encoding})

    async def subscribe(self, channel: str, cursor: Any = None) -> dict[str, Any]:
        return await self.ask({"t": "subscribe", "id": "s", "channel": channel, "from": cursor})


@contextlib.asynccontextmanager
async def connected(
    url: str, token: str | None = None, *, encoding: str = "json", hello: bool = True
) -> AsyncIterator[Client]:
    protocols = [Subprotocol(SUBPROTOCOL)]
    async with connect(
        url,
        subprotocols=protocols,
        compression=None,
        ping_interval=None,
        proxy=None,
        max_queue=None,
    ) as opened:
        client = Client(opened, encoding)
        if hello:
            assert (await client.hello(token))["t"] == "welcome"
        yield client


class Follower:
    """Follows channels through lost connections, keeping a cursor for each."""

    def __init__(self, channels: tuple[str, ...]) -> None:
        self.channels = channels
        self.cursors: dict[str, dict[str, str]] = {}
        self.seen: dict[str, list[tuple[str, str]]] = {channel: [] for channel in channels}
        self.resyncs = 0
        self.skipped: list[tuple[dict[str, str], dict[str, str]]] = []  # from cursor, to cursor
        self.connections = 0
        self.ready = asyncio.Event()
        self.socket: ClientConnection | None = None

    def take(self, message: dict[str, Any]) -> None:
        match message["t"]:
            case "subscribed":
                known = self.cursors.get(message["channel"], {})
                self.cursors[message["channel"]] = {**message["cursor"], **known}
                if len(self.cursors) == len(self.channels):
                    self.ready.set()
            case "event":
                self.seen[message["channel"]].append((message["stream"], message["id"]))
                self.cursors[message["channel"]][message["stream"]] = message["offset"]
            case "resync":
                self.resyncs += 1
                self.skipped.append((self.cursors[message["channel"]], message["cursor"]))
                self.cursors[message["channel"]] = message["cursor"]

    async def run(self, url: str, most: int = 2**31, *, abrupt: bool = False) -> None:
        """One connection, until it is closed or `most` messages came."""
        self.connections += 1
        async with connected(url) as client:
            self.socket = client.socket
            for channel in self.channels:
                cursor = self.cursors.get(channel)
                await client.say({"t": "subscribe", "id": "s", "channel": channel, "from": cursor})
            async for data in client.socket:
                self.take(json.loads(data))
                most -= 1
                if most <= 0:
                    break
            if abrupt:
                client.socket.transport.abort()

    async def leave(self, task: asyncio.Task[None]) -> None:
        """Close connections until the task that makes them is over."""
        while not task.done():
            if self.socket is not None:
                await self.socket.close()
            await asyncio.sleep(0.01)
        await task
