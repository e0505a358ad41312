"""Who follows whom, and how many, in PostgreSQL.

The counts are exact because they move in the transaction of each follow, and only if it changed
something. Whoever changes a follow has locked the user who follows and, if it is a user, the one
who is followed (`users_events.lock_all`); rows of counts are then locked in the order of their key.
"""

from __future__ import annotations

import msgspec

from messages.users_people import FollowKind
from storage.database import Connection, Pool
from storage.rows import execute_rows

FOLLOW = """
insert into users.follows as f (follower_id, kind, target_id, following, since_ms)
values ($1, $2, $3, true, $4)
on conflict (follower_id, kind, target_id) do update set following = true, since_ms = $4
where not f.following
returning xmax = 0 as first"""
UNFOLLOW = """
update users.follows set following = false
where follower_id = $1 and kind = $2 and target_id = $3 and following returning true"""
COUNT = """
insert into users.follow_counts as c (kind, id, followers, following)
select * from (
    select * from unnest($1::text[], $2::uuid[], $3::bigint[], $4::bigint[]) as n (kind, id, f, g)
    order by kind collate "C", id) ordered
on conflict (kind, id) do update
set followers = c.followers + excluded.followers, following = c.following + excluded.following"""
DISCOUNT = """
update users.follow_counts c
set followers = c.followers - n.followers, following = c.following - n.following
from (
    select k.kind, k.id, n.followers, n.following
    from unnest($1::text[], $2::uuid[], $3::bigint[], $4::bigint[])
        as n (kind, id, followers, following)
    join users.follow_counts k on k.kind = n.kind and k.id = n.id
    order by k.kind, k.id for update of k) n
where c.kind = n.kind and c.id = n.id"""
STATE = """
select (select since_ms from users.follows
        where follower_id = $1 and kind = $2 and target_id = $3 and following) as since_ms,
       coalesce((select followers from users.follow_counts where kind = $2 and id = $3), 0)
           as followers"""
FOLLOWING = """
select coalesce((select following from users.follow_counts where kind = 'user' and id = $1), 0)"""
LIST_FOLLOWERS = """
select u.user_id::text as id, u.username as name, p.display_name, f.since_ms
from users.follows f join users.users u on u.user_id = f.follower_id
left join users.profiles p on p.user_id = u.user_id
where f.following and f.kind = $1 and f.target_id = $2 and u.status = 'active'
  and (f.since_ms, f.follower_id) < ($3, $4)
order by f.since_ms desc, f.follower_id desc limit $5"""
LIST_FOLLOWING = """
select f.kind, f.target_id::text as id, coalesce(u.username, a.name) as name, p.display_name,
       f.since_ms
from users.follows f
left join users.users u on f.kind = 'user' and u.user_id = f.target_id
left join users.profiles p on p.user_id = u.user_id
left join music.artists a on f.kind = 'artist' and a.artist_id = f.target_id
where f.following and f.follower_id = $1 and (f.kind = 'artist' or u.status = 'active')
  and ($2::text is null or f.kind = $2)
  and (f.since_ms, f.target_id) < ($3, $4)
order by f.since_ms desc, f.target_id desc limit $5"""
# Of a user who is gone: both ways, with what their counterparts have to count down.
FORGET = """
delete from users.follows
where follower_id = $1 or (kind = 'user' and target_id = $1)
returning follower_id::text, kind, target_id::text, following"""
FORGET_COUNTS = "delete from users.follow_counts where kind = 'user' and id = $1"


class FollowState(msgspec.Struct, frozen=True):
    """Whether and since when somebody follows a target, and how many do. None: not."""

    since_ms: int | None
    followers: int


class Followed(msgspec.Struct, frozen=True):
    """A follower, or whom somebody follows."""

    kind: FollowKind
    id: str
    name: str
    display_name: str | None
    since_ms: int


async def follow(
    connection: Connection, follower_id: str, kind: FollowKind, target_id: str, at_ms: int
) -> bool | None:
    """Begin to follow. True: for the first time; None if it was so already."""
    first: bool | None = await connection.fetchval(FOLLOW, follower_id, kind, target_id, at_ms)
    if first is not None:
        await execute_rows(connection, COUNT, _counted(follower_id, kind, target_id))
    return first


async def unfollow(
    connection: Connection, follower_id: str, kind: FollowKind, target_id: str
) -> bool:
    """Follow no longer. False if it was so already."""
    changed = bool(await connection.fetchval(UNFOLLOW, follower_id, kind, target_id))
    if changed:
        await execute_rows(connection, DISCOUNT, _counted(follower_id, kind, target_id))
    return changed


async def state(
    connection: Connection | Pool, follower_id: str, kind: FollowKind, target_id: str
) -> FollowState:
    """How it stands between the two."""
    row = await connection.fetchrow(STATE, follower_id, kind, target_id)
    assert row is not None, "a row of sub-selects"
    return FollowState(**row)


async def count_following(connection: Connection, user_id: str) -> int:
    """How many users and artists a user follows."""
    return int(await connection.fetchval(FOLLOWING, user_id))


async def list_followers(
    connection: Connection | Pool,
    kind: FollowKind,
    target_id: str,
    before: tuple[int, str],
    limit: int,
) -> list[Followed]:
    """Active followers of a user or an artist, newest first."""
    rows = await connection.fetch(LIST_FOLLOWERS, kind, target_id, *before, limit)
    return [Followed(FollowKind.USER, **row) for row in rows]


async def list_following(
    connection: Connection | Pool,
    user_id: str,
    kind: FollowKind | None,
    before: tuple[int, str],
    limit: int,
) -> list[Followed]:
    """Whom a user follows, newest first."""
    rows = await connection.fetch(LIST_FOLLOWING, user_id, kind, *before, limit)
    return [Followed(**{**row, "kind": FollowKind(row["kind"])}) for row in rows]


async def forget(connection: Connection, user_id: str) -> None:
    """Nobody follows or is followed by a user who is gone. The user is locked."""
    rows = await connection.fetch(FORGET, user_id)
    changes: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        if not row["following"]:
            continue
        if row["follower_id"] == user_id:
            changes.setdefault((row["kind"], row["target_id"]), [0, 0])[0] += 1
        else:
            changes.setdefault((FollowKind.USER, row["follower_id"]), [0, 0])[1] += 1
    await execute_rows(connection, DISCOUNT, [(*key, *change) for key, change in changes.items()])
    await connection.execute(FORGET_COUNTS, user_id)


def _counted(
    follower_id: str, kind: FollowKind, target_id: str
) -> list[tuple[FollowKind, str, int, int]]:
    return [(kind, target_id, 1, 0), (FollowKind.USER, follower_id, 0, 1)]
