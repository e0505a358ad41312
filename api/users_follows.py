"""Follow users and artists, see who follows whom, block a user."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.auth import Member, public
from api.openapi import problems
from api.pagination import DEFAULT_LIMIT, CursorQuery, LimitQuery, Page, page, place_of
from api.services import Services, ServicesDep
from api.users_people import Username, check_active, find_profile
from domain.users_people import POLICY
from messages.music import ArtistNotFound
from messages.users import UserNotFound
from messages.users_people import (
    BlockLimit,
    FollowKind,
    FollowLimit,
    FollowRefused,
    SelfTarget,
    UserFollowed,
    UserUnfollowed,
)
from storage import music as music_storage
from storage import users_events
from storage import users_follows as storage
from storage import users_people as people_storage
from storage.database import Connection

router = APIRouter(prefix="/api/v1", tags=["users"])


class FollowState(BaseModel):
    """Whether the caller follows somebody, and how many do."""

    following: bool
    since_ms: int | None = Field(description="Epoch milliseconds.")
    followers: int


class Follower(BaseModel):
    """A user who follows."""

    user_id: UUID
    username: str
    display_name: str | None
    since_ms: int = Field(description="Epoch milliseconds.")


class Followed(BaseModel):
    """Whom a user follows."""

    kind: FollowKind
    id: UUID
    name: str = Field(description="A username, or an artist's name.")
    display_name: str | None
    since_ms: int = Field(description="Epoch milliseconds.")


class Blocked(BaseModel):
    """A user whom the caller blocks."""

    user_id: UUID
    username: str
    since_ms: int = Field(description="Epoch milliseconds.")


@router.put("/users/me/following/users/{user_id}", responses=problems(401, 403, 404, 409))
async def follow_user(user_id: UUID, subject: Member, services: ServicesDep) -> FollowState:
    """Follow a user. Again changes nothing. Refused if either blocks the other."""
    return await _follow(services, subject.user_id, FollowKind.USER, str(user_id))


@router.delete("/users/me/following/users/{user_id}", responses=problems(401, 403, 404, 409))
async def unfollow_user(user_id: UUID, subject: Member, services: ServicesDep) -> FollowState:
    """Follow a user no longer. Again changes nothing."""
    return await _unfollow(services, subject.user_id, FollowKind.USER, str(user_id))


@router.put("/users/me/following/artists/{artist_id}", responses=problems(401, 403, 404, 409))
async def follow_artist(artist_id: UUID, subject: Member, services: ServicesDep) -> FollowState:
    """Follow an artist. Again changes nothing."""
    return await _follow(services, subject.user_id, FollowKind.ARTIST, str(artist_id))


@router.delete("/users/me/following/artists/{artist_id}", responses=problems(401, 403, 404, 409))
async def unfollow_artist(artist_id: UUID, subject: Member, services: ServicesDep) -> FollowState:
    """Follow an artist no longer. Again changes nothing."""
    return await _unfollow(services, subject.user_id, FollowKind.ARTIST, str(artist_id))


@router.get("/users/{username}/followers", responses=problems(404))
@public
async def list_followers(
    username: Username,
    services: ServicesDep,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[Follower]:
    """Who follows a user, newest first."""
    user = await find_profile(services.pool, username)
    return await _followers(services, FollowKind.USER, user.user_id, cursor, limit)


@router.get("/users/{username}/following", responses=problems(404))
@public
async def list_following(
    username: Username,
    services: ServicesDep,
    kind: Annotated[FollowKind | None, Query(description="Only of this kind.")] = None,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[Followed]:
    """Whom a user follows, newest first."""
    before = place_of(cursor)
    user = await find_profile(services.pool, username)
    found = await storage.list_following(services.pool, user.user_id, kind, before, limit + 1)
    return page(found, limit, lambda row: (row.since_ms, row.id), _followed)


@router.get("/artists/{artist_id}/followers", responses=problems(404))
@public
async def list_artist_followers(
    artist_id: UUID,
    services: ServicesDep,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[Follower]:
    """Who follows an artist, newest first."""
    if not await music_storage.artist_exists(services.pool, str(artist_id)):
        raise ArtistNotFound
    return await _followers(services, FollowKind.ARTIST, str(artist_id), cursor, limit)


@router.put("/users/me/blocks/{user_id}", responses=problems(401, 403, 404, 409))
async def block_user(user_id: UUID, subject: Member, services: ServicesDep) -> Blocked:
    """Block a user: neither follows the other any more, or can."""
    blocked, at_ms = str(user_id), services.clock()
    _check_other(subject.user_id, blocked)
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock_all(connection, (subject.user_id, blocked))
        await check_active(connection, subject.user_id)
        if await people_storage.status_of(connection, blocked) is None:
            raise UserNotFound
        if await people_storage.count_blocks(connection, subject.user_id) >= POLICY.max_blocks:
            raise BlockLimit(limit=POLICY.max_blocks)
        await people_storage.block(connection, subject.user_id, blocked, at_ms)
        for follower, target in ((subject.user_id, blocked), (blocked, subject.user_id)):
            await _end(connection, follower, FollowKind.USER, target, at_ms)
        row = await people_storage.get_block(connection, subject.user_id, blocked)
    assert row is not None, "just written"
    return _blocked(row)


@router.delete(
    "/users/me/blocks/{user_id}", status_code=204, responses=problems(401, 403, 404, 409)
)
async def unblock_user(user_id: UUID, subject: Member, services: ServicesDep) -> None:
    """Block a user no longer. Again changes nothing."""
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock_all(connection, (subject.user_id, str(user_id)))
        await check_active(connection, subject.user_id)
        await people_storage.unblock(connection, subject.user_id, str(user_id))


@router.get("/users/me/blocks", responses=problems(401, 403))
async def list_blocks(
    subject: Member,
    services: ServicesDep,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[Blocked]:
    """Whom the caller blocks, newest first."""
    before = place_of(cursor)
    found = await people_storage.list_blocks(services.pool, subject.user_id, before, limit + 1)
    return page(found, limit, lambda row: (row.since_ms, row.user_id), _blocked)


async def _follow(services: Services, follower: str, kind: FollowKind, target: str) -> FollowState:
    at_ms = services.clock()
    if kind is FollowKind.USER:
        _check_other(follower, target)
    async with services.pool.acquire() as connection, connection.transaction():
        await _lock(connection, follower, kind, target)
        await check_active(connection, follower)
        await _check_target(connection, follower, kind, target)
        if await storage.count_following(connection, follower) >= POLICY.max_following:
            raise FollowLimit(limit=POLICY.max_following)
        first = await storage.follow(connection, follower, kind, target, at_ms)
        if first is not None:
            fact = UserFollowed(follower, kind, target, first, at_ms)
            await users_events.tell(connection, follower, [fact], at_ms)
        return _state(await storage.state(connection, follower, kind, target))


async def _unfollow(
    services: Services, follower: str, kind: FollowKind, target: str
) -> FollowState:
    at_ms = services.clock()
    async with services.pool.acquire() as connection, connection.transaction():
        await _lock(connection, follower, kind, target)
        await check_active(connection, follower)
        await _end(connection, follower, kind, target, at_ms)
        return _state(await storage.state(connection, follower, kind, target))


async def _end(
    connection: Connection, follower: str, kind: FollowKind, target: str, at_ms: int
) -> None:
    if await storage.unfollow(connection, follower, kind, target):
        fact = UserUnfollowed(follower, kind, target, at_ms)
        await users_events.tell(connection, follower, [fact], at_ms)


async def _lock(connection: Connection, follower: str, kind: FollowKind, target: str) -> None:
    both = (follower, target) if kind is FollowKind.USER else (follower,)
    await users_events.lock_all(connection, both)


async def _check_target(
    connection: Connection, follower: str, kind: FollowKind, target: str
) -> None:
    """Raises ArtistNotFound, UserNotFound, FollowRefused."""
    if kind is FollowKind.ARTIST:
        if not await music_storage.artist_exists(connection, target):
            raise ArtistNotFound
        return
    if await people_storage.status_of(connection, target) != "active":
        raise UserNotFound
    if await people_storage.is_blocked(connection, follower, target):
        raise FollowRefused


def _check_other(user_id: str, other: str) -> None:
    if user_id == other:
        raise SelfTarget


async def _followers(
    services: Services, kind: FollowKind, target: str, cursor: str | None, limit: int
) -> Page[Follower]:
    before = place_of(cursor)
    found = await storage.list_followers(services.pool, kind, target, before, limit + 1)
    return page(found, limit, lambda row: (row.since_ms, row.id), _follower)


def _state(found: storage.FollowState) -> FollowState:
    return FollowState(
        following=found.since_ms is not None, since_ms=found.since_ms, followers=found.followers
    )


def _follower(row: storage.Followed) -> Follower:
    return Follower(
        user_id=UUID(row.id),
        username=row.name,
        display_name=row.display_name,
        since_ms=row.since_ms,
    )


def _followed(row: storage.Followed) -> Followed:
    return Followed(
        kind=row.kind,
        id=UUID(row.id),
        name=row.name,
        display_name=row.display_name,
        since_ms=row.since_ms,
    )


def _blocked(row: people_storage.Blocked) -> Blocked:
    return Blocked(user_id=UUID(row.user_id), username=row.username, since_ms=row.since_ms)
