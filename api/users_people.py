"""Public profiles, and one's own."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from api.auth import Member, public
from api.inputs import Input
from api.openapi import problems
from api.services import ServicesDep
from domain import users_people as domain
from domain.users import tier_of
from messages.listening import Tier
from messages.users import UserNotFound
from messages.users_people import NotActive, ProfileUpdated
from storage import audit, users_activity, users_events
from storage import users_people as storage
from storage.database import Connection

router = APIRouter(prefix="/api/v1/users", tags=["users"])

MAX_TEXT = 4_096  # of a field, before its rule is asked

Text = Annotated[str | None, Field(max_length=MAX_TEXT)]
Username = Annotated[str, Path(max_length=64, description="In any case.")]


class ArtistLink(BaseModel):
    """The artist profile of a user."""

    artist_id: UUID
    name: str


class Profile(BaseModel):
    """What anyone may see of a user."""

    user_id: UUID
    username: str
    display_name: str | None
    bio: str | None
    avatar_url: str | None
    links: list[str]
    tier: Tier
    reputation_hundredths: int = Field(description="0 to 10,000: hundredths of 0 to 100.")
    followers: int
    following: int
    artist: ArtistLink | None
    created_at_ms: int = Field(description="Epoch milliseconds.")


class EditProfile(Input):
    """What is named changes; null removes it."""

    display_name: Text = Field(None, description="1 to 50 visible characters.")
    bio: Text = Field(None, description="1 to 500 visible characters, several lines.")
    avatar_url: Text = Field(None, description="An https address.")
    links: Annotated[list[Annotated[str, Field(max_length=MAX_TEXT)]], Field(max_length=20)] = (
        Field(default_factory=list, description="At most five https addresses.")
    )


@router.get("/me/profile", responses=problems(401, 403, 404))
async def get_own_profile(subject: Member, services: ServicesDep) -> Profile:
    """One's own profile as others see it."""
    return await _view(services, await storage.profile_of_id(services.pool, subject.user_id))


@router.patch("/me/profile", responses=problems(401, 403, 404))
async def edit_profile(body: EditProfile, subject: Member, services: ServicesDep) -> Profile:
    """Change one's own profile. Sent again it changes nothing more."""
    wanted = _checked(body)
    at_ms = services.clock()
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, subject.user_id)
        await check_active(connection, subject.user_id)
        before = await storage.profile_of_id(connection, subject.user_id)
        assert before is not None, "an active user"
        changed = [name for name, value in wanted.items() if getattr(before, name) != value]
        if changed:
            after = msgspec.structs.replace(before, **wanted)
            await storage.set_profile(connection, after, at_ms)
            fact = ProfileUpdated(subject.user_id, tuple(sorted(changed)), at_ms)
            await users_events.tell(connection, subject.user_id, [fact], at_ms)
            await audit.record(
                connection,
                "profile.updated",
                actor=subject.user_id,
                subject=f"user:{subject.user_id}",
                at_ms=at_ms,
                detail={"changed": " ".join(fact.changed)},
            )
    return await _view(services, await storage.profile_of_id(services.pool, subject.user_id))


@router.get("/{username}", responses=problems(404))
@public
async def get_profile(username: Username, services: ServicesDep) -> Profile:
    """A user's public profile. Accounts that are not active are not shown."""
    return await _view(services, await find_profile(services.pool, username))


async def find_profile(connection: Any, username: str) -> storage.Profile:
    """The profile of a name. Raises UserNotFound."""
    found = await storage.profile_of_name(connection, username.replace("\x00", " "))
    if found is None:
        raise UserNotFound
    return found


async def check_active(connection: Connection, user_id: str) -> None:
    """Whoever changes something is active. Raises UserNotFound or NotActive."""
    status = await storage.status_of(connection, user_id)
    if status is None:
        raise UserNotFound
    if status != "active":
        raise NotActive


def _checked(body: EditProfile) -> dict[str, Any]:
    """The named fields in normal form. Raises the Invalid leaf of the first bad one."""
    checks: dict[str, Any] = {
        "display_name": domain.clean_display_name,
        "bio": domain.clean_bio,
        "avatar_url": domain.check_link,
        "links": domain.check_links,
    }
    named = {name: getattr(body, name) for name in checks if name in body.model_fields_set}
    return {name: None if raw is None else checks[name](raw) for name, raw in named.items()}


async def _view(services: Any, found: storage.Profile | None) -> Profile:
    if found is None:
        raise UserNotFound
    fields = msgspec.structs.asdict(found)
    artist_id, name = fields.pop("artist_id"), fields.pop("artist_name")
    stats = await users_activity.stats_of(services.pool, found.user_id)
    return Profile(
        **fields,
        tier=tier_of(found.points),
        reputation_hundredths=domain.hundredths(domain.reputation(stats)),
        artist=ArtistLink(artist_id=artist_id, name=name) if artist_id else None,
    )
