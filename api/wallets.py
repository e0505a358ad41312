"""A user's money: what is where in each currency, and the statement of each part.

Linked wallets of block chains are another thing (`api/users_wallets.py`), so this is called funds.
"""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from api.auth import PaymentReviewer, Saver
from api.openapi import problems
from api.pagination import DEFAULT_LIMIT, CursorQuery, Page, encode_line, line_of, page_by
from api.services import Services, ServicesDep
from api.translation import catalogue, negotiate
from messages.money import MINOR_DIGITS, format_minor
from messages.payments.wallets import FundsNotFound, Part, part_account
from messages.users import UserNotFound
from storage import ledger, wallets
from storage import users as users_storage

router = APIRouter(prefix="/api/v1", tags=["funds"])

CSV = "text/csv"
MOST_LINES = ledger.MAX_STATEMENT_LINES - 1
COLUMNS = ("moment", "title", "cause", "currency", "amount", "balance")
STATEMENT: dict[int | str, dict[str, object]] = {
    **problems(401, 404),
    200: {"content": {CSV: {"schema": {"type": "string"}}}},
}

PartQuery = Annotated[Part, Query(description="Which part of the money.")]
LinesQuery = Annotated[int, Query(description="Lines on the page.", ge=1, le=MOST_LINES)]
FormatQuery = Annotated[
    Literal["json", "csv"] | None,
    Query(alias="format", description="Without it `Accept` decides."),
]


class Funds(BaseModel):
    """A user's money in a currency, in minor units."""

    currency: str
    digits: int = Field(description="Of its minor units: 2 for USD, 18 for ETH.")
    available_minor: int = Field(description="What can be spent.")
    held_minor: int = Field(description="What open orders may take.")
    refunding_minor: int = Field(description="On its way back to where it was paid from.")
    paying_out_minor: int = Field(description="On its way to the user's bank.")
    owed_minor: int = Field(
        description="What a bank took back for the user and is still to be collected from them."
    )


class AllFunds(BaseModel):
    """By currency. Without those in which there is nothing, but for one that is always there."""

    items: list[Funds]


class Line(BaseModel):
    """A movement, as its owner sees it."""

    transaction_id: int
    at_ms: int
    purpose: str
    title: str = Field(description="The purpose, in words of the caller's language.")
    cause: str = Field(description="What made it happen, as `payment:<id>`.")
    amount_minor: int = Field(description="Below zero: taken.")
    balance_minor: int = Field(description="Just after it.")


class Statement(Page[Line]):
    """Movements, newest first."""

    currency: str
    digits: int
    part: Part


@router.get("/users/me/funds", responses=problems(401))
async def get_my_funds(subject: Saver, services: ServicesDep) -> AllFunds:
    """The caller's money, by currency."""
    return await _funds(services, subject.user_id)


@router.get("/users/me/funds/{currency}/statement", responses=STATEMENT, response_model=Statement)
async def get_my_statement(
    currency: str,
    subject: Saver,
    services: ServicesDep,
    request: Request,
    part: PartQuery = Part.AVAILABLE,
    form: FormatQuery = None,
    cursor: CursorQuery = None,
    limit: LinesQuery = DEFAULT_LIMIT,
) -> Statement | Response:
    """The caller's movements in a currency, newest first, each with the balance after it.

    As CSV where `format=csv` or `Accept` says so; its header `Link` leads to the next page.
    """
    language = _language(request)
    found = await _statement(services, subject.user_id, currency, part, cursor, limit, language)
    return _answer(request, found, form)


@router.get("/users/{user_id}/funds", responses=problems(401, 404))
async def get_funds_of_user(
    user_id: UUID, subject: PaymentReviewer, services: ServicesDep
) -> AllFunds:
    """A user's money, by currency, for those who look after payments."""
    await _known(services, user_id)
    return await _funds(services, str(user_id))


@router.get(
    "/users/{user_id}/funds/{currency}/statement",
    responses=STATEMENT,
    response_model=Statement,
)
async def get_statement_of_user(
    user_id: UUID,
    currency: str,
    subject: PaymentReviewer,
    services: ServicesDep,
    request: Request,
    part: PartQuery = Part.AVAILABLE,
    cursor: CursorQuery = None,
    limit: LinesQuery = DEFAULT_LIMIT,
) -> Statement:
    """A user's movements in a currency, for those who look after payments."""
    await _known(services, user_id)
    language = _language(request)
    return await _statement(services, str(user_id), currency, part, cursor, limit, language)


def _language(request: Request) -> str:
    return negotiate(request.headers.get("accept-language", ""))


async def _known(services: Services, user_id: UUID) -> None:
    if await users_storage.get_user(services.pool, str(user_id)) is None:
        raise UserNotFound


async def _funds(services: Services, user_id: str) -> AllFunds:
    codes = {
        (part, currency): part_account(user_id, part, currency)
        for part in Part
        for currency in MINOR_DIGITS
    }
    async with services.pool.acquire() as connection:
        held = await ledger.balances(connection, list(codes.values()))
        owed = await wallets.owed(connection, user_id)
    items = []
    for currency, digits in MINOR_DIGITS.items():
        parts = {part: held[codes[part, currency]] for part in Part}
        if any(parts.values()) or currency in owed or currency == "USD":
            items.append(
                Funds(
                    currency=currency,
                    digits=digits,
                    available_minor=parts[Part.AVAILABLE],
                    held_minor=parts[Part.HELD],
                    refunding_minor=parts[Part.REFUNDING],
                    paying_out_minor=parts[Part.PAYING_OUT],
                    owed_minor=owed.get(currency, 0),
                )
            )
    return AllFunds(items=items)


async def _statement(
    services: Services,
    user_id: str,
    currency: str,
    part: Part,
    cursor: str | None,
    limit: int,
    language: str,
) -> Statement:
    if currency not in MINOR_DIGITS:
        raise FundsNotFound
    code = part_account(user_id, part, currency)
    async with services.pool.acquire() as connection:
        found = await ledger.statement(connection, code, line_of(cursor), limit + 1)
    shown = page_by(
        found, limit, lambda line: encode_line(line.position), lambda line: _line(line, language)
    )
    return Statement(
        items=shown.items,
        next_cursor=shown.next_cursor,
        currency=currency,
        digits=MINOR_DIGITS[currency],
        part=part,
    )


def _line(line: ledger.StatementLine, language: str) -> Line:
    return Line(
        transaction_id=line.transaction_id,
        at_ms=line.at_ms,
        purpose=line.purpose,
        title=_title(line, language),
        cause=line.cause,
        amount_minor=line.amount_minor,
        balance_minor=line.balance_minor,
    )


def _title(line: ledger.StatementLine, language: str) -> str:
    """The words for a movement: those for what is taken, where they differ; else its purpose.

    A payment's own movements carry the purpose of what it pays for.
    """
    words = catalogue(language)
    name = "movement-payment" if line.cause.startswith("payment:") else f"movement-{line.purpose}"
    if line.amount_minor < 0 and f"{name}-out" in words:
        name += "-out"
    return words.get(name, line.purpose)


def _answer(request: Request, found: Statement, form: str | None) -> Statement | Response:
    if form is None:
        form = "csv" if CSV in request.headers.get("accept", "") else "json"
    if form == "json":
        return found
    headers = {"Content-Disposition": f'attachment; filename="{found.currency}.csv"'}
    if found.next_cursor:
        following = request.url.include_query_params(cursor=found.next_cursor)
        headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    return Response(_as_csv(found), media_type=CSV, headers=headers)


def _as_csv(found: Statement) -> str:
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(COLUMNS)
    for line in found.items:
        moment = datetime.fromtimestamp(line.at_ms / 1_000, UTC).isoformat()
        amounts = (
            format_minor(amount, found.currency).split(" ")[0]
            for amount in (line.amount_minor, line.balance_minor)
        )
        rows.writerow((moment, line.title, line.cause, found.currency, *amounts))
    return text.getvalue()
