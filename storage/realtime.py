"""What realtime listeners missed, read from the outbox."""

from __future__ import annotations

from collections.abc import Mapping

from messages.bus import START, Position
from messages.envelope import Event
from storage import outbox
from storage.database import Pool

REPLAY = """
select o.stream, o.xid, o.id, o.event_id::text as event_id, o.type, o.entity_id, o.sequence,
       o.at_ms, o.channels, o.body
from bus.outbox o
join unnest($2::text[], $3::bigint[], $4::bigint[]) as c (stream, xid, id)
  on o.stream = c.stream and (o.xid, o.id) > (c.xid, c.id)
where o.channels @> array[$1::text] and o.xid >= $5
  and o.xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
order by o.xid, o.id limit $6"""
# Whether every event above the positions is there: none was purged, and the positions are of this
# database's past (a listener may come with one of another database, from before a restore).
IS_WHOLE = """
select not exists (
    select from unnest($1::text[], $2::bigint[], $3::bigint[]) as c (stream, xid, id)
    left join bus.purged p on p.stream = c.stream
    where (p.xid, p.id) > (c.xid, c.id)
       or c.xid >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint)"""
# Settled only: below a row that is not, another may still appear.
NEWEST = """
select xid, id from bus.outbox
where stream = $1 and xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
order by xid desc, id desc limit 1"""


class RealtimeStore:
    """The outbox as the realtime door needs it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def replay(
        self, channel: str, after: Mapping[str, Position], limit: int
    ) -> list[Event] | None:
        """The channel's settled events of the given streams above the given positions, in order.

        At most `limit` + 1. None if some were purged, or a position is not of this database.
        """
        assert after, "there is a stream to read"
        streams, positions = list(after), list(after.values())
        xids, ids = [p.xid for p in positions], [p.id for p in positions]
        rows = await self._pool.fetch(REPLAY, channel, streams, xids, ids, min(xids), limit + 1)
        # Asked after the rows were read: what is whole now was whole then.
        if not await self._pool.fetchval(IS_WHOLE, streams, xids, ids):
            return None
        return [outbox.event_of(tuple(row)) for row in rows]

    async def newest(self, stream: str) -> Position:
        """The last settled position of the stream; START if it has no events."""
        row = await self._pool.fetchrow(NEWEST, stream)
        return Position(*row) if row else START

    async def has_reached(self, position: Position) -> bool:
        """Whether this database could have written the position."""
        return position.xid < await outbox.next_xid(self._pool)

    async def read(self, stream: str, after: Position, limit: int) -> list[Event]:
        """The stream's next settled events."""
        return await outbox.read_settled(self._pool, stream, str(after), limit)
