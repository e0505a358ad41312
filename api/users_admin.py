"""Users for admins: search, see one, change a role, unlock, read the audit trail."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.audit import AuditEntry, show_entry
from api.auth import Auditor, UserManager
from api.inputs import Input
from api.openapi import problems
from api.pagination import (
    CURSOR,
    DEFAULT_LIMIT,
    MAX_CURSOR_CHARS,
    MAX_LIMIT,
    CursorQuery,
    LimitQuery,
    Page,
    page,
    page_below,
    place_of,
    position_of,
)
from api.services import ServicesDep
from api.step_up import check_recent
from api.throttle import forgive
from domain.access import Permission, Reason, permits
from domain.users import tier_of
from domain.users_admin import check_role_change
from domain.users_factors import RECENT_MS, Sensitive
from messages.listening import Tier
from messages.users import PermissionMissing, Role, UserNotFound
from messages.users_people import RoleChanged
from messages.users_sessions import Because
from storage import audit, audit_chain, users_events, users_sessions
from storage import users as users_storage
from storage import users_admin as storage
from storage.database import Connection

router = APIRouter(prefix="/api/v1/admin/users", tags=["admin"])

STATUS = r"^(active|suspended|deactivated|deleted)$"


class UserQuery(BaseModel):
    """Which users to find: all that is given holds."""

    name: str | None = Field(
        None, max_length=30, pattern=r"^[A-Za-z0-9_-]+$", description="What it begins with."
    )
    email: str | None = Field(None, max_length=254, description="The whole address, in any case.")
    status: str | None = Field(None, pattern=STATUS)
    role: Role | None = None
    cursor: str | None = Field(None, max_length=MAX_CURSOR_CHARS, description=CURSOR)
    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Items on the page.")


class UserRow(BaseModel):
    """A user as admins see them."""

    user_id: UUID
    username: str
    email: str | None = Field(description="Null once the account is deleted.")
    role: Role
    status: str
    points: int
    tier: Tier
    time_zone: str
    locale: str
    created_at_ms: int = Field(description="Epoch milliseconds.")


class UserDetail(UserRow):
    """A user, and how many of their sessions go on."""

    sessions: int


class NewRole(Input):
    """The role that a user gets."""

    role: Role


@router.get("", responses=problems(401, 403))
async def search_users(
    subject: UserManager, services: ServicesDep, query: Annotated[UserQuery, Query()]
) -> Page[UserRow]:
    """Users by the beginning of their name, their whole address, status or role, newest first."""
    q = query
    email = None if q.email is None else q.email.replace("\x00", " ")
    wanted = storage.Search(q.name, email, q.status, q.role)
    found = await storage.search(services.pool, wanted, place_of(q.cursor), q.limit + 1)
    return page(found, q.limit, lambda row: (row.created_at_ms, row.user_id), _row)


@router.get("/{user_id}", responses=problems(401, 403, 404))
async def get_user_detail(user_id: UUID, subject: UserManager, services: ServicesDep) -> UserDetail:
    """One user, whatever their status. That an admin looked is in the audit log."""
    at_ms = services.clock()
    async with services.pool.acquire() as connection, connection.transaction():
        found = await storage.get(connection, str(user_id))
        if found is None:
            raise UserNotFound
        sessions = await storage.count_sessions(connection, found.user_id, at_ms)
        await audit.record(
            connection,
            "user.viewed",
            actor=subject.user_id,
            subject=f"user:{found.user_id}",
            at_ms=at_ms,
        )
    return UserDetail(**_row(found).model_dump(), sessions=sessions)


@router.put("/{user_id}/role", responses=problems(401, 403, 404, 409))
async def change_role(
    user_id: UUID, body: NewRole, subject: UserManager, services: ServicesDep
) -> UserRow:
    """Give a user another role; their sessions end. Wants a recent proof of who asks.

    The same role again changes nothing.
    """
    await check_recent(services, subject, RECENT_MS[Sensitive.CHANGE_ROLE])
    at_ms, whom = services.clock(), str(user_id)
    async with services.pool.acquire() as connection, connection.transaction():
        await storage.lock_roles(connection)
        await users_events.lock(connection, whom)
        await _check_still(connection, subject.user_id)
        found = await storage.get(connection, whom)
        if found is None or found.status == "deleted":
            raise UserNotFound
        if found.role is not body.role:
            others = await storage.other_admins(connection, whom)
            check_role_change(found.role, body.role, others)
            await users_storage.set_role(connection, whom, body.role)
            await users_events.tell(connection, whom, [RoleChanged(whom, body.role, at_ms)], at_ms)
            await users_sessions.end_sessions(
                connection, whom, Because.ROLE_CHANGED, at_ms, actor=subject.user_id
            )
            await audit.record(
                connection,
                "user.role-changed",
                actor=subject.user_id,
                subject=f"user:{whom}",
                at_ms=at_ms,
                detail={"was": found.role.value, "role": body.role.value},
            )
    return _row(msgspec.structs.replace(found, role=body.role))


@router.delete("/{user_id}/throttle", status_code=204, responses=problems(401, 403, 404))
async def unlock_user(user_id: UUID, subject: UserManager, services: ServicesDep) -> None:
    """Forget failed attempts at a user's secrets, so that they need not wait for the next one."""
    found = await storage.get(services.pool, str(user_id))
    if found is None:
        raise UserNotFound
    names = [found.username, found.user_id, *([found.email] if found.email else [])]
    await forgive(services, names)
    async with services.pool.acquire() as connection, connection.transaction():
        await audit.record(
            connection,
            "user.unlocked",
            actor=subject.user_id,
            subject=f"user:{found.user_id}",
            at_ms=services.clock(),
        )


@router.get("/{user_id}/audit", responses=problems(401, 403))
async def list_user_audit(
    user_id: UUID,
    subject: Auditor,
    services: ServicesDep,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[AuditEntry]:
    """What a user did and what was done to them, newest first."""
    before = position_of(cursor)
    found = await audit_chain.trail(services.pool, str(user_id), before, limit + 1)
    return page_below(found, limit, lambda row: row.entry.entry_id, show_entry)


async def _check_still(connection: Connection, actor_id: str) -> None:
    """Whoever changes roles may have lost their own a moment ago. Raises PermissionMissing."""
    actor = await storage.get(connection, actor_id)
    if actor is None or not permits((actor.role,), Permission.MANAGE_USERS):
        asked = Permission.MANAGE_USERS.value
        raise PermissionMissing(permission=asked, reason=Reason.ROLE.value)


def _row(found: storage.AdminView) -> UserRow:
    return UserRow(**msgspec.structs.asdict(found), tier=tier_of(found.points))
