"""What travels in `benchmarks/fanout.py`: one message, whoever sends it, and its commands.

Every server says the same JSON text, 200 bytes long, as our door shows an event. It ends in the
time at which it was due (monotonic ns, zeros before it), so a listener reads it at a fixed place.
A server says `ready PORT`, then takes lines: `send COUNT`, `pace RATE COUNT`, `fill COUNT` (to
stalled listeners alone), `collect` (garbage); the last two are answered `done`.
"""

from __future__ import annotations

from typing import NamedTuple

from api.realtime.frames import BARE_JSON, Shown
from messages.bus import Position
from messages.envelope import Event

SIZE = 200
CHANNEL, STALLED_CHANNEL = "song:1", "song:2"
STREAM = "bench"
FIRST_ID = 10**9  # so that all positions are of one length
TAIL = '"}}'


class Template(NamedTuple):
    """The message is `head`, the time in `width` digits, `tail`."""

    head: str
    tail: str
    width: int

    def text(self, at_ns: int) -> str:
        """The message of a time."""
        return f"{self.head}{at_ns:0{self.width}d}{self.tail}"


def event(number: int, at: str, channel: str = CHANNEL) -> Event:
    """An event of ours that carries `at`."""
    position = f"1-{FIRST_ID + number}"
    event_id = "0197c0de-0000-7000-8000-000000000000"
    body = f'{{"at":"{at}"}}'
    return Event(
        event_id, STREAM, "Told", "e", 1, 1_790_000_000_000, (channel,), body, position=position
    )


def shown(number: int, at: str) -> str:
    """The text that our door writes for it."""
    text = Shown(CHANNEL, event(number, at), Position(1, FIRST_ID + number)).wire(BARE_JSON)
    assert isinstance(text, str)
    return text


def template() -> Template:
    """Ours, for the others to say the same."""
    bare = shown(0, "")
    assert bare.endswith(TAIL)
    assert SIZE - len(bare) >= 16, "no room for the time"
    return Template(bare.removesuffix(TAIL), TAIL, SIZE - len(bare))
