"""The broker on Redis Streams (or Valkey). An entry's id is its event's position."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError

from bus.stream import Entry, GroupMissingError
from messages.bus import START, Position, parse_position
from messages.envelope import Event
from messages.errors import Unavailable

STREAM_KEY = "vs:stream:"
DEAD_KEY = "vs:dead"
DEAD_LIMIT = 10_000
EVENT_FIELD = b"e"
PREVIOUS_FIELD = b"p"
ANSWER_SECONDS = 10.0
MAX_TRIM = 100_000
NONE_KNOWN: Mapping[bytes, Position] = {}

_TOP = """
local function top(key)
  if redis.call('EXISTS', key) == 0 then return '0-0' end
  local info = redis.call('XINFO', 'STREAM', key)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then return info[i + 1] end
  end
end
"""
TOP = _TOP + "return top(KEYS[1])"
# ARGV: the top it must have, then id and event in turn. Each entry names the one before it.
PUBLISH = (
    _TOP
    + """
local previous = top(KEYS[1])
if previous ~= ARGV[1] then return previous end
for i = 2, #ARGV, 2 do
  redis.call('XADD', KEYS[1], ARGV[i], 'p', previous, 'e', ARGV[i + 1])
  previous = ARGV[i]
end
return previous"""
)
# ARGV: the top it must have, the position to start at. A group makes the stream exist while empty.
BEGIN = (
    _TOP
    + """
local last = top(KEYS[1])
if last ~= ARGV[1] then return last end
if last ~= '0-0' then redis.call('DEL', KEYS[1]) end
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('XGROUP', 'CREATE', KEYS[1], '_', '0-0', 'MKSTREAM')
  redis.call('XGROUP', 'DESTROY', KEYS[1], '_')
end
redis.call('XSETID', KEYS[1], ARGV[2])
return ARGV[2]"""
)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Event).decode


def stream_key(stream: str) -> str:
    """The Redis key of a stream."""
    return STREAM_KEY + stream


class RedisStream:
    """The broker at a URL. Connects when first used; needs a loop."""

    def __init__(self, url: str, credentials: CredentialProvider | None = None) -> None:
        """credentials: of each connection, if the URL has none."""
        # redis-py's defaults break blocking reads (a socket timeout of 5 s) and repeat a command
        # whose outcome is unknown (10 times). Here nothing is repeated below the caller, who knows
        # what may be, and a dead peer is found by keepalive and by a time limit around each call.
        self._redis = redis.Redis.from_url(
            url,
            credential_provider=credentials,
            protocol=2,
            socket_timeout=None,
            socket_connect_timeout=5,
            socket_keepalive=True,
            socket_keepalive_options=_keepalive(),
            retry=Retry(NoBackoff(), 0),
            retry_on_error=[],
        )
        # Raw answers: the client's own parsing differs between its versions and costs more.
        self._redis.response_callbacks.clear()

    async def top(self, stream: str) -> Position:
        """See bus.stream."""
        return _position(await self._call("EVAL", TOP, 1, stream_key(stream)))

    async def publish(self, stream: str, top: Position, events: Sequence[Event]) -> Position:
        """See bus.stream. One script call: it is all there or not at all."""
        arguments: list[str | bytes] = [str(top)]
        for event in events:
            arguments += (event.position, _encode(event))
        return _position(await self._call("EVAL", PUBLISH, 1, stream_key(stream), *arguments))

    async def begin(self, stream: str, top: Position, start: Position) -> Position:
        """See bus.stream."""
        key = stream_key(stream)
        return _position(await self._call("EVAL", BEGIN, 1, key, str(top), str(start)))

    async def open_group(self, stream: str, group: str, start: Position) -> None:
        """See bus.stream."""
        try:
            key = stream_key(stream)
            await self._call("XGROUP", "CREATE", key, group, str(start), "MKSTREAM")
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def claim(self, stream: str, group: str, consumer: str, limit: int) -> list[Entry]:
        """See bus.stream. The caller holds the group's lease, so whoever had them is gone."""
        start: str | bytes = "0-0"
        while True:
            # fmt: off
            start, entries, *_ = await self._group_call(
                "XAUTOCLAIM", stream_key(stream), group, consumer, 0, start, "COUNT", limit)
            # fmt: on
            if entries or _position(start) == START:
                return [to_entry(*item) for item in entries]

    async def read(
        self, stream: str, group: str, consumer: str, limit: int, block_ms: int
    ) -> list[Entry]:
        """See bus.stream."""
        # fmt: off
        answer = await self._group_call(
            "XREADGROUP", "GROUP", group, consumer, "COUNT", limit, "BLOCK", block_ms,
            "STREAMS", stream_key(stream), ">", seconds=ANSWER_SECONDS + block_ms / 1000)
        # fmt: on
        return [to_entry(*item) for _, entries in answer or () for item in entries]

    async def tail(
        self, after: Mapping[str, Position], limit: int, block_ms: int
    ) -> dict[str, list[Entry]]:
        """What streams hold after a position each, without a group. Waits if there is nothing."""
        keys = {stream_key(stream).encode(): stream for stream in after}
        # fmt: off
        answer = await self._call(
            "XREAD", "COUNT", limit, "BLOCK", block_ms, "STREAMS",
            *keys, *map(str, after.values()), seconds=ANSWER_SECONDS + block_ms / 1000)
        # fmt: on
        return {keys[key]: to_entries(entries) for key, entries in answer or ()}

    async def acknowledge(self, stream: str, group: str, positions: Sequence[Position]) -> None:
        """See bus.stream."""
        if positions:
            ids = [str(position) for position in positions]
            await self._call("XACK", stream_key(stream), group, *ids)

    async def retire(self, stream: str, group: str, consumer: str) -> None:
        """See bus.stream."""
        key = stream_key(stream)
        for found in await self._group_call("XINFO", "CONSUMERS", key, group):
            info = _fields(found)
            name = bytes(info[b"name"]).decode()
            if name != consumer and info[b"pending"] == 0:
                await self._group_call("XGROUP", "DELCONSUMER", key, group, name)

    async def length(self, stream: str) -> int:
        """See bus.stream."""
        return int(await self._call("XLEN", stream_key(stream)))

    async def trim_below(self, stream: str, position: Position) -> int:
        """See bus.stream. Whole nodes of about 100 entries go, which is cheap."""
        key = stream_key(stream)
        return int(await self._call("XTRIM", key, "MINID", "~", str(position), "LIMIT", MAX_TRIM))

    async def trim_to(self, stream: str, limit: int) -> int:
        """See bus.stream."""
        key = stream_key(stream)
        return int(await self._call("XTRIM", key, "MAXLEN", "~", limit, "LIMIT", MAX_TRIM))

    async def mirror_dead(self, group: str, event: Event, error: str) -> None:
        """See bus.stream."""
        # fmt: off
        await self._call(
            "XADD", DEAD_KEY, "MAXLEN", "~", DEAD_LIMIT, "*",
            "group", group, "error", error[:500], EVENT_FIELD, _encode(event))
        # fmt: on

    async def close(self) -> None:
        """See bus.stream."""
        await self._redis.aclose()

    async def _group_call(self, *command: Any, seconds: float = ANSWER_SECONDS) -> Any:
        try:
            return await self._call(*command, seconds=seconds)
        except ResponseError as error:
            # UNBLOCKED: the stream was deleted under a blocked reader.
            if str(error).startswith(("NOGROUP", "UNBLOCKED", "ERR no such key", "no such key")):
                raise GroupMissingError(str(error)) from error
            raise

    async def _call(self, *command: Any, seconds: float = ANSWER_SECONDS) -> Any:
        async with _reachable(), asyncio.timeout(seconds):
            return await self._redis.execute_command(*command)  # type: ignore[no-untyped-call]


@contextlib.asynccontextmanager
async def _reachable() -> AsyncIterator[None]:
    try:
        yield
    except ResponseError as error:
        if isinstance(error, (OutOfMemoryError, ReadOnlyError)):
            raise Unavailable(f"Redis: {error!r}") from error
        raise
    except (RedisError, OSError) as error:
        raise Unavailable(f"Redis: {error!r}") from error


def to_entries(items: Sequence[Any]) -> list[Entry]:
    """Entries in order. Most name the one before them, whose position is known then."""
    entries: list[Entry] = []
    last_id, last = b"", START
    for entry_id, fields in items:
        entry = to_entry(entry_id, fields, {last_id: last})
        entries.append(entry)
        last_id, last = entry_id, entry.position
    return entries


def to_entry(entry_id: bytes, fields: Any, known: Mapping[bytes, Position] = NONE_KNOWN) -> Entry:
    """An entry of the stream; one deleted meanwhile, or foreign, has no event.

    known: positions that were read before, by their text.
    """
    position = _position(entry_id)
    values = _fields(fields or ())
    try:
        event = _decode(values[EVENT_FIELD])
        named = values.get(PREVIOUS_FIELD, b"")
        previous = known.get(named) or _position(named)
    except (KeyError, ValueError, msgspec.DecodeError):
        return Entry(position, START, None)
    if event.position.encode() != entry_id:
        event = msgspec.structs.replace(event, position=str(position))
    return Entry(position, previous, event)


def _position(raw: bytes | str) -> Position:
    return parse_position(raw.decode() if isinstance(raw, bytes) else raw)


def _fields(pairs: Any) -> dict[bytes, Any]:
    if isinstance(pairs, dict):
        return pairs
    items = iter(pairs)
    return dict(zip(items, items, strict=True))


def _keepalive() -> dict[int, int]:
    """A peer that vanished without a word is noticed within about 10 s."""
    wanted = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}
    return {
        int(getattr(socket, name)): value for name, value in wanted.items() if hasattr(socket, name)
    }
