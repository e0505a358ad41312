"""Whether a request was sent decides about money: what a broken connection is taken for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import httpx
import pytest

from integrations.payment_recorder import NOT_REACHED, Recorder
from messages.payments.exchanges import Exchange, Outcome
from messages.payments.gateways import GatewayName

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[str]:
    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await serve(reader, writer)
        writer.close()

    listening = await asyncio.start_server(one, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def recording() -> AsyncIterator[tuple[httpx.AsyncClient, list[Exchange]]]:
    kept: list[Exchange] = []

    async def save(exchanges: Sequence[Exchange]) -> None:
        kept.extend(exchanges)

    recorder = Recorder(save, lambda: 1, lambda: "id", b"k" * 32)
    async with recorder.client(GatewayName.STRIPE, timeout=0.3) as client:
        yield client, kept
        await recorder.flush()
    await recorder.close()


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    pass


async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
    await writer.drain()


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def stay_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize("serve", [hang_up, break_off, reset, stay_silent])
async def test_what_was_sent_may_have_been_done(serve: Serve) -> None:
    async with server(serve) as url, recording() as (client, kept):
        with pytest.raises(httpx.TransportError) as error:
            await client.post(url, content=b"{}")
        assert not isinstance(error.value, NOT_REACHED)
    assert [one.outcome for one in kept] == [Outcome.UNKNOWN]


async def test_what_was_never_sent_was_not_done() -> None:
    async with server(hang_up) as url:
        pass
    async with recording() as (client, kept):
        with pytest.raises(NOT_REACHED):
            await client.post(url, content=b"{}")
    assert [one.outcome for one in kept] == [Outcome.NOT_SENT]


async def test_an_answer_is_as_it_was() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 402 No\r\nX-Request-Id: r1\r\ncontent-length: 2\r\n\r\n{}")
        await writer.drain()

    async with server(answer) as url, recording() as (client, kept):
        found = await client.post(url, content=b"{}")
    assert (found.status_code, found.json(), found.headers["x-request-id"]) == (402, {}, "r1")
    assert [(one.outcome, one.status, one.request_ref) for one in kept] == [
        (Outcome.DECLINED, 402, "r1")
    ]
