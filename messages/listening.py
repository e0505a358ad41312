"""Listening sessions: what a player may ask, what it is told, what happened.

The entity id is `<user id>:<device id>`: one active session per user and device by construction.
Positions and durations are milliseconds of the song; moments are epoch milliseconds of the server.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TypeAlias

import msgspec

from messages.errors import Conflict, Invalid, Limited, NotFound

STREAM = "listening"
NONCE_BYTES = 31  # below the order of the BN254 scalar field, so that a nonce is one field element
ENTROPY_BYTES = 32
DEVICE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


class Tier(StrEnum):
    """The account tier of a listener, from points."""

    FREE = "free"
    PREMIUM = "premium"
    VIP = "vip"


class Phase(StrEnum):
    """active → ended → eligible | rejected; the score is taken on leaving `ended`.

    An eligible session is claimed by proof, and the engine cannot know which one was: `claimed` is
    only said of sessions from before proofs.
    """

    NONE = "none"
    ACTIVE = "active"
    ENDED = "ended"
    ELIGIBLE = "eligible"
    REJECTED = "rejected"
    CLAIMED = "claimed"


class EndReason(StrEnum):
    """Why a session ended."""

    ENDED = "ended"  # the player said so
    STALE = "stale"  # no sign of life for the stale time
    SUPERSEDED = "superseded"  # the device started another one
    LIMIT = "limit"  # the longest session is over


# --- errors -------------------------------------------------------------------------------------


class SessionNotFound(NotFound):
    """There is no such listening session on this device."""

    code = "listening-session-not-found"


class SessionEnded(Conflict):
    """This listening session is over."""

    code = "listening-session-ended"


class SessionStale(Conflict):
    """This listening session went too long without a beat and is over."""

    code = "listening-session-stale"


class SessionExists(Conflict):
    """This listening session was started before."""

    code = "listening-session-exists"


class BeatTooEarly(Limited):
    """This beat is not due yet; `retry_after_ms` says when it is."""

    code = "beat-too-early"


class WrongBeatIndex(Conflict):
    """Another beat is expected; `expected` is its index."""

    code = "beat-wrong-index"


class WrongBeatNonce(Invalid):
    """The nonce is not that of the ticket."""

    code = "beat-wrong-nonce"


class PlaybackPaused(Conflict):
    """Playback is paused; resume it first."""

    code = "playback-paused"


class PositionOutsideSong(Invalid):
    """The position is not within the song."""

    code = "position-outside-song"


class BadSession(Invalid):
    """A fact about the session to start is out of range."""

    code = "listening-session-invalid"


# --- commands -----------------------------------------------------------------------------------


class StartListening(msgspec.Struct, frozen=True, tag=True):
    """Start a session. All but `session_id` and `song_id` come from the server, never the client.

    entropy: 32 secret random bytes from which the nonces are derived.  boost_bps: campaign boost,
    10,000 is none.  commitment: the listener's registered identity (decimal); without one the
    session counts but cannot be claimed.
    """

    session_id: str
    song_id: str
    artist_id: str
    song_duration_ms: int
    pool_id: str
    tier: Tier
    boost_bps: int
    time_zone: str
    entropy: bytes
    commitment: str | None = None


class Beat(msgspec.Struct, frozen=True, tag=True):
    """Redeem ticket `index` at playback position `position_ms`."""

    session_id: str
    index: int
    nonce: bytes
    position_ms: int


class Seek(msgspec.Struct, frozen=True, tag=True):
    """Playback jumped to `position_ms`. Never adds played time."""

    session_id: str
    position_ms: int


class PausePlayback(msgspec.Struct, frozen=True, tag=True):
    """Playback stopped; so does the played time."""

    session_id: str


class ResumePlayback(msgspec.Struct, frozen=True, tag=True):
    """Playback goes on where it was paused."""

    session_id: str


class EndListening(msgspec.Struct, frozen=True, tag=True):
    """The listener is done. Asked again, it answers the same."""

    session_id: str


class ResumeSession(msgspec.Struct, frozen=True, tag=True):
    """Query: all that a client needs to go on after it lost its connection."""

    session_id: str


class CheckStale(msgspec.Struct, frozen=True, tag=True):
    """The entity's own timer: end the session if it is stale or has reached its limit."""

    due_at_ms: int


ListeningCommand: TypeAlias = (
    StartListening
    | Beat
    | Seek
    | PausePlayback
    | ResumePlayback
    | EndListening
    | ResumeSession
    | CheckStale
)


# --- answers ------------------------------------------------------------------------------------


class Ticket(msgspec.Struct, frozen=True):
    """The right to send beat `index`, not before `due_at_ms` (less a small tolerance)."""

    index: int
    nonce: bytes
    due_at_ms: int
    interval_ms: int


class SessionView(msgspec.Struct, frozen=True):
    """The answer to every command of a player. `ticket` is None once the session is over.

    While paused, the ticket's `due_at_ms` is what it would be if playback resumed at once.
    claimable: it began with an identity, so its reward can be claimed if it is eligible.
    """

    session_id: str
    song_id: str
    phase: Phase
    playing: bool
    played_ms: int
    position_ms: int
    started_at_ms: int
    ended_at_ms: int
    counted: bool
    score_bps: int
    ticket: Ticket | None = None
    claimable: bool = False


# --- events -------------------------------------------------------------------------------------


class SessionOpened(msgspec.Struct, frozen=True, tag=True):
    """Journal only: it holds the secret from which the nonces are derived."""

    session_id: str
    song_id: str
    artist_id: str
    song_duration_ms: int
    pool_id: str
    tier: Tier
    boost_bps: int
    time_zone: str
    entropy: bytes
    at_ms: int
    due_at_ms: int
    commitment: str | None = None


class ListeningStarted(msgspec.Struct, frozen=True, tag=True):
    """Public: a listener started a song."""

    session_id: str
    user_id: str
    device_id: str
    song_id: str
    artist_id: str
    pool_id: str
    at_ms: int


class BeatAccepted(msgspec.Struct, frozen=True, tag=True):
    """Journal only. `expected_ms`: where playback should have been; `due_at_ms`: of the next."""

    session_id: str
    index: int
    at_ms: int
    position_ms: int
    expected_ms: int
    played_ms: int
    due_at_ms: int


class PlaybackSought(msgspec.Struct, frozen=True, tag=True):
    """Journal only."""

    session_id: str
    at_ms: int
    position_ms: int


class PlaybackWasPaused(msgspec.Struct, frozen=True, tag=True):
    """Journal only. `due_in_ms` is how much of the beat's interval was left."""

    session_id: str
    at_ms: int
    position_ms: int
    played_ms: int
    due_in_ms: int


class PlaybackResumed(msgspec.Struct, frozen=True, tag=True):
    """Journal only."""

    session_id: str
    at_ms: int
    due_at_ms: int


class ListeningEnded(msgspec.Struct, frozen=True, tag=True):
    """Public: a session is over, with all its facts. `counted`: the song has one more listen."""

    session_id: str
    user_id: str
    device_id: str
    song_id: str
    artist_id: str
    pool_id: str
    started_at_ms: int
    ended_at_ms: int
    played_ms: int
    beats: int
    reason: EndReason
    counted: bool


class ListeningScored(msgspec.Struct, frozen=True, tag=True):
    """Public: whether a session may be rewarded, with all that the reward depends on.

    score_bps: 0 is a person, 10,000 a bot.  reasons: codes, worst first.  leaves: for the pool's
    tree (decimal), one a stretch; none if it cannot be claimed.
    """

    session_id: str
    user_id: str
    device_id: str
    song_id: str
    artist_id: str
    pool_id: str
    tier: Tier
    boost_bps: int
    time_zone: str
    ended_at_ms: int
    played_ms: int
    eligible: bool
    score_bps: int
    reasons: tuple[str, ...]
    policy_version: int
    leaves: tuple[str, ...] = ()


class ListenCounted(msgspec.Struct, frozen=True, tag=True):
    """Public, and says nothing of who listened: a song has one more listen."""

    song_id: str
    artist_id: str
    played_ms: int
    at_ms: int


class ListenFolded(msgspec.Struct, frozen=True, tag=True):
    """Journal only: all that the listener's witness can be made of again.

    deltas: two bytes a beat, little-endian: the played time that it was credited, milliseconds.
    Nonce i derives from entropy, session and i.
    """

    session_id: str
    user_id: str
    pool_id: str
    commitment: str
    entropy: bytes
    deltas: bytes
    leaves: tuple[str, ...]


class ListenClaimed(msgspec.Struct, frozen=True, tag=True):
    """From before proofs, no longer written: the session's reward was paid."""

    session_id: str
    at_ms: int


ListeningEvent: TypeAlias = (
    SessionOpened
    | ListeningStarted
    | BeatAccepted
    | PlaybackSought
    | PlaybackWasPaused
    | PlaybackResumed
    | ListeningEnded
    | ListeningScored
    | ListenCounted
    | ListenFolded
    | ListenClaimed
)

PUBLIC_EVENTS = frozenset({ListeningStarted, ListeningEnded, ListeningScored, ListenCounted})


def listening_entity(user_id: str, device_id: str) -> str:
    """The id of the entity that owns a device's session."""
    return f"{user_id}:{device_id}"
