"""Order books: what everyone may see, and how operators open and close them."""

from __future__ import annotations

from itertools import takewhile
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.auth import MarketOperator, public
from api.idempotency import KeyHeader, command_key
from api.inputs import MAX_INTEGER, Input
from api.openapi import problems
from api.pagination import DEFAULT_LIMIT, CursorQuery, LimitQuery, Page, page, place_of
from api.services import Services, ServicesDep
from domain.policy import MarketPolicy
from integrations.tokens import Claims
from messages.market.order_errors import BookNotFound
from messages.market.orders import (
    BookView,
    CloseTrading,
    DepthLevel,
    GetBook,
    HaltTrading,
    OpenTrading,
    OrderEntry,
    Phase,
    ResumeTrading,
    Side,
)
from storage import market_orders as storage

router = APIRouter(prefix="/api/v1", tags=["market"])

OPEN = "POST /api/v1/books/{issue_id}/opening"
HALT = "POST /api/v1/books/{issue_id}/halt"
RESUME = "POST /api/v1/books/{issue_id}/resumption"
CLOSE = "POST /api/v1/books/{issue_id}/closing"
MAX_LEVELS = 1_000
MAX_ENTRIES = 1_000
POLICY = MarketPolicy()

Before = Annotated[int | None, Query(ge=1, le=MAX_INTEGER, description="Trades below this number.")]


class Book(BaseModel):
    """The order book of an issue."""

    issue_id: UUID
    song_id: UUID
    currency: str
    tick_minor: int = Field(description="Prices are multiples of it.")
    max_price_minor: int = Field(description="Prices are below it.")
    capacity: int = Field(description="How many orders fit.")
    phase: Phase
    until_ms: int | None = Field(description="When the phase ends by itself.")
    last_minor: int | None = Field(description="The price of the last trade.")
    last_at_ms: int | None
    opened_at_ms: int
    entries: int = Field(description="Of its journal so far.")
    chain: str = Field(description="The hash of the last entry, hexadecimal.")


class Level(BaseModel):
    """What the book shows at a price."""

    price_minor: int
    shares: int


class Depth(BaseModel):
    """The book as it stands at `number`: go on with the changes after it on `book:<issue_id>`."""

    issue_id: UUID
    phase: Phase
    until_ms: int | None
    number: int = Field(description="Of the last change, `depth_number` on the channel.")
    checksum: int = Field(
        description="Of all levels: the sum modulo 2^32 of the CRC-32 of each "
        "`<side>:<price_minor>:<shares>`."
    )
    is_whole: bool = Field(description="Whether all levels are here.")
    bids: list[Level]
    asks: list[Level]
    last_minor: int | None
    orders: int = Field(description="How many orders are open, shown or not.")


class Trade(BaseModel):
    """A trade as everyone sees it."""

    trade_id: int
    price_minor: int
    shares: int
    side: Side = Field(description="Of the order that came last; buy in an auction.")
    at_ms: int


class Trades(BaseModel):
    """Trades, newest first."""

    items: list[Trade]
    next_before: int | None = Field(description="`before` of the next page; null on the last.")


class Entry(BaseModel):
    """An entry of the journal. The chain is made over `text`, byte for byte."""

    number: int
    at_ms: int
    text: str = Field(description="JSON: `[number, at_ms, instructions, outputs]`.")
    chain: str = Field(description="BLAKE2b-256 of the chain before and the text, hexadecimal.")


class Journal(BaseModel):
    """Part of a book's journal: enough to match it again and compare."""

    issue_id: UUID
    max_price: int = Field(description="In ticks.")
    capacity: int
    tick_minor: int
    entries: list[Entry]
    next_after: int | None = Field(description="`after` of the next page; null at the end.")


class Closing(Input):
    """How a book is closed."""

    cancel_orders: bool = Field(False, description="End the orders that are in it.")


@router.get("/books")
@public
async def list_books(
    services: ServicesDep, cursor: CursorQuery = None, limit: LimitQuery = DEFAULT_LIMIT
) -> Page[Book]:
    """All books that were ever opened, newest first."""
    before = place_of(cursor)
    found = await storage.newest_books(services.pool, before, limit + 1)
    return page(found, limit, lambda row: (row.opened_at_ms, row.issue_id), _book)


@router.get("/books/{issue_id}", responses=problems(404))
@public
async def get_book(issue_id: UUID, services: ServicesDep) -> Book:
    """One book."""
    return _book(await _found(services, issue_id))


@router.get("/books/{issue_id}/depth", responses=problems(404, 409))
@public
async def get_depth(
    issue_id: UUID,
    services: ServicesDep,
    levels: Annotated[int, Query(ge=0, le=MAX_LEVELS, description="Of each side; 0: all.")] = 0,
) -> Depth:
    """The book as it stands at this moment, from its owner."""
    view = await _asked(services, issue_id, GetBook(levels), services.query_key())
    return depth(view, levels)


@router.get("/books/{issue_id}/trades", responses=problems(404))
@public
async def list_trades(
    issue_id: UUID,
    services: ServicesDep,
    before: Before = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Trades:
    """The book's trades, newest first."""
    await _found(services, issue_id)
    below = before or storage.FIRST_TRADES
    found = await storage.newest_trades(services.pool, str(issue_id), below, limit + 1)
    shown = found[:limit]
    items = [
        Trade(
            trade_id=row.trade_id,
            price_minor=row.price_minor,
            shares=row.shares,
            side=row.side,
            at_ms=row.at_ms,
        )
        for row in shown
    ]
    more = len(found) > limit
    return Trades(items=items, next_before=shown[-1].trade_id if more else None)


@router.get("/books/{issue_id}/journal", responses=problems(404))
@public
async def get_journal(
    issue_id: UUID,
    services: ServicesDep,
    after: Annotated[int, Query(ge=0, le=MAX_INTEGER, description="Entries above it.")] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_ENTRIES)] = MAX_ENTRIES,
) -> Journal:
    """The book's journal: what it was told and what it answered, each entry chained to the last.

    Orders are named by numbers, their owners by numbers of this book. It is shown with a delay, so
    that it does not give away what stops and icebergs hide.
    """
    row = await _found(services, issue_id)
    until_ms = services.clock() - POLICY.journal_delay_ms
    found = await storage.entries(services.pool, str(issue_id), after, limit)
    # Up to the first that is too young: clocks may differ by a little from owner to owner.
    entries = [
        Entry(number=e.number, at_ms=e.at_ms, text=e.entry, chain=e.chain.hex())
        for e in takewhile(lambda e: e.at_ms <= until_ms, found)
    ]
    return Journal(
        issue_id=issue_id,
        max_price=row.max_price,
        capacity=row.capacity,
        tick_minor=row.tick_minor,
        entries=entries,
        next_after=entries[-1].number if entries and entries[-1].number < row.number else None,
    )


@router.post("/books/{issue_id}/opening", responses=problems(401, 403, 404, 409))
async def open_book(
    issue_id: UUID, key: KeyHeader, operator: MarketOperator, services: ServicesDep
) -> Depth:
    """Open a book: it begins with a call auction."""
    return await _operate(services, operator, OPEN, issue_id, key, OpenTrading())


@router.post("/books/{issue_id}/halt", responses=problems(401, 403, 404, 409))
async def halt_book(
    issue_id: UUID, key: KeyHeader, operator: MarketOperator, services: ServicesDep
) -> Depth:
    """Stop trading for a while. It comes back by an auction."""
    return await _operate(services, operator, HALT, issue_id, key, HaltTrading())


@router.post("/books/{issue_id}/resumption", responses=problems(401, 403, 404, 409))
async def resume_book(
    issue_id: UUID, key: KeyHeader, operator: MarketOperator, services: ServicesDep
) -> Depth:
    """End a halt before its time: the auction begins now."""
    return await _operate(services, operator, RESUME, issue_id, key, ResumeTrading())


@router.post("/books/{issue_id}/closing", responses=problems(401, 403, 404, 409))
async def close_book(
    issue_id: UUID, body: Closing, key: KeyHeader, operator: MarketOperator, services: ServicesDep
) -> Depth:
    """Stop trading until the book is opened again."""
    command = CloseTrading(body.cancel_orders)
    return await _operate(services, operator, CLOSE, issue_id, key, command)


async def _operate(
    services: Services, operator: Claims, route: str, issue_id: UUID, key: str, command: OrderEntry
) -> Depth:
    given = command_key(operator.user_id, route.format(issue_id=issue_id), key)
    return depth(await _asked(services, issue_id, command, given))


async def _asked(services: Services, issue_id: UUID, command: OrderEntry, key: bytes) -> BookView:
    answer = await services.owner("market").ask(str(issue_id), command, key=key)
    assert isinstance(answer, BookView), "a book is answered with a book"
    return answer


async def _found(services: Services, issue_id: UUID) -> storage.BookRow:
    row = await storage.get_book(services.pool, str(issue_id))
    if row is None:
        raise BookNotFound
    return row


def depth(view: BookView, levels: int = 0) -> Depth:
    """A book as HTTP shows it."""
    return Depth(
        issue_id=UUID(view.issue_id),
        phase=view.phase,
        until_ms=view.until_ms or None,
        number=view.depth_number,
        checksum=view.checksum,
        is_whole=not levels or max(len(view.bids), len(view.asks)) < levels,
        bids=[_level(level) for level in view.bids],
        asks=[_level(level) for level in view.asks],
        last_minor=view.last_minor or None,
        orders=view.orders,
    )


def _level(level: DepthLevel) -> Level:
    return Level(price_minor=level.price_minor, shares=level.shares)


def _book(row: storage.BookRow) -> Book:
    fields: dict[str, Any] = msgspec.structs.asdict(row)
    fields["max_price_minor"] = fields.pop("max_price") * row.tick_minor
    fields["entries"] = fields.pop("number")
    fields["chain"] = row.chain.hex()
    fields["until_ms"] = row.until_ms or None
    del fields["depth_number"]
    return Book(**fields)
