"""Calls: decoded, answered once, errors told, defects hidden; what handlers know."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
import structlog

from api.realtime.operations import NoParams, Operations
from api.realtime.protocol import Call, Encoding, ErrorMessage, Result, decode
from api.realtime.session import ClientSession, ConnectionState
from messages.errors import InsufficientFunds, Overloaded, Unauthenticated
from storage.database import PASSING_ERRORS
from tests.unit.realtime_support import User


class Params(msgspec.Struct, frozen=True):
    amount: int
    note: str = ""


def session(user: User | None = None, call_id: str = "1", **more: Any) -> ClientSession:
    state = ConnectionState(more.pop("session_id", "s"), lambda: 123)
    state.subject = user
    return ClientSession(
        state,
        call_id=call_id,
        operation=more.pop("operation", "op"),
        request_id="request",
        client_key=more.pop("key", None),
    )


async def echo(caller: ClientSession, params: Params) -> Params:
    """Say it back. And more."""
    return params


async def fail(caller: ClientSession, params: Params) -> None:
    raise {1: InsufficientFunds(account="a"), 2: Overloaded(retry_after_ms=9)}.get(
        params.amount, ZeroDivisionError("secret")
    )


async def stall(caller: ClientSession, params: NoParams) -> None:
    await asyncio.Event().wait()


@pytest.fixture
def operations() -> Operations:
    made = Operations(timeout_ms=10)
    made.register("echo", echo, Params, permission=None)
    made.register("fail", fail, Params, permission=None)
    made.register("stall", stall, NoParams, permission=None)
    return made


CALLS = [
    ("echo", {"amount": 1}, {"amount": 1, "note": ""}),
    ("echo", {"amount": "1"}, "params-invalid"),
    ("echo", {}, "params-invalid"),
    ("echo", None, "params-invalid"),
    ("echo", [], "params-invalid"),
    ("nothing", {}, "operation-unknown"),
    ("fail", {"amount": 1}, "insufficient-funds"),
    ("fail", {"amount": 2}, "overloaded"),
    ("fail", {"amount": 3}, "internal"),
    ("stall", {}, "unavailable"),
]


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize(("op", "params", "answer"), CALLS)
async def test_a_call_is_answered_once(
    operations: Operations, op: str, params: Any, answer: Any, encoding: Encoding
) -> None:
    message = {"t": "call", "id": "7", "op": op, "params": params}
    encode = msgspec.json.encode if encoding is Encoding.JSON else msgspec.msgpack.encode
    call = decode(encode(message), encoding)
    assert isinstance(call, Call)
    told = await operations.run(session(), call, encoding)
    assert told.id == "7"
    if isinstance(answer, str):
        assert isinstance(told, ErrorMessage)
        assert told.code == answer
        assert "secret" not in told.detail
    else:
        assert isinstance(told, Result)
        assert msgspec.to_builtins(told.data) == answer


@pytest.mark.parametrize("error", PASSING_ERRORS)
async def test_a_store_that_is_away_is_no_defect(error: type[Exception]) -> None:
    async def away(caller: ClientSession, params: NoParams) -> None:
        raise error("10.0.0.7")

    operations = Operations()
    operations.register("away", away, NoParams, permission=None)
    told = await operations.run(session(), Call("1", "away"), Encoding.JSON)
    assert isinstance(told, ErrorMessage)
    assert told.code == "unavailable"
    assert told.retry_after_ms is not None
    assert "10.0.0.7" not in told.detail


async def test_params_may_be_left_out(operations: Operations) -> None:
    async def nothing(caller: ClientSession, params: NoParams) -> None:
        return None

    operations.register("nothing", nothing, NoParams, permission=None)
    for encoding in Encoding:
        told = await operations.run(session(), Call("1", "nothing"), encoding)
        assert told == Result("1", {})


async def test_a_defect_is_logged_with_its_request_id(operations: Operations) -> None:
    with structlog.testing.capture_logs() as logs:
        call = Call("1", "fail", msgspec.Raw(b'{"amount":3}'))
        told = await operations.run(session(User("ana")), call, Encoding.JSON)
    assert isinstance(told, ErrorMessage)
    assert told.params == {"request_id": "request"}
    (line,) = logs
    assert (line["operation"], line["request_id"], line["user_id"]) == ("fail", "request", "ana")


async def test_calls_are_counted(operations: Operations) -> None:
    await operations.run(session(), Call("1", "x" * 50), Encoding.JSON)
    await operations.run(session(), Call("1", "stall"), Encoding.JSON)
    sample = operations.metrics.registry.get_sample_value
    unknown = {"operation": "unknown", "outcome": "operation-unknown"}
    assert sample("vibestream_realtime_calls_total", unknown) == 1, (
        "names of clients make no labels"
    )
    stalled = {"operation": "stall", "outcome": "unavailable"}
    assert sample("vibestream_realtime_calls_total", stalled) == 1


def test_an_operation_has_one_handler_and_a_summary(operations: Operations) -> None:
    with pytest.raises(AssertionError):
        operations.register("echo", echo, Params, permission=None)
    assert next(iter(operations)).summary == "Say it back. And more."


def test_the_key_of_a_call() -> None:
    ana, bo = User("ana"), User("bo")
    key = session(ana, key="client-key-1").key()
    assert key == session(ana, "2", key="client-key-1", session_id="other").key(), "a retry"
    others = [
        session(bo, key="client-key-1").key(),
        session(ana, key="client-key-2").key(),
        session(ana, key="client-key-1", operation="other").key(),
        session(ana, key="client-key-1").key("second command"),
        session(ana).key(),
        session(ana, "2").key(),
        session(ana, session_id="other").key(),
        session(None, "3", key="client-key-1").key(),
        session(None, "3", key="client-key-1", session_id="other").key(),
    ]
    assert len({key, *others}) == len(others) + 1


def test_what_a_handler_knows() -> None:
    anonymous, ana = session(), session(User("ana"))
    assert (anonymous.user_id, ana.user_id) == (None, "ana")
    assert ana.require_subject().user_id == "ana"
    with pytest.raises(Unauthenticated):
        anonymous.require_subject()
    assert ana.now() == 123


async def test_a_late_call_ends_alone() -> None:
    operations, go_on = Operations(timeout_ms=300), asyncio.Event()

    async def wait(caller: ClientSession, params: Params) -> Params:
        if params.amount:
            await go_on.wait()
        return params

    operations.register("wait", wait, Params, permission=None)

    async def call(amount: int) -> Result | ErrorMessage:
        raw = msgspec.Raw(b'{"amount":%d}' % amount)
        return await operations.run(session(), Call(str(amount), "wait", raw), Encoding.JSON)

    first = asyncio.create_task(call(1))
    await asyncio.sleep(0.2)
    second = asyncio.create_task(call(2))
    assert isinstance(await call(0), Result)
    told = await first
    assert isinstance(told, ErrorMessage)
    assert told.code == "unavailable"
    go_on.set()
    assert isinstance(await second, Result)


async def test_a_call_that_is_cancelled_is_not_answered() -> None:
    operations = Operations(timeout_ms=10_000)
    operations.register("stall", stall, NoParams, permission=None)
    running = asyncio.create_task(operations.run(session(), Call("1", "stall"), Encoding.JSON))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
