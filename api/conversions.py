"""Turning money into another currency: a quote that holds for a minute, taken once."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from api.auth import Payer, PaymentReader
from api.idempotency import KeyHeader, attempt, command_key, once
from api.inputs import MAX_INTEGER, Input
from api.openapi import problems
from api.pagination import DEFAULT_LIMIT, CursorQuery, LimitQuery, Page, page, place_of
from api.services import ServicesDep
from domain import exchange as domain
from domain.exchange import DAY_MS, POLICY, Terms
from domain.ledger import Verdict
from messages.errors import InsufficientFunds
from messages.keys import derive_id
from messages.money import minor_per_unit
from messages.payments.exchange import (
    ConversionDayLimit,
    ConversionPositionFull,
    FundsConverted,
    QuoteExpired,
    QuoteNotFound,
    QuoteUsed,
    position,
)
from storage import conversions as storage
from storage import exchange_rates, ledger, users_events
from storage.database import Connection

router = APIRouter(prefix="/api/v1", tags=["exchange"])

QUOTE = "POST /api/v1/conversions/quotes"
CONVERT = "POST /api/v1/conversions"


class NewQuote(Input):
    """What is to be converted."""

    source_currency: str = Field(max_length=16, description="As USD.")
    target_currency: str = Field(max_length=16)
    source_minor: int = Field(ge=1, le=MAX_INTEGER, description="What is taken, the fee included.")


class NewConversion(Input):
    """Which quote is taken."""

    quote_id: UUID


class ConversionTerms(BaseModel):
    """What is taken and what is given, in minor units."""

    source_currency: str
    source_minor: int
    fee_minor: int = Field(description="Of `source_minor`: the platform's.")
    target_currency: str
    target_minor: int
    rate_numerator: str = Field(description="Over the denominator: target for one of source.")
    rate_denominator: str


class ConversionQuote(ConversionTerms):
    """What is offered, until it expires."""

    quote_id: UUID
    expires_at_ms: int


class Conversion(ConversionTerms):
    """Money that was converted."""

    conversion_id: UUID
    quote_id: UUID
    at_ms: int


@router.post(
    "/conversions/quotes",
    status_code=201,
    responses=problems(401, 403, 409, replayed=True),
    response_model=ConversionQuote,
)
async def quote_conversion(
    body: NewQuote, key: KeyHeader, subject: Payer, services: ServicesDep
) -> Response:
    """What a conversion would give, at reference rates; it holds for a minute."""
    now_ms, user_id = services.clock(), subject.user_id
    source, target = body.source_currency, body.target_currency
    asked = command_key(user_id, QUOTE, key)
    secret = services.settings.fingerprint_secret
    made = attempt(asked, secret, source, target, str(body.source_minor))

    async def change(connection: Connection) -> ConversionQuote:
        rates = await exchange_rates.latest(connection, now_ms)
        terms = domain.terms(rates, source, target, body.source_minor, now_ms)
        assert rates is not None, "there are no terms without rates"
        quote = storage.Quote(services.new_id(), terms, now_ms + POLICY.quote_ms)
        await storage.add_quote(
            connection,
            user_id,
            quote,
            set_id=rates.set_id,
            policy_version=POLICY.version,
            at_ms=now_ms,
        )
        return ConversionQuote(
            quote_id=UUID(quote.quote_id), expires_at_ms=quote.expires_at_ms, **_shown(terms)
        )

    return await once(services.pool, made, now_ms, 201, change)


@router.post(
    "/conversions",
    status_code=201,
    responses=problems(401, 403, 404, 409, replayed=True),
    response_model=Conversion,
)
async def convert(
    body: NewConversion, key: KeyHeader, subject: Payer, services: ServicesDep
) -> Response:
    """Take a quote: all of it happens, once, or nothing does."""
    user_id, quote_id, now_ms = subject.user_id, str(body.quote_id), services.clock()
    asked = command_key(user_id, CONVERT, key)
    made = attempt(asked, services.settings.fingerprint_secret, quote_id)
    return await once(
        services.pool,
        made,
        now_ms,
        201,
        partial(_convert, user_id=user_id, quote_id=quote_id, now_ms=now_ms),
        lock=partial(users_events.lock, user_id=user_id),
    )


@router.get("/users/me/conversions", responses=problems(401))
async def list_my_conversions(
    subject: PaymentReader,
    services: ServicesDep,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[Conversion]:
    """The caller's conversions, newest first."""
    found = await storage.of_user(services.pool, subject.user_id, place_of(cursor), limit + 1)
    return page(found, limit, lambda row: (row.at_ms, row.conversion_id), _conversion)


async def _convert(
    connection: Connection, *, user_id: str, quote_id: str, now_ms: int
) -> Conversion:
    quote = await storage.find_quote(connection, quote_id, user_id)
    if quote is None:
        raise QuoteNotFound
    if await storage.is_used(connection, quote_id):
        raise QuoteUsed
    if quote.expires_at_ms <= now_ms:
        raise QuoteExpired
    terms, conversion_id = quote.terms, derive_id("conversion", quote_id)
    await _check_day(connection, user_id, terms, now_ms)
    await _move(connection, conversion_id, user_id, terms, now_ms)
    await storage.add(connection, conversion_id, quote_id, now_ms)
    fact = FundsConverted(
        user_id,
        conversion_id,
        terms.source_currency,
        terms.source_minor,
        terms.fee_minor,
        terms.target_currency,
        terms.target_minor,
        now_ms,
    )
    await users_events.tell(connection, user_id, [fact], now_ms)
    return _conversion(storage.Conversion(conversion_id, quote_id, terms, now_ms))


async def _check_day(connection: Connection, user_id: str, terms: Terms, now_ms: int) -> None:
    """The user is locked, so that two conversions cannot both be the last that fits."""
    most = POLICY.day_units * minor_per_unit(POLICY.reporting)
    before = await storage.converted_since(connection, user_id, now_ms - DAY_MS)
    if before + terms.reporting_minor > most:
        raise ConversionDayLimit(most=POLICY.day_units, currency=POLICY.reporting)


async def _move(
    connection: Connection, conversion_id: str, user_id: str, terms: Terms, now_ms: int
) -> None:
    moved = domain.movement(conversion_id, user_id, terms)
    (verdict,) = await ledger.post(connection, [moved], now_ms)
    if verdict is Verdict.INSUFFICIENT:
        raise InsufficientFunds
    account = position(terms.target_currency)
    balance = (await ledger.balances(connection, [account]))[account]
    if domain.is_position_full(balance, terms.target_currency):
        raise ConversionPositionFull(currency=terms.target_currency)


def _conversion(found: storage.Conversion) -> Conversion:
    return Conversion(
        conversion_id=UUID(found.conversion_id),
        quote_id=UUID(found.quote_id),
        at_ms=found.at_ms,
        **_shown(found.terms),
    )


def _shown(terms: Terms) -> dict[str, str | int]:
    return {
        "source_currency": terms.source_currency,
        "source_minor": terms.source_minor,
        "fee_minor": terms.fee_minor,
        "target_currency": terms.target_currency,
        "target_minor": terms.target_minor,
        "rate_numerator": str(terms.pair.numerator),
        "rate_denominator": str(terms.pair.denominator),
    }
