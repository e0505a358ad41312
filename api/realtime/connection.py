"""A connection: machine, hub and operations over a transport that only carries bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from api.realtime.frames import Wire, form_of, wire
from api.realtime.machine import (
    Action,
    Close,
    Echo,
    Invoke,
    Join,
    Leave,
    Machine,
    Moment,
    Probe,
    Send,
    State,
)
from api.realtime.protocol import (
    Bye,
    Call,
    CloseCode,
    Encoding,
    ErrorMessage,
    Ping,
    Pong,
    Result,
    ServerMessage,
    encode,
)
from api.realtime.session import ClientSession, ConnectionState
from api.realtime.subscriber import Subscriber

if TYPE_CHECKING:
    from api.realtime.server import RealtimeServer

HOOK_TIMEOUT_S = 10.0
LOST = 1006  # RFC 6455: never sent, the connection just ended

log = structlog.get_logger(__name__)


class Outlet(Protocol):
    """The transport's side that writes.

    framed: whether `write` takes whole WebSocket frames (else bare messages, str for text).
    """

    framed: bool

    def write(self, data: Wire) -> None:
        """Hand over, never block. Ignored once closed."""

    def buffered(self) -> int:
        """Unsent bytes."""

    def ping(self) -> bool:
        """Send a WebSocket ping; False if this transport cannot."""

    def close(self, code: int, reason: str) -> None:
        """Begin to close; cut off after the linger time."""

    def cut_off(self) -> None:
        """Drop the connection at once."""


class Connection:
    """One client. The transport calls `received`, `alive`, `congested`, `relieved`, `lost`."""

    __slots__ = (
        "_calls",
        "_closed_with",
        "_door",
        "_outlet",
        "_state",
        "_subscriber",
        "machine",
    )

    def __init__(self, door: RealtimeServer, outlet: Outlet, session_id: str) -> None:
        self._door = door
        self._outlet = outlet
        self.machine = Machine(
            session_id,
            door.moment(),
            door.limits,
            door.authenticate,
            kinds=door.hub.kinds,
            streams=lambda: tuple(door.hub.frontier),
        )
        self._state = ConnectionState(session_id, door.clock)
        self._subscriber = Subscriber(
            outlet.write,
            outlet.buffered,
            form_of(Encoding.JSON, framed=outlet.framed),
            door.limits.hard_buffer_bytes,
            self.send,
            self._too_slow,
        )
        self._calls: set[asyncio.Future[Any]] = set()
        self._closed_with = 0

    # --- from the transport ---------------------------------------------------------------------

    def received(self, data: bytes, encoding: Encoding) -> None:
        """A whole message arrived."""
        door = self._door
        door.metrics.received += 1
        try:
            for action in self.machine.received(data, encoding, door.moment()):
                self._perform(action, encoding)
        except Exception:  # noqa: BLE001 - logged there
            self._fail()

    def alive(self) -> None:
        """A ping or a pong frame arrived."""
        self._run(self.machine.alive)

    def tick(self) -> None:
        """Time passed."""
        self._run(self.machine.tick)

    def sessions_ended(self, ended: Collection[str]) -> None:
        """Sessions have ended, perhaps this connection's."""
        self._run(lambda _: self.machine.sessions_ended(ended))

    def congested(self) -> None:
        """The transport is above its high watermark."""
        self._subscriber.pause()

    def relieved(self) -> None:
        """The transport is below its low watermark."""
        if self.machine.state is not State.CLOSED:
            self._subscriber.resume()

    def lost(self) -> None:
        """The transport is gone. Calls under way go on; their answers have nowhere to go."""
        self.machine.state = State.CLOSED
        self._door.hub.drop(self._subscriber)
        self._door.forget(self, self._closed_with)
        self._closed_with = self._closed_with or LOST
        hooks, self._state.hooks = self._state.hooks, {}
        for name, hook in hooks.items():
            self._door.spawn(_run_hook(name, hook()))

    # --- to the client --------------------------------------------------------------------------

    def send(self, message: ServerMessage) -> None:
        """Write a message, unless the connection is closing."""
        if self._closed_with:
            return
        subscriber = self._subscriber
        subscriber.write(wire(encode(message, self.machine.encoding), subscriber.form))
        if subscriber.is_too_slow():
            self._too_slow()

    def say_bye(self, reconnect_after_ms: int) -> None:
        """The server is about to stop."""
        self.send(Bye(reconnect_after_ms, "the server restarts"))

    def close(self, code: CloseCode, reason: str) -> None:
        """Close, once."""
        if self._closed_with:
            return
        self.machine.state = State.CLOSED
        self._door.hub.drop(self._subscriber)
        self._closed_with = int(code)
        self._outlet.close(int(code), reason)

    def calls(self) -> set[asyncio.Future[Any]]:
        """The calls under way."""
        return self._calls

    def cut_off(self) -> None:
        """Drop the connection at once."""
        self._outlet.cut_off()

    def _too_slow(self) -> None:
        self.close(CloseCode.SLOW_CONSUMER, "not reading")

    # --- actions --------------------------------------------------------------------------------

    def _run(self, step: Callable[[Moment], list[Action]]) -> None:
        try:
            for action in step(self._door.moment()):
                self._perform(action, Encoding.JSON)
        except Exception:  # noqa: BLE001 - logged there
            self._fail()

    def _fail(self) -> None:
        log.exception("connection failed", session_id=self.machine.session_id)
        self.close(CloseCode.INTERNAL_ERROR, "internal")

    def _perform(self, action: Action, encoding: Encoding) -> None:
        if isinstance(action, Invoke):  # by far the most
            self._invoke(action.call, encoding)
            return
        hub = self._door.hub
        match action:
            case Send(message):
                self._adopt()
                self.send(message)
            case Join(request_id, channel, cursor):
                hub.join(self._subscriber, channel, request_id, cursor)
            case Leave(channel):
                hub.leave(self._subscriber, channel)
            case Echo(request_id):
                # What waits to be conflated was not sent yet.
                reached = None if self._subscriber.pending else hub.cursor()
                self.send(Pong(request_id, self._door.clock(), reached))
            case Probe():
                if not self._outlet.ping():
                    self.send(Ping())
            case Close(code, reason):
                self.close(code, reason)

    def _adopt(self) -> None:
        """Take over what `hello` or `renew` changed."""
        machine = self.machine
        self._state.subject, self._state.client = machine.subject, machine.client
        self._subscriber.form = form_of(machine.encoding, framed=self._outlet.framed)

    def _invoke(self, call: Call, encoding: Encoding) -> None:
        session = ClientSession(
            self._state, call_id=call.id, operation=call.op, client_key=call.key
        )
        tell = partial(self._answer, call)
        under_way = self._door.operations.start(session, call, encoding, tell)
        if under_way is not None:
            self._calls.add(under_way)
            under_way.add_done_callback(self._calls.discard)

    def _answer(self, call: Call, message: Result | ErrorMessage) -> None:
        self.machine.call_done(call.id)
        try:
            self.send(message)
        except Exception:
            log.exception("answer failed", session_id=self.machine.session_id, operation=call.op)
            self.close(CloseCode.INTERNAL_ERROR, "internal")


async def _run_hook(name: str, hook: Coroutine[Any, Any, None] | Any) -> None:
    try:
        async with asyncio.timeout(HOOK_TIMEOUT_S):
            await hook
    except Exception:
        log.exception("close hook failed", hook=name)
