"""Leaving: a copy of all that is held of a user, and the end of an account."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask

from api.account_notices import tell
from api.inputs import Input
from api.openapi import problems
from api.services import Services, ServicesDep
from api.step_up import recently_authenticated, step_up_for
from api.users import Text
from domain import users_accounts as domain
from domain.users_factors import Sensitive
from integrations.tokens import Claims
from messages.mail import Template
from messages.users import UserNotFound
from messages.users_accounts import AccountDeleted
from messages.users_sessions import Because
from storage import mail, users, users_erasure, users_events, users_sessions
from storage.users_export import export

router = APIRouter(prefix="/api/v1/users/me", tags=["users"])

Leaver = Annotated[Claims, Depends(step_up_for(Sensitive.DELETE_ACCOUNT))]
Recent = Annotated[Claims, Depends(recently_authenticated)]


class DeleteAccount(Input):
    """That it is meant."""

    username: Text = Field(description="Yours, so that it is not done by mistake.")
    leave_balances: bool = Field(
        False, description="Delete the account although it holds something, which nobody gets then."
    )


class LeftBalance(BaseModel):
    """What a ledger account held; it stays in the books, and nobody's."""

    code: str = Field(examples=["user:8d4…:available/VIBES"])
    amount: str = Field(description="In minor units.")


class DeletedAccount(BaseModel):
    """An account that is no more."""

    left: list[LeftBalance]


@router.post("/deletion", responses=problems(401, 403, 404, 409))
async def delete_account(
    body: DeleteAccount, subject: Leaver, services: ServicesDep
) -> DeletedAccount:
    """Delete the account, for good: what you are known by is erased, what was booked stays.

    Refused while orders, payments, share issues, drops or ventures are open. Refused, with what it
    holds, while the account holds something, unless it is to be left. Your username is nobody's for
    thirty days.
    """
    at_ms, user_id = services.clock(), subject.user_id
    until_ms = at_ms + domain.POLICY.name_kept_ms
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, user_id)
        user = await users.get_user(connection, user_id)
        if user is None:
            raise UserNotFound
        busy = await users_erasure.busy(connection, user_id)
        held = await users_erasure.held(connection, user_id)
        domain.check_deletion(
            right_name=body.username.lower() == user.username.lower(),
            busy=msgspec.structs.asdict(busy),
            held=len(held),
            leave_balances=body.leave_balances,
        )
        await users_sessions.end_sessions(
            connection, user_id, Because.ACCOUNT_CLOSED, at_ms, actor=user_id
        )
        await tell(connection, AccountDeleted(user_id, at_ms))
        await users_erasure.erase(connection, user, at_ms, until_ms)
        if user.email is not None:
            await mail.queue(
                connection, to=user.email, template=Template.ACCOUNT_DELETED, locale=user.locale,
                params={"username": user.username}, at_ms=at_ms,
            )  # fmt: skip
    return DeletedAccount(left=[LeftBalance(code=h.code, amount=h.amount) for h in held])


@router.get(
    "/export",
    response_class=FileResponse,
    responses={
        200: {"content": {"application/json": {"schema": {"type": "object"}}}},
        **problems(401, 403),
    },
)
async def export_my_data(subject: Recent, services: ServicesDep) -> FileResponse:
    """All that the platform holds of you, as one JSON document; without what opens the account."""
    file = await _written(services, subject.user_id)
    return FileResponse(
        file,
        media_type="application/json",
        filename="vibestream-export.json",
        headers={"cache-control": "no-store"},
        background=BackgroundTask(file.unlink, missing_ok=True),
    )


async def _written(services: Services, user_id: str) -> Path:
    """The document in a file: read as of one moment, and as fast as PostgreSQL gives it.

    Not sent as it is read: a slow client would keep the transaction open.
    """
    folder = services.settings.upload_folder
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(".json", "export-", folder)
    try:
        with os.fdopen(handle, "wb") as out:
            async with (
                services.pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                async for piece in export(connection, user_id):
                    out.write(piece)
    except BaseException:
        os.unlink(name)  # noqa: PTH108 - as quick as it is blocking
        raise
    return Path(name)
