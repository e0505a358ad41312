"""Listening sessions: server-paced beats, played time that nobody can inflate, one end.

The server hands out one ticket at a time; a ticket is worth at most one beat interval (and the
pace tolerance) of played time, and only time that passed on the server while playing. So played
time never exceeds wall time, nor the song's length, whatever a client sends.
"""

from __future__ import annotations

from domain.listening.ending import STALE_TIMER
from domain.listening.rules import decide
from domain.listening.session import (
    Listening,
    Session,
    evolve,
    initial,
    nonce,
    rows_of,
    timeline_of,
)

__all__ = [
    "STALE_TIMER",
    "Listening",
    "Session",
    "decide",
    "evolve",
    "initial",
    "nonce",
    "rows_of",
    "timeline_of",
]
