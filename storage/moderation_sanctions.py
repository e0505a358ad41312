"""Warn, suspend, reinstate: all that happens with it, in the caller's transaction.

The user is locked before the transaction's first write.
"""

from __future__ import annotations

import datetime as dt

import msgspec

from domain.moderation import Suspension, check_can_be_suspended, is_due, lapse
from messages.mail import Template
from messages.moderation import SuspensionStatus, UserReinstated, UserSuspended, UserWarned
from messages.users import UserNotFound
from messages.users_sessions import Because
from storage import audit, mail, users_events, users_people, users_sessions
from storage import moderation as storage
from storage.database import Connection, Pool
from storage.moderation import SuspensionRow

LAPSES_AT_ONCE = 50


class Sanction(msgspec.Struct, frozen=True):
    """What a moderator does to a user, and why."""

    case_id: str
    user_id: str
    moderator_id: str
    explanation: str
    at_ms: int


async def warn(connection: Connection, sanction: Sanction) -> None:
    """Tell a user that what they did is not wanted."""
    s = sanction
    fact = UserWarned(s.user_id, s.case_id, s.at_ms)
    await users_events.tell(connection, s.user_id, [fact], s.at_ms)
    values = {"username": await _name(connection, s.user_id), "explanation": s.explanation}
    await mail.notify(connection, s.user_id, Template.ACCOUNT_WARNED, values, s.at_ms)
    await _record(connection, "user.warned", s.moderator_id, s.user_id, s.at_ms, case=s.case_id)


async def suspend(
    connection: Connection,
    sanction: Sanction,
    suspension_id: str,
    until_ms: int | None,
    appeal_token: str,
) -> None:
    """Suspend a user: every session ends, signing in is refused. Raises AlreadySuspended."""
    s = sanction
    status = await users_people.status_of(connection, s.user_id)
    if status in {None, "deleted"}:
        raise UserNotFound
    assert status is not None, "there is such a user"
    check_can_be_suspended(status)
    suspension = Suspension(s.user_id, s.moderator_id, until_ms)
    row = SuspensionRow(suspension_id, s.case_id, s.explanation, status, s.at_ms, suspension)
    await storage.add_suspension(connection, row)
    await storage.set_status(connection, s.user_id, "suspended", status)
    await users_sessions.end_sessions(
        connection, s.user_id, Because.SUSPENDED, s.at_ms, actor=s.moderator_id
    )
    fact = UserSuspended(s.user_id, suspension_id, until_ms or 0, s.at_ms)
    await users_events.tell(connection, s.user_id, [fact], s.at_ms)
    values = {
        "username": await _name(connection, s.user_id),
        "explanation": s.explanation,
        "until": "—" if until_ms is None else _moment(until_ms),
        "token": appeal_token,
    }
    await mail.notify(connection, s.user_id, Template.ACCOUNT_SUSPENDED, values, s.at_ms)
    await _record(
        connection, "user.suspended", s.moderator_id, s.user_id, s.at_ms,
        case=s.case_id, suspension=suspension_id, until_ms=until_ms or 0,
    )  # fmt: skip


async def reinstate(
    connection: Connection, row: SuspensionRow, because: SuspensionStatus, actor: str, at_ms: int
) -> None:
    """A suspension is over: the account is what it was before."""
    user_id = row.suspension.user_id
    await storage.set_status(connection, user_id, row.prior_status, "suspended")
    fact = UserReinstated(user_id, row.suspension_id, because, at_ms)
    await users_events.tell(connection, user_id, [fact], at_ms)
    values = {"username": await _name(connection, user_id)}
    await mail.notify(connection, user_id, Template.ACCOUNT_REINSTATED, values, at_ms)
    await _record(
        connection, "user.reinstated", actor, user_id, at_ms,
        suspension=row.suspension_id, because=because.value,
    )  # fmt: skip


async def lapse_due(pool: Pool, now_ms: int, limit: int = LAPSES_AT_ONCE) -> int:
    """End suspensions whose time is over, each in a transaction of its own. How many."""
    found = await storage.due(pool, now_ms, limit)
    for suspension_id, user_id in found:
        async with pool.acquire() as connection, connection.transaction():
            await users_events.lock(connection, user_id)
            row = await storage.lock_suspension(connection, suspension_id)
            if row is None or not is_due(row.suspension, now_ms):
                continue
            after = lapse(row.suspension, now_ms)
            await storage.set_suspension(connection, suspension_id, after)
            await reinstate(connection, row, after.status, audit.PLATFORM, now_ms)
    return len(found)


async def _name(connection: Connection, user_id: str) -> str:
    return await users_people.name_of(connection, user_id) or user_id


async def _record(
    connection: Connection,
    action: str,
    actor: str,
    user_id: str,
    at_ms: int,
    **detail: str | int,
) -> None:
    await audit.record(
        connection, action, actor=actor, subject=f"user:{user_id}", at_ms=at_ms, detail=detail
    )


def _moment(at_ms: int) -> str:
    return dt.datetime.fromtimestamp(at_ms / 1_000, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
