"""Facts that nothing writes any more: rewards before they were claimed by proof.

Journals that were written then hold them, so they are still read. Nothing follows from them.
"""

from __future__ import annotations

import msgspec

from messages.listening import Tier


class ListenRewardRefused(msgspec.Struct, frozen=True, tag=True):
    """The pool did not pay a session."""

    pool_id: str
    session_id: str
    user_id: str
    reason: str
    at_ms: int


class ListenAdmitted(msgspec.Struct, frozen=True, tag=True):
    """A session was within its listener's daily limits."""

    session_id: str
    user_id: str
    device_id: str
    song_id: str
    artist_id: str
    pool_id: str
    played_ms: int
    tier: Tier
    boost_bps: int
    time_zone: str
    day: int
    allowance_minor: int
    at_ms: int


class ListenNotAdmitted(msgspec.Struct, frozen=True, tag=True):
    """A session was beyond its listener's daily limits."""

    session_id: str
    user_id: str
    day: int
    reason: str
    at_ms: int


class ListenSettled(msgspec.Struct, frozen=True, tag=True):
    """An admitted session was paid."""

    session_id: str
    reward_minor: int
    at_ms: int


class ListenReleased(msgspec.Struct, frozen=True, tag=True):
    """An admitted session was not paid."""

    session_id: str
    reason: str
    at_ms: int
