"""The read models of drops: terms and supply, purchases, tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from messages.drops.drops import (
    DropActivated,
    DropCancelled,
    DropCompleted,
    DropDrafted,
    DropEvent,
    DropPaused,
    DropStatus,
    DropView,
    SupplyChanged,
    TokensPurchased,
    TokensReturned,
)
from storage.database import Connection, Pool
from storage.rows import execute_rows

ADD_DROPS = """
insert into drops.drops
    (drop_id, artist_user_id, song_id, name, status, currency, price_minor, supply, cap, days,
     drafted_at_ms)
select d.drop_id, d.artist_user_id, d.song_id, d.name, 'draft', d.currency, d.price_minor,
    d.supply, d.cap, d.days, d.at_ms
from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::bigint[],
            $7::integer[], $8::integer[], $9::integer[], $10::bigint[])
    as d (drop_id, artist_user_id, song_id, name, currency, price_minor, supply, cap, days,
          at_ms)"""
SET_DROPS = """
update drops.drops d
set status = coalesce(c.status, d.status),
    ends_at_ms = coalesce(c.ends_at_ms, d.ends_at_ms),
    reserved = coalesce(c.reserved, d.reserved),
    minted = coalesce(c.minted, d.minted),
    burned = coalesce(c.burned, d.burned)
from unnest($1::uuid[], $2::text[], $3::bigint[], $4::integer[], $5::integer[], $6::integer[])
    as c (drop_id, status, ends_at_ms, reserved, minted, burned)
where d.drop_id = c.drop_id"""
ADD_PURCHASES = """
insert into drops.purchases
    (reservation_id, drop_id, buyer_id, count, first_token, currency, paid_minor, fee_minor,
     purchased_at_ms)
select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::integer[], $5::integer[], $6::text[],
    $7::bigint[], $8::bigint[], $9::bigint[])"""
ADD_TOKENS = """
insert into drops.tokens (drop_id, token, owner_id, reservation_id, minted_at_ms)
select p.drop_id, p.first_token + n, p.buyer_id, p.reservation_id, p.at_ms
from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::integer[], $5::integer[], $6::bigint[])
    as p (reservation_id, drop_id, buyer_id, count, first_token, at_ms),
    generate_series(0, p.count - 1) as n"""
RETURN_PURCHASES = """
update drops.purchases p set returned_at_ms = r.at_ms, reason = r.reason
from unnest($1::uuid[], $2::text[], $3::bigint[]) as r (reservation_id, reason, at_ms)
where p.reservation_id = r.reservation_id"""
BURN_TOKENS = """
update drops.tokens t set burned_at_ms = r.at_ms
from unnest($1::uuid[], $2::bigint[]) as r (reservation_id, at_ms)
where t.reservation_id = r.reservation_id"""

_COLUMNS = """
    drop_id::text, artist_user_id::text, song_id::text, name, status, currency, price_minor,
    supply, cap, days, reserved, minted, burned, supply - reserved - minted as left, ends_at_ms,
    drafted_at_ms"""
GET_DROP = f"select {_COLUMNS} from drops.drops where drop_id = $1"  # noqa: S608 - constants
NEWEST = f"""
select {_COLUMNS} from drops.drops
where (drafted_at_ms, drop_id) < ($1, $2) and ($4::text is null or status = $4)
    and ($5::uuid is null or song_id = $5) and ($6::uuid is null or artist_user_id = $6)
order by drafted_at_ms desc, drop_id desc limit $3"""  # noqa: S608 - constants
TOKENS_OF = """
select t.drop_id::text, t.token, d.name, d.song_id::text, t.reservation_id::text, t.minted_at_ms
from drops.tokens t join drops.drops d using (drop_id)
where t.owner_id = $1 and t.burned_at_ms is null
    and (t.minted_at_ms, t.drop_id, t.token) < ($2, $3, $4)
order by t.minted_at_ms desc, t.drop_id desc, t.token desc limit $5"""


class TokenRow(msgspec.Struct, frozen=True):
    """A token that is somebody's."""

    drop_id: str
    token: int
    name: str
    song_id: str
    reservation_id: str
    minted_at_ms: int


@dataclass
class _Change:
    """What a batch leaves of a drop; None: as it was."""

    status: str | None = None
    ends_at_ms: int | None = None
    reserved: int | None = None
    minted: int | None = None
    burned: int | None = None


async def write(connection: Connection, events: Sequence[DropEvent]) -> None:
    """Bring the read models up to a batch of facts."""
    drafted = [_drafted(e) for e in events if isinstance(e, DropDrafted)]
    await execute_rows(connection, ADD_DROPS, drafted)
    changes: dict[str, _Change] = {}
    for event in events:
        _note(changes, event)
    changed = [
        (drop_id, c.status, c.ends_at_ms, c.reserved, c.minted, c.burned)
        for drop_id, c in changes.items()
    ]
    await execute_rows(connection, SET_DROPS, changed)
    bought = [e for e in events if isinstance(e, TokensPurchased)]
    await execute_rows(connection, ADD_PURCHASES, [_purchased(e) for e in bought])
    await execute_rows(connection, ADD_TOKENS, [_minted(e) for e in bought])
    back = [e for e in events if isinstance(e, TokensReturned)]
    returned = [(e.reservation_id, e.reason, e.at_ms) for e in back]
    await execute_rows(connection, RETURN_PURCHASES, returned)
    await execute_rows(connection, BURN_TOKENS, [(e.reservation_id, e.at_ms) for e in back])


async def get_drop(pool: Pool, drop_id: str) -> DropView | None:
    """A drop, if there is one."""
    row = await pool.fetchrow(GET_DROP, drop_id)
    return None if row is None else _row(row)


async def newest(
    pool: Pool,
    before: tuple[int, str],
    limit: int,
    status: str | None = None,
    song_id: str | None = None,
    artist_user_id: str | None = None,
) -> list[DropView]:
    """Drops drafted before a cursor, newest first; of a status, a song, an artist if given."""
    rows = await pool.fetch(NEWEST, *before, limit, status, song_id, artist_user_id)
    return [_row(row) for row in rows]


async def tokens_of(
    pool: Pool, owner_id: str, before: tuple[int, str, int], limit: int
) -> list[TokenRow]:
    """A user's tokens before a cursor (minted at ms, drop, token), the newest first."""
    return [TokenRow(**row) for row in await pool.fetch(TOKENS_OF, owner_id, *before, limit)]


def _row(row: object) -> DropView:
    return msgspec.convert(dict(row), DropView)  # type: ignore[call-overload]


def _drafted(e: DropDrafted) -> tuple[object, ...]:
    return (
        e.drop_id, e.artist_user_id, e.song_id, e.name, e.currency, e.price_minor, e.supply, e.cap,
        e.days, e.at_ms,
    )  # fmt: skip


def _purchased(e: TokensPurchased) -> tuple[object, ...]:
    return (
        e.reservation_id, e.drop_id, e.buyer_id, e.count, e.first_token, e.currency, e.paid_minor,
        e.fee_minor, e.at_ms,
    )  # fmt: skip


def _minted(e: TokensPurchased) -> tuple[object, ...]:
    return e.reservation_id, e.drop_id, e.buyer_id, e.count, e.first_token, e.at_ms


def _note(changes: dict[str, _Change], event: DropEvent) -> None:
    """What a fact leaves of its drop; nothing is kept of the others."""
    if not isinstance(event, _NOTED):
        return
    change = changes.setdefault(event.drop_id, _Change())
    match event:
        case DropActivated():
            change.status, change.ends_at_ms = DropStatus.ACTIVE.value, event.ends_at_ms
        case DropPaused():
            change.status = DropStatus.PAUSED.value
        case DropCompleted():
            change.status = DropStatus.COMPLETED.value
        case DropCancelled():
            change.status = DropStatus.CANCELLED.value
        case SupplyChanged():
            change.reserved, change.minted = event.reserved, event.minted
            change.burned = event.burned


_NOTED = (DropActivated, DropPaused, DropCompleted, DropCancelled, SupplyChanged)
