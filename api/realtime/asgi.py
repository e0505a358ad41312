"""The same protocol as an ASGI application: the route that needs no port of its own.

Slower than the listener (each connection costs a task and its server frames every message again),
and there to be reached where only the HTTP port is open.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from fastapi import FastAPI, WebSocket
from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocketState

from api.realtime.connection import Connection
from api.realtime.frames import Wire
from api.realtime.protocol import SUBPROTOCOL, Encoding

if TYPE_CHECKING:
    from api.realtime.server import RealtimeServer

DOOR = "asgi"
PATH = "/ws"


def create_app(door: RealtimeServer) -> FastAPI:
    """An application with one WebSocket route. The caller starts and stops `door`."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.websocket(PATH)
    async def realtime(websocket: WebSocket) -> None:
        await serve(door, websocket)

    return app


async def serve(door: RealtimeServer, websocket: WebSocket) -> None:
    """One client, from its upgrade to its end."""
    headers = websocket.headers
    offered = headers.get("sec-websocket-protocol", "")
    refused = door.refuse(headers.get("origin"), offered)
    if refused is not None:
        retry = refused.retry_after_s
        more = {"Retry-After": str(retry)} if retry is not None else None
        await websocket.send_denial_response(
            PlainTextResponse(refused.detail, refused.status, headers=more)
        )
        return
    peer_address = websocket.client.host if websocket.client else ""
    wait_ms = door.too_often_ms(peer_address, headers.getlist("x-forwarded-for"))
    if wait_ms:
        more = {"Retry-After": str(-(-wait_ms // 1_000))}
        await websocket.send_denial_response(PlainTextResponse("too often", 429, headers=more))
        return
    await websocket.accept(SUBPROTOCOL if offered else None)
    peer = AsgiPeer(door, websocket)
    try:
        await peer.run()
    finally:
        peer.connection.lost()


class AsgiPeer:
    """An Outlet over an ASGI server, which takes one message at a time and may make us wait."""

    framed = False

    def __init__(self, door: RealtimeServer, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._soft = door.limits.soft_buffer_bytes
        self._linger_s = door.limits.close_linger_ms / 1_000
        self._queue: deque[Wire] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()
        self._ending: tuple[int, str] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._cut: asyncio.TimerHandle | None = None
        self.connection: Connection = door.open(self, DOOR)

    async def run(self) -> None:
        """Until either side ends it."""
        self._tasks = [asyncio.create_task(self._receive()), asyncio.create_task(self._send())]
        try:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if self._cut is not None:
                self._cut.cancel()
            self.cut_off()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- Outlet ---------------------------------------------------------------------------------

    def write(self, data: Wire) -> None:
        """See Outlet."""
        if self._ending is not None:
            return
        self._queue.append(data)
        self._bytes += len(data)
        self._filled.set()
        if self._bytes > self._soft:
            self.connection.congested()

    def buffered(self) -> int:
        """See Outlet. What the server below has taken is not known."""
        return self._bytes

    def ping(self) -> bool:
        """See Outlet: ASGI has no pings."""
        return False

    def close(self, code: int, reason: str) -> None:
        """See Outlet."""
        self._ending = (code, reason)
        self._filled.set()
        loop = asyncio.get_running_loop()
        self._cut = loop.call_later(self._linger_s, self.cut_off)

    def cut_off(self) -> None:
        """See Outlet."""
        for task in self._tasks:
            task.cancel()

    # --- tasks ----------------------------------------------------------------------------------

    async def _receive(self) -> None:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            if text is not None:
                self.connection.received(text.encode("utf-8", "surrogatepass"), Encoding.JSON)
            else:
                self.connection.received(message["bytes"], Encoding.MSGPACK)

    async def _send(self) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._queue:
                data = self._queue.popleft()
                if isinstance(data, str):
                    await self._websocket.send_text(data)
                else:
                    await self._websocket.send_bytes(data)
                self._bytes -= len(data)
                if self._bytes <= self._soft // 4:
                    self.connection.relieved()
            if self._ending is not None:
                if self._websocket.client_state is WebSocketState.CONNECTED:
                    await self._websocket.close(*self._ending)
                return
