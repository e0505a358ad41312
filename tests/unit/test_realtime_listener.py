"""What a client is sent in one turn of the loop leaves in one write."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from api.realtime.listener import AT_ONCE, Listener, Peer


class Socket:
    """The transport below: what was written, and nothing that it has not sent."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed_with: list[int] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def send_close(self, code: int, reason: bytes) -> None:
        self.closed_with.append(code)
        self.writes.append(b"close")


class Door:
    limits = type("Limits", (), {"close_linger_ms": 60_000})


def peers(count: int) -> list[tuple[Peer, Socket]]:
    listener = Listener(cast(Any, Door()), "127.0.0.1", 0)
    made = []
    for _ in range(count):
        peer, socket = Peer(cast(Any, Door()), listener), Socket()
        peer._raw = peer._transport = socket
        made.append((peer, socket))
    return made


async def test_messages_of_one_turn_leave_together_in_order() -> None:
    (ana, to_ana), (bo, to_bo) = peers(2)
    ana.write(b"1")
    bo.write(b"2")
    ana.write(b"3")
    ana.ping()
    assert (to_ana.writes, ana.buffered(), bo.buffered()) == ([], 4, 1)
    await asyncio.sleep(0)
    assert (to_ana.writes, to_bo.writes) == ([b"13\x89\x00"], [b"2"])
    assert (ana.buffered(), bo.buffered()) == (0, 0)
    ana.write(b"4")
    await asyncio.sleep(0)
    assert to_ana.writes[1:] == [b"4"]


async def test_much_does_not_gather() -> None:
    ((ana, to_ana),) = peers(1)
    big = b"x" * (AT_ONCE // 2)
    for _ in range(4):
        ana.write(big)
    assert [len(data) for data in to_ana.writes] == [3 * len(big)]
    await asyncio.sleep(0)
    assert sum(map(len, to_ana.writes)) == 4 * len(big)


async def test_a_close_comes_after_what_was_said() -> None:
    ((ana, to_ana),) = peers(1)
    ana.write(b"bye")
    ana.close(1012, "restart")
    await asyncio.sleep(0)
    assert to_ana.writes == [b"bye", b"close"]
    assert to_ana.closed_with == [1012]
    assert ana._linger is not None
    ana._linger.cancel()
