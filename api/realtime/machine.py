"""One connection's side of the protocol as a machine: bytes and moments in, actions out.

No I/O and no clock. Whatever comes in, nothing is raised: bad input becomes an error message or a
close. The transport around it (`connection.py`) performs the actions in order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from enum import Enum, auto
from typing import NamedTuple, TypeAlias

from api.realtime.channels import CHANNEL_KINDS, ChannelKind, Subject, check_subscribe, parse_cursor
from api.realtime.limits import Limits
from api.realtime.protocol import (
    Call,
    ClientMessage,
    CloseCode,
    Encoding,
    Hello,
    Ping,
    Pong,
    Renew,
    Renewed,
    ServerMessage,
    Subscribe,
    Unsubscribe,
    Unsubscribed,
    Welcome,
    decode,
    error_message,
)
from messages.bus import Position
from messages.errors import NotFound, Overloaded, Transient, VibeStreamError
from messages.realtime import (
    AlreadySubscribed,
    BadMessage,
    CallIdInUse,
    OtherUser,
    TooManyMessages,
    TooManySubscriptions,
)
from messages.users import TokenExpired
from messages.users_sessions import SessionEnded

Authenticate: TypeAlias = Callable[[str], Subject]


class Moment(NamedTuple):
    """Now: epoch ms, and ms of a clock that never jumps."""

    wall_ms: int
    steady_ms: int


class Send(NamedTuple):
    """Write a message."""

    message: ServerMessage


class Close(NamedTuple):
    """Close the connection."""

    code: CloseCode
    reason: str


class Join(NamedTuple):
    """Subscribe, and answer. `streams` of the cursor None: from now on."""

    request_id: str
    channel: str
    cursor: dict[str, Position] | None


class Leave(NamedTuple):
    """Unsubscribe; the answer follows as an action of its own."""

    channel: str


class Invoke(NamedTuple):
    """Run an operation, answer, and tell `call_done`."""

    call: Call


class Echo(NamedTuple):
    """Answer a ping, and say how far the listener is."""

    request_id: str


class Probe(NamedTuple):
    """Ask the peer for a sign of life."""


Action: TypeAlias = Send | Close | Join | Leave | Invoke | Echo | Probe


class State(Enum):
    """opening → open → closed."""

    OPENING = auto()
    OPEN = auto()
    CLOSED = auto()


class Machine:
    """See the module. `authenticate` raises a VibeStreamError; `streams` are the bus's."""

    __slots__ = (
        "_asked_ms",
        "_authenticate",
        "_calls",
        "_channels",
        "_debt",
        "_filled_ms",
        "_kinds",
        "_limits",
        "_opened_ms",
        "_seen_ms",
        "_streams",
        "_tokens",
        "client",
        "encoding",
        "session_id",
        "state",
        "subject",
    )

    def __init__(
        self,
        session_id: str,
        now: Moment,
        limits: Limits,
        authenticate: Authenticate,
        *,
        kinds: Mapping[str, ChannelKind] = CHANNEL_KINDS,
        streams: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        self.session_id = session_id
        self.state = State.OPENING
        self.subject: Subject | None = None
        self.encoding = Encoding.JSON
        self.client = ""
        self._limits = limits
        self._authenticate = authenticate
        self._kinds = kinds
        self._streams = streams
        self._channels: set[str] = set()
        self._calls: set[str] = set()
        self._opened_ms = self._seen_ms = self._asked_ms = self._filled_ms = now.steady_ms
        self._tokens = float(limits.message_burst)
        self._debt = 0

    def received(self, data: bytes, encoding: Encoding, now: Moment) -> list[Action]:
        """A whole message arrived, in a frame of this encoding."""
        if self.state is State.CLOSED:
            return []
        self._seen_ms = now.steady_ms
        if not self._admit(now):
            return self._refuse_message()
        if len(data) > self._limits.max_message_bytes:
            return [self.close(CloseCode.MESSAGE_TOO_BIG, "message too big")]
        try:
            message = decode(data, encoding)
            return self._handle(message, now)
        except BadMessage as error:
            return self._fail("", error, CloseCode.BAD_MESSAGE)

    def alive(self, now: Moment) -> list[Action]:
        """A control frame arrived: a sign of life, that counts as a message."""
        if self.state is State.CLOSED:
            return []
        self._seen_ms = now.steady_ms
        return [] if self._admit(now) else self._refuse_message()

    def tick(self, now: Moment) -> list[Action]:
        """Time passed. To be called every second or so."""
        if self.state is State.CLOSED:
            return []
        if self.state is State.OPENING:
            if now.steady_ms - self._opened_ms >= self._limits.hello_timeout_ms:
                return [self.close(CloseCode.HELLO_TIMEOUT, "no hello")]
            return []
        if self.subject is not None and now.wall_ms >= self.subject.expires_at_ms:
            return self._fail("", TokenExpired(), CloseCode.TOKEN_EXPIRED)
        return self._check_life(now)

    def call_done(self, request_id: str) -> None:
        """The call was answered: its id may be used again."""
        self._calls.discard(request_id)

    def left(self, channel: str) -> None:
        """The channel is no longer listened to, and not because the client said so."""
        self._channels.discard(channel)

    def sessions_ended(self, ended: Collection[str]) -> list[Action]:
        """Sessions have ended; perhaps the one that this connection speaks for."""
        if self.state is State.CLOSED or self.subject is None:
            return []
        if self.subject.session_id not in ended:
            return []
        return self._fail("", SessionEnded(), CloseCode.SESSION_ENDED)

    def close(self, code: CloseCode, reason: str) -> Close:
        """Nothing more is taken from this connection."""
        self.state = State.CLOSED
        return Close(code, reason)

    # --- messages -------------------------------------------------------------------------------

    def _handle(self, message: ClientMessage, now: Moment) -> list[Action]:
        if self.state is State.OPENING:
            if not isinstance(message, Hello):
                raise BadMessage("the first message is hello")
            return self._hello(message, now)
        match message:
            case Ping():
                return [Echo(message.id)]
            case Pong():
                return []
            case Hello():
                raise BadMessage("hello comes once")
        try:
            return self._request(message)
        except BadMessage:
            raise
        except VibeStreamError as error:
            return [Send(error_message(message.id, error))]

    def _request(self, message: Renew | Subscribe | Unsubscribe | Call) -> list[Action]:
        match message:
            case Call():
                return self._call(message)
            case Subscribe():
                return self._subscribe(message)
            case Unsubscribe():
                return self._unsubscribe(message)
            case Renew():
                return self._renew(message)

    def _hello(self, message: Hello, now: Moment) -> list[Action]:
        self.encoding, self.client = message.encoding, message.client
        if message.token is not None:
            try:
                self.subject = self._authenticate(message.token)
            except TokenExpired as error:
                return self._fail("", error, CloseCode.TOKEN_EXPIRED)
            except SessionEnded as error:
                return self._fail("", error, CloseCode.SESSION_ENDED)
            except Transient as error:
                return self._fail("", error, CloseCode.SERVER_RESTART)
            except VibeStreamError as error:
                return self._fail("", error, CloseCode.UNAUTHENTICATED)
        self.state = State.OPEN
        limits = self._limits
        return [
            Send(
                Welcome(
                    session_id=self.session_id,
                    user_id=self.subject.user_id if self.subject else None,
                    expires_at_ms=self.subject.expires_at_ms if self.subject else None,
                    server_time_ms=now.wall_ms,
                    heartbeat_ms=limits.heartbeat_ms,
                    limits={
                        "max_message_bytes": limits.max_message_bytes,
                        "max_subscriptions": limits.max_subscriptions,
                        "calls_in_flight": limits.calls_in_flight,
                        "messages_per_second": limits.messages_per_second,
                        "message_burst": limits.message_burst,
                        "idle_timeout_ms": limits.idle_timeout_ms,
                    },
                )
            )
        ]

    def _renew(self, message: Renew) -> list[Action]:
        subject = self._authenticate(message.token)
        if self.subject is None or subject.user_id != self.subject.user_id:
            raise OtherUser
        self.subject = subject
        return [Send(Renewed(message.id, subject.expires_at_ms))]

    def _subscribe(self, message: Subscribe) -> list[Action]:
        check_subscribe(self.subject, message.channel, self._kinds)
        if message.channel in self._channels:
            raise AlreadySubscribed
        if len(self._channels) >= self._limits.max_subscriptions:
            raise TooManySubscriptions(limit=self._limits.max_subscriptions)
        cursor = parse_cursor(message.start, self._streams(), self._limits.max_cursor_streams)
        self._channels.add(message.channel)
        return [Join(message.id, message.channel, cursor)]

    def _unsubscribe(self, message: Unsubscribe) -> list[Action]:
        if message.channel not in self._channels:
            raise NotFound("this connection does not listen to that channel")
        self._channels.discard(message.channel)
        return [Leave(message.channel), Send(Unsubscribed(message.id, message.channel))]

    def _call(self, message: Call) -> list[Action]:
        if message.id in self._calls:
            raise CallIdInUse
        if len(self._calls) >= self._limits.calls_in_flight:
            raise Overloaded("too many calls in flight", limit=self._limits.calls_in_flight)
        self._calls.add(message.id)
        return [Invoke(message)]

    # --- limits ---------------------------------------------------------------------------------

    def _check_life(self, now: Moment) -> list[Action]:
        if now.steady_ms - self._seen_ms >= self._limits.idle_timeout_ms:
            return [self.close(CloseCode.IDLE_TIMEOUT, "no sign of life")]
        if now.steady_ms - max(self._seen_ms, self._asked_ms) >= self._limits.heartbeat_ms:
            self._asked_ms = now.steady_ms
            return [Probe()]
        return []

    def _admit(self, now: Moment) -> bool:
        """Take one from the token bucket."""
        limits = self._limits
        elapsed_ms = now.steady_ms - self._filled_ms
        self._filled_ms = now.steady_ms
        refilled = self._tokens + elapsed_ms * limits.messages_per_second / 1_000
        self._tokens = min(float(limits.message_burst), refilled)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        if 2 * self._tokens >= limits.message_burst:
            self._debt = 0
        return True

    def _refuse_message(self) -> list[Action]:
        self._debt += 1
        if self._debt > self._limits.message_debt:
            return [self.close(CloseCode.TOO_MANY_MESSAGES, "too many messages")]
        retry_after_ms = 1 + 1_000 // self._limits.messages_per_second
        return [Send(error_message("", TooManyMessages(retry_after_ms=retry_after_ms)))]

    def _fail(self, request_id: str, error: VibeStreamError, code: CloseCode) -> list[Action]:
        return [Send(error_message(request_id, error)), self.close(code, error.code)]
