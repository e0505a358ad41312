"""The operations that players send, over real owners and stores."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
import redis.asyncio as redis_asyncio

from api.realtime.listening import NO_POOL, ListeningOperations, stored_ports
from api.realtime.operations import Operations
from api.realtime.protocol import Call, Encoding, ErrorMessage
from api.realtime.session import ClientSession, ConnectionState
from messages.users import Role
from tests.integration.rewards_support import POOL, World, open_world
from tests.unit.listening_player import ARTIST, SONG, USER

ADD_USER = """
insert into users.users (user_id, username, username_key, email, email_key, password_hash, points,
    time_zone, locale, created_at_ms)
values ($1, 'mira', 'mira', 'm@example.org', 'm@example.org', 'x', 600, 'Asia/Kathmandu', 'en',
    1)"""
ADD_ARTIST = """
insert into music.artists (artist_id, user_id, name, created_at_ms) values ($1, $2, 'Mira', 1)"""
ADD_SONG = """
insert into music.songs (song_id, artist_id, title, duration_ms, audio_sha256, audio_bytes,
    object_name, content_type, codec, sample_rate, channels, published_at_ms)
values ($1, $2, 'Song', 60000, decode(repeat('00', 32), 'hex'), 1, 'o', 'audio/flac', 'flac',
    44100, 2, 1)"""


class Who(msgspec.Struct):
    """The subject of a token."""

    user_id: str
    roles: tuple[Role, ...] = (Role.USER,)
    expires_at_ms: int = 2**53
    session_id: str = "a-session"


class Player:
    """A connection whose calls go through the door's registry."""

    def __init__(self, operations: Operations, clock: Callable[[], int], user: str | None) -> None:
        self.operations = operations
        self.state = ConnectionState(str(uuid.uuid4()), clock)
        self.state.subject = Who(user) if user else None

    async def call(self, name: str, params: dict[str, Any], key: str | None = None) -> Any:
        """The data of the result, or the code of the error."""
        op, call_id = f"listening.{name}", str(uuid.uuid4())
        session = ClientSession(
            self.state, call_id=call_id, operation=op, request_id=call_id, client_key=key
        )
        call = Call(call_id, op, msgspec.Raw(msgspec.json.encode(params)), key)
        answer = await self.operations.run(session, call, Encoding.JSON)
        if isinstance(answer, ErrorMessage):
            self.error = answer
            return answer.code
        return msgspec.to_builtins(answer.data)


@pytest.fixture
async def world(
    database_url: str, redis_client: redis_asyncio.Redis, redis_server: str
) -> AsyncIterator[World]:
    async with open_world(database_url, redis_server) as opened:
        await opened.pool.execute(ADD_USER, USER)
        await opened.pool.execute(ADD_ARTIST, ARTIST, USER)
        await opened.pool.execute(ADD_SONG, SONG, ARTIST)
        yield opened


Connect = Callable[..., Player]


@pytest.fixture
def connect(world: World) -> Connect:
    operations = Operations()
    ports = stored_ports(world.pool, world.handles["listening"], b"s" * 32)
    ListeningOperations(ports).register(operations)
    return lambda user=USER: Player(operations, world.clock, user)


START = {"song_id": SONG, "device_id": "phone"}


async def test_a_player_can_go_through_a_whole_session(world: World, connect: Connect) -> None:
    await world.open_pool()
    player = connect()
    shown = await player.call("start", START)
    named = {"session_id": shown["session_id"], "device_id": "phone"}
    assert (shown["phase"], shown["playing"], shown["ended_at_ms"]) == ("active", True, None)
    assert shown["ticket"]["due_in_ms"] == 10_000
    row = await world.pool.fetchrow("select * from listening.sessions")
    assert row is not None
    assert (str(row["artist_id"]), str(row["pool_id"])) == (ARTIST, POOL)

    world.now_ms += 4_000
    beat = {**named, "index": 0, "nonce": shown["ticket"]["nonce"], "position_ms": 10_000}
    assert await player.call("beat", beat) == "beat-too-early"
    assert player.error.retry_after_ms == 6_000
    world.now_ms += 6_000
    shown = await player.call("beat", beat)
    assert (shown["played_ms"], shown["ticket"]["index"]) == (10_000, 1)
    assert len(bytes.fromhex(shown["ticket"]["nonce"])) == 31
    assert await connect().call("beat", beat) == shown

    assert (await player.call("pause", named))["playing"] is False
    assert (await player.call("resume", named))["playing"] is True
    await player.call("seek", {**named, "position_ms": 30_000})
    assert (await connect().call("state", named))["position_ms"] == 30_000
    shown = await player.call("end", named)
    assert (shown["phase"], shown["ticket"]) == ("rejected", None)
    assert shown["ended_at_ms"] == world.now_ms


async def test_a_start_sent_again_under_its_key_starts_nothing_new(connect: Connect) -> None:
    first = await connect().call("start", START, "start-0001")
    assert await connect().call("start", START, "start-0001") == first
    other = await connect().call("start", START, "start-0002")
    assert other["session_id"] != first["session_id"]
    assert other["ticket"]["nonce"] != first["ticket"]["nonce"]


async def test_a_session_takes_the_facts_of_its_listener_and_song(
    world: World, connect: Connect
) -> None:
    await connect().call("start", START)
    [opened] = await world.pool.fetch("select events from runtime.journal where kind = 'listening'")
    for fact in (b"premium", b"Asia/Kathmandu", NO_POOL.encode(), SONG.encode()):
        assert fact in opened["events"]


async def test_a_session_of_another_device_or_user_is_not_found(connect: Connect) -> None:
    shown = await connect().call("start", START)
    named = {"session_id": shown["session_id"], "device_id": "phone"}
    not_found = "listening-session-not-found"
    assert await connect().call("state", {**named, "device_id": "laptop"}) == not_found
    assert await connect(str(uuid.uuid4())).call("state", named) == not_found


NAMED = {"session_id": str(uuid.uuid4()), "device_id": "phone"}
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("start", {}, "params-invalid"),
    ("start", {"device_id": "phone"}, "params-invalid"),
    ("start", {**START, "device_id": ""}, "params-invalid"),
    ("start", {**START, "device_id": "a:b"}, "params-invalid"),
    ("start", {**START, "device_id": "x" * 65}, "params-invalid"),
    ("start", {**START, "device_id": "phone\n"}, "params-invalid"),
    ("start", {**START, "device_id": 7}, "params-invalid"),
    ("start", {**START, "pool_id": POOL}, "params-invalid"),
    ("start", {**START, "song_id": str(uuid.uuid4())}, "song-not-found"),
    ("start", {**START, "song_id": "'; drop table"}, "song-not-found"),
    ("start", {**START, "song_id": "x" * 65}, "params-invalid"),
    ("beat", NAMED, "params-invalid"),
    ("beat", {**NAMED, "index": 0, "nonce": "zz", "position_ms": 0}, "params-invalid"),
    ("beat", {**NAMED, "index": 0, "nonce": "00" * 32, "position_ms": 0}, "params-invalid"),
    ("beat", {**NAMED, "index": 1.5, "nonce": "", "position_ms": 0}, "params-invalid"),
    ("beat", {**NAMED, "index": -1, "nonce": "", "position_ms": 0}, "params-invalid"),
    ("beat", {**NAMED, "index": 2**70, "nonce": "", "position_ms": 0}, "params-invalid"),
    ("beat", {**NAMED, "index": 0, "nonce": "", "position_ms": 0}, "listening-session-not-found"),
    ("seek", {**NAMED, "position_ms": -1}, "params-invalid"),
    ("seek", {**NAMED, "position_ms": "5"}, "params-invalid"),
    ("pause", {**NAMED, "more": 1}, "params-invalid"),
    ("state", {"session_id": None, "device_id": "phone"}, "params-invalid"),
    ("end", NAMED, "listening-session-not-found"),
]


@pytest.mark.parametrize(("name", "params", "code"), BAD)
async def test_bad_parameters_are_refused_and_change_nothing(
    world: World, connect: Connect, name: str, params: dict[str, Any], code: str
) -> None:
    assert await connect().call(name, params) == code
    assert await world.pool.fetchval("select count(*) from runtime.journal") == 0


async def test_nobody_listens_without_signing_in(connect: Connect) -> None:
    stranger = connect(None)
    seek = {**NAMED, "position_ms": 0}
    calls: dict[str, dict[str, Any]] = {
        "start": START,
        "beat": {**seek, "index": 0, "nonce": ""},
        "seek": seek,
    }
    calls |= dict.fromkeys(("pause", "resume", "end", "state"), NAMED)
    names = [operation.name.removeprefix("listening.") for operation in stranger.operations]
    assert sorted(calls) == sorted(names)
    for name, params in calls.items():
        assert await stranger.call(name, params) == "unauthenticated"


async def test_a_user_who_is_gone_cannot_start(connect: Connect) -> None:
    assert await connect(str(uuid.uuid4())).call("start", START) == "user-not-found"
