"""How often a network may connect, at both doors."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from api.realtime.arrivals import Arrivals
from api.realtime.protocol import SUBPROTOCOL
from domain.client_address import LOOPBACK
from domain.rate_limits import Limit
from tests.integration.realtime_support import Door, open_door


class Time:
    us = 10**12

    def __call__(self) -> int:
        return self.us


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with open_door() as opened:
        limit = Limit("connections", 3, 60)
        opened.server.arrivals = Arrivals(limit, inner=LOOPBACK, clock_us=Time())
        yield opened


async def upgrade(url: str, address: str) -> int:
    """The status of an upgrade, or the code that it was closed with at once; 101 if it stays."""
    try:
        async with connect(
            url,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            additional_headers={"X-Forwarded-For": address},
        ) as socket:
            await socket.send('{"t":"ping"}')
            await socket.recv()
    except InvalidStatus as error:
        return error.response.status_code
    except ConnectionClosed as error:
        return 4429 if error.rcvd and error.rcvd.code == 4429 else 101
    return 101


@pytest.mark.parametrize(("kind", "refused"), [("listener", 4429), ("asgi", 429)])
async def test_a_network_that_connects_too_often_is_refused(
    door: Door, kind: str, refused: int
) -> None:
    url = door.url(kind)
    made = [await upgrade(url, f"2001:db8:1:2::{number}") for number in range(6)]
    assert made == [101] * 3 + [refused] * 3
    assert await upgrade(url, "2001:db8:1:3::1") == 101
    assert b'upgrades_refused_total{why="too_often"} 3.0' in door.server.scrape()


async def test_an_upgrade_that_is_refused_says_when_to_come_back(door: Door) -> None:
    url = door.url("asgi").replace("ws://", "http://")
    upgrade_head = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    for _ in range(3):
        await upgrade(door.url("asgi"), "203.0.113.7")
    async with httpx.AsyncClient() as client:
        head = {**upgrade_head, "X-Forwarded-For": "203.0.113.7"}
        answer = await client.get(url, headers=head)
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 20


def test_each_network_gets_its_attempts_back() -> None:
    time = Time()
    arrivals = Arrivals(Limit("connections", 2, 10), clock_us=time)
    assert [arrivals.wait_ms("203.0.113.7", []) for _ in range(3)] == [0, 0, 5_000]
    time.us += 5_000_000
    assert arrivals.wait_ms("203.0.113.7", []) == 0
    assert arrivals.wait_ms("203.0.113.8", ["203.0.113.9"]) == 0
