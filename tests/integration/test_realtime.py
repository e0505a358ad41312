"""The door as clients meet it, through its own listener and through ASGI."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from api.realtime.limits import Limits
from tests.integration.realtime_support import ORIGIN, Client, Door, connected, open_door, until
from tests.unit.realtime_support import event

DOORS = pytest.mark.parametrize("kind", ["listener", "asgi"])


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with open_door() as opened:
        yield opened


async def close_code(client: Client) -> int:
    """The code it is closed with, whatever is sent before."""
    try:
        async with asyncio.timeout(20):
            while True:
                await client.socket.recv()
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006


@DOORS
@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_a_conversation(door: Door, kind: str, encoding: str) -> None:
    async with connected(door.url(kind), "token-ana", encoding=encoding) as ana:
        assert ana.socket.subprotocol == "vibestream.v1"
        assert (await ana.subscribe("song:1"))["t"] == "subscribed"
        assert (await ana.subscribe("user:ana"))["t"] == "subscribed"
        assert (await ana.subscribe("user:bo"))["code"] == "channel-forbidden"
        door.hub.publish(event("1-1", ("user:ana",), body='{"title":"é","n":[1,2.5,null]}'))
        heard = await ana.hear()
        assert heard["channel"] == "user:ana"
        assert heard["data"] == {"title": "é", "n": [1, 2.5, None]}

        call = {"t": "call", "id": "c1", "op": "echo", "params": {"text": "hi"}}
        answer = await ana.ask(call)
        assert (answer["t"], answer["id"], answer["data"]["user"]) == ("result", "c1", "ana")
        assert (await ana.ask({**call, "op": "refuse", "params": {}}))["params"] == {"what": "this"}
        assert (await ana.ask({**call, "op": "break", "params": {}}))["code"] == "internal"
        assert (await ana.ask({**call, "params": {"text": 7}}))["code"] == "params-invalid"
        assert (await ana.ask({**call, "op": "nothing"}))["code"] == "operation-unknown"
        pong = await ana.ask({"t": "ping", "id": "p"})
        assert (pong["t"], pong["id"], pong["cursor"]) == ("pong", "p", {"music": "1-1"})

        left = await ana.ask({"t": "unsubscribe", "id": "u", "channel": "song:1"})
        assert left["t"] == "unsubscribed"
        door.hub.publish(event("1-2"))
        door.hub.publish(event("1-3", ("user:ana",)))
        assert (await ana.hear())["offset"] == "1-3"
    await until(lambda: len(door.server) == 0)
    assert door.hub.channels == 0


@DOORS
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x00garbage", 4400),
        ("garbage", 4400),
        ('{"t":"hello","token":5}', 4400),
        ('{"t":"ping"}', 4400),
        ('{"t":"hello","token":"nobody"}', 4401),
        ('{"t":"hello","token":"expired"}', 4402),
        ('{"t":"hello","pad":"' + "x" * 20_000 + '"}', 1009),
        (["{", '"t":"ping"', "}"], 4400),
    ],
)
async def test_bad_openings_are_closed_with_their_code(
    door: Door, kind: str, data: Any, code: int
) -> None:
    async with connected(door.url(kind), hello=False) as client:
        await client.socket.send(data)
        assert await close_code(client) == code
    await until(lambda: len(door.server) == 0)


@DOORS
async def test_fragments_are_one_message(door: Door, kind: str) -> None:
    async with connected(door.url(kind), hello=False) as client:
        await client.socket.send(['{"t":', '"hello"', "}"])
        assert (await client.hear())["t"] == "welcome"
        await client.socket.send(["[" * 9_000, "[" * 9_000])
        assert await close_code(client) == 1009


@DOORS
async def test_a_flood_is_closed(door: Door, kind: str) -> None:
    async with connected(door.url(kind)) as client:
        for _ in range(600):
            try:
                await client.say({"t": "pong"})
            except ConnectionClosed:
                break
        assert await close_code(client) == 4429


async def test_pings_are_answered_and_cost_as_much(door: Door) -> None:
    async with connected(door.url("listener")) as client:
        async with asyncio.timeout(20):
            await (await client.socket.ping())
        for _ in range(600):
            try:
                await client.socket.ping()
            except ConnectionClosed:
                break
        assert await close_code(client) == 4429


@DOORS
async def test_silence_is_probed_and_ended(kind: str) -> None:
    limits = Limits(heartbeat_ms=100, idle_timeout_ms=60_000, hello_timeout_ms=500)
    async with open_door(limits) as door:
        async with connected(door.url(kind), hello=False) as silent:
            assert await close_code(silent) == 4408
        async with connected(door.url(kind)) as client:
            if kind == "asgi":
                assert (await client.hear())["t"] == "ping"
            else:  # a WebSocket ping, which the client's library answers by itself
                seen = next(iter(door.server.connections())).machine
                first = seen._seen_ms
                await until(lambda: seen._seen_ms > first)


@DOORS
async def test_upgrades_that_are_refused(kind: str) -> None:
    async with open_door(Limits(max_connections=1)) as door:
        url = door.url(kind).replace("ws:", "http:")
        headers = {
            "Connection": "keep-alive, Upgrade", "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }  # fmt: skip

        async def status(url: str, **more: str) -> httpx.Response:
            async with httpx.AsyncClient() as http:
                return await http.get(url, headers={**headers, **more})

        assert (await status(url + "no")).status_code in {403, 404}
        assert (await status(url, Origin="https://evil.example")).status_code == 403
        assert (await status(url, **{"Sec-WebSocket-Protocol": "chat"})).status_code == 400
        async with connected(door.url(kind)):
            full = await status(url)
            assert (full.status_code, full.headers["retry-after"]) == (503, "5")
        await until(lambda: len(door.server) == 0)
        async with connect(door.url(kind), origin=ORIGIN, compression=None, proxy=None) as allowed:  # type: ignore[arg-type]
            assert allowed.subprotocol is None
        sample = door.server.metrics.registry.get_sample_value
        refused = "vibestream_realtime_upgrades_refused_total"
        assert sample(refused, {"why": "forbidden"}) == 1
        assert sample(refused, {"why": "service_unavailable"}) == 1


async def test_firefox_says_connection_in_two_words(door: Door) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.server.port)
    writer.write(
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert (await reader.readline()) == b"HTTP/1.1 101 Switching Protocols\r\n"
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    "raw",
    [
        b"\x81\x02{}",  # not masked
        b"\xc1\x82\x00\x00\x00\x00{}",  # a reserved bit
        b"\x83\x82\x00\x00\x00\x00{}",  # an opcode that is none
        b"\x80\x82\x00\x00\x00\x00{}",  # a continuation of nothing
        b"\x01\x81\x00\x00\x00\x00{\x81\x81\x00\x00\x00\x00}",  # a new message within a message
        b"\x89\xfe\x00\x7e\x00\x00\x00\x00" + b"x" * 126,  # a long control frame
        b"\x88\x81\x00\x00\x00\x00x",  # half a close code
    ],
)
async def test_frames_that_break_the_rfc(raw: bytes) -> None:
    async with open_door(Limits(close_linger_ms=50)) as door:
        await break_the_rfc(door, raw)


async def break_the_rfc(door: Door, raw: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.server.port)
    writer.write(
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    writer.write(raw)
    async with asyncio.timeout(20):
        answer = await reader.read()
    assert (answer[0], int.from_bytes(answer[2:4], "big")) == (0x88, 1002)
    writer.close()
    await writer.wait_closed()
    await until(lambda: len(door.server) == 0)


@DOORS
async def test_a_listener_that_does_not_read_is_closed_and_the_others_get_all(kind: str) -> None:
    limits = Limits(soft_buffer_bytes=16_384, hard_buffer_bytes=65_536, close_linger_ms=100)
    body = json.dumps("x" * 2_000)
    async with open_door(limits) as door:
        stalled = await stall(door, kind)
        async with connected(door.url(kind)) as healthy:
            await healthy.subscribe("song:1")
            sent = 0
            while len(door.server) > 1:
                for _ in range(20):
                    sent += 1
                    door.hub.publish(event(f"1-{sent}", body=body))
                    assert (await healthy.hear())["offset"] == f"1-{sent}"
                assert sent < 20_000, "the stalled listener is never closed"
                await asyncio.sleep(0)
            closed = door.server.metrics.registry.get_sample_value(
                "vibestream_realtime_connections_closed_total", {"code": "4440"}
            )
            assert closed == 1
        stalled.close()


async def stall(door: Door, kind: str) -> socket.socket:
    """A client that says hello, subscribes, and reads no more."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    port = urlsplit(door.url(kind)).port
    await loop.sock_connect(client, ("127.0.0.1", port))
    path = b"/" if kind == "listener" else b"/ws"
    upgrade = (
        b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    await loop.sock_sendall(client, upgrade)
    await loop.sock_recv(client, 4_096)
    for message in (
        b'{"t":"hello"}',
        b'{"t":"subscribe","id":"1","channel":"song:1"}',
    ):
        frame = bytes((0x81, 0x80 | len(message))) + bytes(4) + message
        await loop.sock_sendall(client, frame)
    await until(lambda: door.hub.channels == 1)
    return client


async def test_a_slow_listener_reads_the_latest_of_a_conflatable_channel() -> None:
    limits = Limits(soft_buffer_bytes=16_384, socket_buffer_bytes=8_192)
    body = json.dumps("x" * 2_000)
    async with open_door(limits) as door, connected(door.url("listener")) as slow:
        await slow.subscribe("depth:1")
        sent = 0
        while not any(c._subscriber.pending for c in door.server.connections()):
            sent += 1
            assert sent < 20_000, "it is never congested"
            door.hub.publish(event(f"1-{sent}", ("depth:1",), body=body))
        for _ in range(100):
            sent += 1
            door.hub.publish(event(f"1-{sent}", ("depth:1",), body=body))
        heard: list[str] = []
        while not heard or heard[-1] != f"1-{sent}":
            heard.append((await slow.hear())["offset"])
        assert len(heard) <= sent - 100, "the latest came, and the rest was spared"


@DOORS
async def test_hooks_run_when_a_connection_is_over(door: Door, kind: str) -> None:
    async with connected(door.url(kind)) as client:
        assert (await client.ask({"t": "call", "id": "1", "op": "watch"}))["t"] == "result"
        (connection,) = door.server.connections()
        session_id = connection.machine.session_id
        assert door.closed == []
    await until(lambda: door.closed == [session_id])


@DOORS
async def test_a_stopping_server_answers_says_bye_and_is_back_later(kind: str) -> None:
    async with open_door() as door, connected(door.url(kind)) as client:
        await client.subscribe("song:1")
        await client.say({"t": "call", "id": "1", "op": "wait"})
        await until(lambda: any(c.calls() for c in door.server.connections()))
        stopping = asyncio.create_task(door.server.stop())
        assert (await client.hear())["t"] == "bye"
        assert not door.server.health().ok
        door.go_on.set()
        assert (await client.hear())["data"] == {"done": True}
        assert await close_code(client) == 1012
        await stopping


@DOORS
async def test_calls_run_side_by_side_and_are_bounded(kind: str) -> None:
    async with open_door(Limits(calls_in_flight=3)) as door, connected(door.url(kind)) as client:
        for n in range(4):
            await client.say({"t": "call", "id": str(n), "op": "wait"})
        refused = await client.hear()
        assert (refused["id"], refused["code"]) == ("3", "overloaded")
        assert refused["retry_after_ms"] > 0
        door.go_on.set()
        assert sorted([(await client.hear())["id"] for _ in range(3)]) == ["0", "1", "2"]
        again = {"t": "call", "id": "3", "op": "echo"}
        assert (await client.ask(again))["t"] == "result"


@DOORS
async def test_a_repeated_call_has_the_same_key_on_another_connection(
    door: Door, kind: str
) -> None:
    call = {"t": "call", "id": "1", "op": "echo", "key": "0197-a-client-key"}
    keys = []
    for token in ("token-ana", "token-ana", "token-bo"):
        async with connected(door.url(kind), token) as client:
            keys.append((await client.ask(call))["data"]["key"])
    assert keys[0] == keys[1] != keys[2]


async def test_what_prometheus_sees(door: Door) -> None:
    async with connected(door.url("listener")) as client:
        await client.subscribe("song:1")
        door.hub.publish(event("1-1"))
        await client.hear()
        text = door.server.scrape().decode()
    for line in (
        "vibestream_realtime_connections 1.0",
        "vibestream_realtime_channels 1.0",
        "vibestream_realtime_hub_deliveries_total 1.0",
        'vibestream_realtime_connections_opened_total{door="listener"} 1.0',
    ):
        assert line in text.splitlines(), line
    assert msgspec.json.decode(msgspec.json.encode(door.server.health()))["ok"] is True
