"""A player: starts a session, sends its beats as the server paces them, keeps its tickets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from demo.client import Realtime

Tell = Callable[[str], None]


async def play(
    realtime: Realtime, song: dict[str, Any], seconds: float, tell: Tell
) -> dict[str, Any]:
    """Listen to a song for so much played time, or all of it; the session at its end.

    Played time is the server's, so what an outage takes is made up for. Raises Refused.

    `rows` of the session are what a proof is made of: each redeemed ticket's nonce, and the played
    time that its beat was credited, which is never sent again.
    """
    device = {"device_id": "demo-player"}
    params = {"song_id": song["song_id"], **device}
    shown: dict[str, Any] = await realtime.call("listening.start", params)
    named = {"session_id": shown["session_id"], **device}
    rows: list[tuple[str, int]] = []
    seconds = min(seconds, song["duration_ms"] / 1000)
    began, credited_ms = time.monotonic(), 0
    tell(f"session {shown['session_id']} plays")
    while (ticket := shown["ticket"]) is not None:
        left_s = seconds - credited_ms / 1000
        if ticket["due_in_ms"] / 1000 > left_s:
            await asyncio.sleep(max(0.0, left_s))
            break
        await asyncio.sleep(ticket["due_in_ms"] / 1000)
        position_ms = round((time.monotonic() - began) * 1000) % song["duration_ms"]
        beat = {"index": ticket["index"], "nonce": ticket["nonce"], "position_ms": position_ms}
        shown = await realtime.call("listening.beat", {**named, **beat})
        if shown["played_ms"] > credited_ms:
            rows.append((ticket["nonce"], shown["played_ms"] - credited_ms))
        credited_ms = shown["played_ms"]
        tell(f"beat {ticket['index'] + 1}: {shown['played_ms'] / 1000:.1f} s played")
    ended: dict[str, Any] = await realtime.call("listening.end", named)
    return {**ended, "rows": rows}
