"""Listening through the WebSocket: start, beat, seek, pause, resume, end, state.

The handlers keep nothing: each operation names the device, so that a client that comes back on
another connection, or another replica, goes on where it was.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Annotated

import msgspec
from msgspec import Meta

from api.inputs import MAX_INTEGER
from api.realtime.operations import Handler, Operations
from api.realtime.session import ClientSession
from api.services import EntityHandle
from domain.access import Permission
from domain.policy import BPS
from domain.users import tier_of
from messages.keys import derive_id, is_id
from messages.listening import (
    DEVICE_ID,
    ENTROPY_BYTES,
    NONCE_BYTES,
    Beat,
    EndListening,
    ListeningCommand,
    PausePlayback,
    Phase,
    ResumePlayback,
    ResumeSession,
    Seek,
    SessionView,
    StartListening,
    Tier,
    listening_entity,
)
from messages.music import SongNotFound
from messages.realtime import BadParams
from messages.users import UserNotFound
from storage import music, rewards, users, users_identity
from storage.database import Pool

# A session without a pool counts for the song and is refused a reward.
NO_POOL = "00000000-0000-0000-0000-000000000000"

Id = Annotated[str, Meta(max_length=64)]
Whole = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
Hex = Annotated[str, Meta(max_length=2 * NONCE_BYTES, description="Hexadecimal.")]
Device = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        description="A name that the client keeps for this device: A-Z a-z 0-9 . _ -",
    ),
]


class SongFacts(msgspec.Struct, frozen=True):
    """What a session needs to know of a song."""

    artist_id: str
    duration_ms: int


class ListenerFacts(msgspec.Struct, frozen=True):
    """What a session needs to know of a user."""

    tier: Tier
    time_zone: str
    commitment: str | None = None


@dataclass(frozen=True, slots=True)
class ListeningPorts:
    """What the operations stand on.

    handle: of the kind `listening`.  default_pool: the reward pool that sessions draw on, or None.
    secret: at least 32 random bytes, the same for all replicas; nonces derive from it.
    """

    handle: EntityHandle
    song: Callable[[str], Awaitable[SongFacts | None]]
    listener: Callable[[str], Awaitable[ListenerFacts | None]]
    default_pool: Callable[[], Awaitable[str | None]]
    secret: bytes


def stored_ports(pool: Pool, handle: EntityHandle, secret: bytes) -> ListeningPorts:
    """Ports on PostgreSQL: songs, users, and the pool that was opened first and is still open."""

    async def song(song_id: str) -> SongFacts | None:
        found = await music.get_song(pool, song_id)
        return SongFacts(found.artist_id, found.duration_ms) if found else None

    async def listener(user_id: str) -> ListenerFacts | None:
        found = await users.get_user(pool, user_id)
        if found is None:
            return None
        identity = await users_identity.get_identity(pool, user_id)
        commitment = identity.commitment if identity else None
        return ListenerFacts(tier_of(found.points), found.time_zone, commitment)

    async def default_pool() -> str | None:
        return await rewards.default_pool(pool)

    return ListeningPorts(handle, song, listener, default_pool, secret)


class StartParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Start a song on a device; the device's present session, if any, ends as it stands."""

    song_id: Id
    device_id: Device


class SessionParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A session and the device it runs on."""

    session_id: Id
    device_id: Device


class SeekParams(SessionParams, frozen=True, forbid_unknown_fields=True):
    """Where playback jumped to."""

    position_ms: Whole


class BeatParams(SeekParams, frozen=True, forbid_unknown_fields=True):
    """The ticket that was given, and where playback is."""

    index: Whole
    nonce: Hex


class ShownTicket(msgspec.Struct, frozen=True):
    """The right to send beat `index` in `due_in_ms`, counted from this answer."""

    index: int
    nonce: Hex
    due_at_ms: int
    due_in_ms: int
    interval_ms: int


class ShownSession(msgspec.Struct, frozen=True):
    """A session as it stands; `ticket` is null once it is over.

    claimable: it started with a registered identity, so its reward can be claimed by proof if it
    turns out eligible. Without one it counts as a listen and is never paid.
    """

    session_id: str
    song_id: str
    phase: Phase
    playing: bool
    played_ms: int
    position_ms: int
    started_at_ms: int
    ended_at_ms: int | None
    counted: bool
    score_bps: int
    claimable: bool
    ticket: ShownTicket | None


class ListeningOperations:
    """The operations of listening sessions."""

    def __init__(self, ports: ListeningPorts) -> None:
        self._ports = ports

    def register(self, operations: Operations) -> None:
        """Add them to the realtime door's registry."""

        by_name: dict[str, tuple[Handler, type[msgspec.Struct]]] = {
            "start": (self.start, StartParams),
            "beat": (self.beat, BeatParams),
            "seek": (self.seek, SeekParams),
            "pause": (self.pause, SessionParams),
            "resume": (self.resume, SessionParams),
            "end": (self.end, SessionParams),
            "state": (self.state, SessionParams),
        }
        for name, (handler, params) in by_name.items():
            operations.register(
                f"listening.{name}",
                handler,
                params,
                permission=Permission.LISTEN,
                result_type=ShownSession,
            )

    async def start(self, session: ClientSession, params: StartParams) -> ShownSession:
        """Start a session on a device. Raises SongNotFound, UserNotFound."""
        user_id = session.require_subject().user_id
        song = await self._ports.song(params.song_id) if is_id(params.song_id) else None
        if song is None:
            raise SongNotFound
        listener = await self._ports.listener(user_id)
        if listener is None:
            raise UserNotFound
        # All of it derives from the call's key, so that a call sent again is the same command.
        key = session.key()
        command = StartListening(
            session_id=derive_id("listening-session", key),
            song_id=params.song_id,
            artist_id=song.artist_id,
            song_duration_ms=song.duration_ms,
            pool_id=await self._ports.default_pool() or NO_POOL,
            tier=listener.tier,
            boost_bps=BPS,
            time_zone=listener.time_zone,
            entropy=blake2b(key, key=self._ports.secret[:64], digest_size=ENTROPY_BYTES).digest(),
            commitment=listener.commitment,
        )
        return await self._ask(session, params.device_id, command)

    async def beat(self, session: ClientSession, params: BeatParams) -> ShownSession:
        """Redeem a ticket and get the next; the same beat again gets the same answer."""
        try:
            nonce = bytes.fromhex(params.nonce)
        except ValueError:
            raise BadParams("nonce is not hexadecimal", field="nonce") from None
        command = Beat(params.session_id, params.index, nonce, params.position_ms)
        return await self._ask(session, params.device_id, command)

    async def seek(self, session: ClientSession, params: SeekParams) -> ShownSession:
        """Playback jumped; adds no played time."""
        command = Seek(params.session_id, params.position_ms)
        return await self._ask(session, params.device_id, command)

    async def pause(self, session: ClientSession, params: SessionParams) -> ShownSession:
        """Playback stopped."""
        return await self._ask(session, params.device_id, PausePlayback(params.session_id))

    async def resume(self, session: ClientSession, params: SessionParams) -> ShownSession:
        """Playback goes on."""
        return await self._ask(session, params.device_id, ResumePlayback(params.session_id))

    async def end(self, session: ClientSession, params: SessionParams) -> ShownSession:
        """The listener is done."""
        return await self._ask(session, params.device_id, EndListening(params.session_id))

    async def state(self, session: ClientSession, params: SessionParams) -> ShownSession:
        """The session as it stands, with its present ticket."""
        return await self._ask(session, params.device_id, ResumeSession(params.session_id))

    async def _ask(
        self, session: ClientSession, device_id: str, command: ListeningCommand
    ) -> ShownSession:
        user_id = session.require_subject().user_id
        if not DEVICE_ID.fullmatch(device_id):
            raise BadParams("a device is named by A-Z a-z 0-9 . _ -", field="device_id")
        entity_id = listening_entity(user_id, device_id)
        answer = await self._ports.handle.ask(entity_id, command, key=session.key())
        assert isinstance(answer, SessionView)
        return _shown(answer, session.now())


def _shown(view: SessionView, now_ms: int) -> ShownSession:
    """`due_in_ms` spares clients from comparing clocks."""
    ticket = None
    if (given := view.ticket) is not None:
        due_in_ms = max(0, given.due_at_ms - now_ms)
        ticket = ShownTicket(
            given.index, given.nonce.hex(), given.due_at_ms, due_in_ms, given.interval_ms
        )
    return ShownSession(
        session_id=view.session_id,
        song_id=view.song_id,
        phase=view.phase,
        playing=view.playing,
        played_ms=view.played_ms,
        position_ms=view.position_ms,
        started_at_ms=view.started_at_ms,
        ended_at_ms=view.ended_at_ms or None,
        counted=view.counted,
        score_bps=view.score_bps,
        claimable=view.claimable,
        ticket=ticket,
    )
