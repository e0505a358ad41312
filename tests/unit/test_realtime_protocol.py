"""The realtime machine: what comes in, what goes out. No I/O, no clock."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.realtime.limits import Limits
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
    CLOSE_MEANINGS,
    CloseCode,
    Encoding,
    ErrorMessage,
    Pong,
    Welcome,
    encode,
    error_message,
)
from messages.bus import Position
from messages.errors import InsufficientFunds, Overloaded, VibeStreamError
from tests.unit.realtime_support import authenticate

START = Moment(1_000, 50_000)
LIMITS = Limits(max_subscriptions=3, calls_in_flight=2, message_burst=20, message_debt=5)


def at(ms: int) -> Moment:
    return Moment(1_000 + ms, 50_000 + ms)


def machine(limits: Limits = LIMITS) -> Machine:
    return Machine("session-1", START, limits, authenticate, streams=lambda: ("music", "rewards"))


def opened(token: str | None = "token-ana", limits: Limits = LIMITS) -> Machine:
    made = machine(limits)
    hello: dict[str, Any] = {"t": "hello"}
    if token:
        hello["token"] = token
    assert isinstance(say(made, hello)[0], Send)
    assert made.state is State.OPEN
    return made


def say(made: Machine, message: Any, now: Moment = START) -> list[Action]:
    return made.received(json.dumps(message).encode(), Encoding.JSON, now)


def told(actions: list[Action]) -> str:
    """The actions in words, as the tables below have them."""
    return ", ".join(map(_word, actions))


def _word(action: Action) -> str:
    match action:
        case Send(ErrorMessage(id=request_id, code=code)):
            word = f"error {code} {request_id}"
        case Send(message):
            word = type(message).__name__.lower()
        case Close(code):
            word = f"close {code}"
        case Join(_, channel, cursor):
            word = f"join {channel} {cursor if cursor is None else dict(cursor)}"
        case Leave(channel):
            word = f"leave {channel}"
        case Invoke(call):
            word = f"invoke {call.op} {bytes(call.params).decode()}"
        case Echo(request_id):
            word = f"echo {request_id}"
        case Probe():
            word = "probe"
    return word.strip()


OPENING = [
    ({"t": "hello"}, "welcome"),
    ({"t": "hello", "token": "token-ana", "encoding": "msgpack"}, "welcome"),
    ({"t": "hello", "token": "nonsense"}, "error unauthenticated, close 4401"),
    ({"t": "hello", "token": "expired"}, "error token-expired, close 4402"),
    ({"t": "hello", "token": 7}, "error message-invalid, close 4400"),
    ({"t": "hello", "token": "x" * 9_000}, "error message-invalid, close 4400"),
    ({"t": "hello", "encoding": "xml"}, "error message-invalid, close 4400"),
    ({"t": "ping"}, "error message-invalid, close 4400"),
    ({"t": "subscribe", "id": "1", "channel": "song:1"}, "error message-invalid, close 4400"),
    ({"t": "hello", "pad": "x" * 20_000}, "close 1009"),
    ({}, "error message-invalid, close 4400"),
    ([], "error message-invalid, close 4400"),
    (None, "error message-invalid, close 4400"),
]


@pytest.mark.parametrize(("message", "answer"), OPENING)
def test_the_first_message(message: Any, answer: str) -> None:
    made = machine()
    assert told(say(made, message)) == answer
    assert made.state is (State.OPEN if answer == "welcome" else State.CLOSED)


def subscribe(channel: str, **more: Any) -> dict[str, Any]:
    return {"t": "subscribe", "id": "7", "channel": channel, **more}


REQUESTS = [
    ({"t": "ping", "id": "p"}, "echo p"),
    ({"t": "pong"}, ""),
    ({"t": "hello"}, "error message-invalid, close 4400"),
    (subscribe("song:1"), "join song:1 None"),
    (subscribe("user:ana"), "join user:ana None"),
    (subscribe("user:bo"), "error channel-forbidden 7"),
    (subscribe("nonsense:1"), "error channel-unknown 7"),
    (subscribe("song"), "error channel-unknown 7"),
    (subscribe("song:"), "error channel-unknown 7"),
    (subscribe("song:a b"), "error channel-unknown 7"),
    (subscribe("song:1\n"), "error channel-unknown 7"),
    (subscribe("song:" + "x" * 200), "error message-invalid, close 4400"),
    (
        subscribe("song:1", **{"from": {"music": "12-3"}}),
        f"join song:1 {({'music': Position(12, 3)})}",
    ),
    (
        subscribe("song:1", **{"from": "12-3"}),
        f"join song:1 {dict.fromkeys(('music', 'rewards'), Position(12, 3))}",
    ),
    (subscribe("song:1", **{"from": "12"}), "error message-invalid, close 4400"),
    (subscribe("song:1", **{"from": "-1-2"}), "error message-invalid, close 4400"),
    (subscribe("song:1", **{"from": "1-9223372036854775808"}), "error message-invalid, close 4400"),
    (subscribe("song:1", **{"from": "١-٢"}), "error message-invalid, close 4400"),
    (subscribe("song:1", **{"from": {"music": 3}}), "error message-invalid, close 4400"),
    (
        subscribe("song:1", **{"from": {f"s{i}": "1-1" for i in range(33)}}),
        "error message-invalid, close 4400",
    ),
    ({"t": "subscribe", "channel": "song:1"}, "error message-invalid, close 4400"),
    ({"t": "subscribe", "id": "", "channel": "song:1"}, "error message-invalid, close 4400"),
    ({"t": "unsubscribe", "id": "8", "channel": "song:1"}, "error not-found 8"),
    ({"t": "call", "id": "9", "op": "listen", "params": {"a": 1}}, 'invoke listen {"a": 1}'),
    ({"t": "call", "id": "9", "op": "listen"}, "invoke listen"),
    ({"t": "call", "id": "9"}, "error message-invalid, close 4400"),
    ({"t": "call", "id": "9", "op": "x", "key": "short"}, "error message-invalid, close 4400"),
    ({"t": "renew", "id": "r", "token": "token-ana"}, "renewed"),
    ({"t": "renew", "id": "r", "token": "token-bo"}, "error token-other-user r"),
    ({"t": "renew", "id": "r", "token": "expired"}, "error token-expired r"),
    ({"t": "no-such"}, "error message-invalid, close 4400"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "answer"), REQUESTS)
def test_a_message_of_a_signed_in_client(message: Any, answer: str) -> None:
    assert told(say(opened(), message)) == answer


@pytest.mark.parametrize(
    ("token", "channel", "answer"),
    [
        (None, "song:1", "join song:1 None"),
        (None, "pool:p", "join pool:p None"),
        (None, "user:ana", "error unauthenticated 7"),
        ("token-admin", "user:ana", "join user:ana None"),
        ("token-bo", "user:ana", "error channel-forbidden 7"),
    ],
)
def test_who_may_listen(token: str | None, channel: str, answer: str) -> None:
    assert told(say(opened(token), subscribe(channel))) == answer


def test_messagepack_says_the_same() -> None:
    for message, answer in REQUESTS:
        made = opened()
        given_bytes = msgspec.msgpack.encode(message)
        actions = made.received(given_bytes, Encoding.MSGPACK, START)
        if not actions or not isinstance(actions[0], Invoke):
            assert told(actions) == answer
        else:
            assert actions[0].call.op == "listen"


def test_welcome_tells_the_limits() -> None:
    (action,) = say(machine(), {"t": "hello", "token": "token-ana", "client": "web/1"})
    assert isinstance(action, Send)
    welcome = action.message
    assert isinstance(welcome, Welcome)
    assert (welcome.session_id, welcome.user_id) == ("session-1", "ana")
    assert welcome.server_time_ms == 1_000
    assert welcome.limits["max_message_bytes"] == LIMITS.max_message_bytes
    assert json.loads(encode(welcome, Encoding.JSON))["t"] == "welcome"


def test_subscriptions_are_counted_and_come_once() -> None:
    made = opened()
    for n in range(3):
        assert told(say(made, subscribe(f"song:{n}"))) == f"join song:{n} None"
    assert told(say(made, subscribe("song:9"))) == "error subscriptions-limit 7"
    assert told(say(made, subscribe("song:1"))) == "error channel-subscribed 7"
    leave = {"t": "unsubscribe", "id": "u", "channel": "song:1"}
    assert told(say(made, leave)) == "leave song:1, unsubscribed"
    assert told(say(made, subscribe("song:9"))) == "join song:9 None"


def test_calls_in_flight_are_bounded() -> None:
    made = opened()
    call = {"t": "call", "op": "x"}
    assert told(say(made, {**call, "id": "1"})) == "invoke x"
    assert told(say(made, {**call, "id": "1"})) == "error call-id-in-use 1"
    assert told(say(made, {**call, "id": "2"})) == "invoke x"
    (refused,) = say(made, {**call, "id": "3"})
    assert isinstance(refused, Send)
    assert isinstance(refused.message, ErrorMessage)
    assert (refused.message.code, refused.message.retry_after_ms) == ("overloaded", 1_000)
    made.call_done("1")
    assert told(say(made, {**call, "id": "3"})) == "invoke x"


def test_a_flood_is_refused_then_closed_and_a_pause_forgives() -> None:
    made = opened()
    words = [told(say(made, {"t": "pong"})) for _ in range(25)]
    assert words == [""] * 19 + ["error messages-limit"] * 5 + ["close 4429"]
    made = opened()
    for _ in range(24):
        say(made, {"t": "pong"})
    words = [told(made.alive(at(1_000))) for _ in range(26)]
    assert words == [""] * 20 + ["error messages-limit"] * 5 + ["close 4429"]


def test_time_closes() -> None:
    limits = Limits(hello_timeout_ms=5_000, heartbeat_ms=20_000, idle_timeout_ms=60_000)
    made = machine(limits)
    assert told(made.tick(at(4_999))) == ""
    assert told(made.tick(at(5_000))) == "close 4408"
    assert told(made.tick(at(9_000))) == ""

    made = opened(None, limits)
    assert told(made.tick(at(19_999))) == ""
    assert told(made.tick(at(20_000))) == "probe"
    assert told(made.tick(at(21_000))) == "", "asked once a heartbeat"
    assert told(made.tick(at(40_000))) == "probe"
    made.alive(at(41_000))
    assert told(made.tick(at(60_999))) == ""
    assert told(made.tick(at(61_000))) == "probe"
    assert told(made.tick(at(101_000))) == "close 4410"


def test_a_token_runs_out() -> None:
    made = opened()
    assert told(made.tick(Moment(9_999_999, 50_001))) == ""
    assert told(made.tick(Moment(10_000_000, 50_001))) == "error token-expired, close 4402"


def test_a_jump_of_the_wall_clock_is_no_silence() -> None:
    made = opened(None)
    assert told(made.tick(Moment(99_999_999, 50_001))) == ""


def test_after_the_end_nothing_is_taken() -> None:
    made = opened()
    made.close(CloseCode.NORMAL, "")
    assert say(made, {"t": "ping"}) == []
    assert made.tick(at(10**9)) == []
    assert made.alive(START) == []


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
values = st.recursive(scalars, lambda c: st.lists(c) | st.dictionaries(st.text(), c), max_leaves=10)
FIELDS = ("t", "id", "channel", "from", "op", "params", "key", "token", "encoding", "client")
NAMES = ("hello", "renew", "subscribe", "unsubscribe", "call", "ping", "pong")
messages = st.dictionaries(
    st.sampled_from(FIELDS), st.sampled_from(NAMES) | st.sampled_from(("song:1", "1-1")) | values
)


@given(st.lists(st.binary(max_size=200), max_size=5), st.booleans(), st.sampled_from(Encoding))
def test_garbage_never_raises(chunks: list[bytes], hello: bool, encoding: Encoding) -> None:
    made = opened() if hello else machine()
    for chunk in chunks:
        check(made, made.received(chunk, encoding, START))


@given(st.lists(messages, max_size=8), st.booleans(), st.sampled_from(Encoding))
def test_wrong_types_never_raise(
    given_messages: list[dict[str, Any]], hello: bool, encoding: Encoding
) -> None:
    made = opened() if hello else machine()
    for message in given_messages:
        try:
            if encoding is Encoding.JSON:
                raw = msgspec.json.encode(message)
            else:
                raw = msgspec.msgpack.encode(message)
        except (OverflowError, UnicodeEncodeError):
            continue
        check(made, made.received(raw, encoding, START))


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("opening", [b"[", b'{"t":', b'{"t":"call","id":"1","op":"x","params":['])
def test_deep_nesting_never_raises(encoding: Encoding, opening: bytes) -> None:
    limits = Limits(max_message_bytes=10**7)
    deep = {Encoding.JSON: b"[" * 500_000, Encoding.MSGPACK: b"\x91" * 500_000}[encoding]
    made = opened(limits=limits)
    check(made, made.received(opening + deep, encoding, START))
    assert made.state is State.CLOSED


def check(made: Machine, actions: list[Action]) -> None:
    """What is sent can be encoded, and a close is the last of all."""
    for action in actions:
        if isinstance(action, Send):
            for encoding in Encoding:
                encode(action.message, encoding)
    closes = [a for a in actions if isinstance(a, Close)]
    assert len(closes) <= 1
    assert (made.state is State.CLOSED) >= bool(closes)
    if closes:
        assert actions[-1] is closes[0]
        assert closes[0].code in CloseCode


def test_each_close_code_is_explained() -> None:
    assert set(CLOSE_MEANINGS) == set(CloseCode)
    assert all(code == 1_000 or code < 1_016 or 4_000 <= code <= 4_999 for code in CloseCode)


def test_errors_are_told_without_secrets() -> None:
    assert error_message("1", VibeStreamError("select * from users")).detail == (
        "An unexpected error."
    )
    refused = error_message("1", InsufficientFunds(account="a"))
    assert (refused.code, refused.params, refused.retry_after_ms) == (
        "insufficient-funds", {"account": "a"}, None
    )  # fmt: skip
    assert error_message("1", Overloaded(retry_after_ms=7)).retry_after_ms == 7


def test_pong_carries_the_cursor() -> None:
    pong = Pong("p", 5, {"music": "1-2"})
    assert json.loads(encode(pong, Encoding.JSON)) == {
        "t": "pong", "id": "p", "server_time_ms": 5, "cursor": {"music": "1-2"}
    }  # fmt: skip
