"""Candles: the trades of a book by spans of time."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel

from api.auth import public
from api.inputs import MAX_INTEGER
from api.openapi import problems
from api.services import ServicesDep
from domain.market.candles import STEP_NAMES
from messages.market.order_errors import BookNotFound
from storage import market_candles as candles_storage
from storage import market_orders as storage

router = APIRouter(prefix="/api/v1", tags=["market"])

MAX_CANDLES = 500

Moment = Annotated[int, Query(ge=0, le=MAX_INTEGER, description="Epoch ms.")]


class CandleStep(StrEnum):
    """How long a candle is."""

    MINUTE = "1m"
    FIVE_MINUTES = "5m"
    QUARTER_HOUR = "15m"
    HOUR = "1h"
    FOUR_HOURS = "4h"
    DAY = "1d"


class Candle(BaseModel):
    """The trades of a span of time."""

    start_ms: int
    open_minor: int
    high_minor: int
    low_minor: int
    close_minor: int
    shares: int
    turnover_minor: int
    trades: int


class Candles(BaseModel):
    """Candles, oldest first; spans without a trade have none."""

    step: CandleStep
    items: list[Candle]


@router.get("/books/{issue_id}/candles", responses=problems(404))
@public
async def list_candles(
    issue_id: UUID,
    services: ServicesDep,
    step: CandleStep = CandleStep.MINUTE,
    from_ms: Moment = 0,
    until_ms: Moment = MAX_INTEGER,
    limit: Annotated[int, Query(ge=1, le=MAX_CANDLES)] = MAX_CANDLES,
) -> Candles:
    """The candles that begin from `from_ms` on and before `until_ms`; the newest, if too many."""
    if await storage.get_book(services.pool, str(issue_id)) is None:
        raise BookNotFound
    found = await candles_storage.get_candles(
        services.pool, str(issue_id), STEP_NAMES[step], from_ms, until_ms, limit
    )
    items = [
        Candle(
            start_ms=candle.start_ms,
            open_minor=candle.open_minor,
            high_minor=candle.high_minor,
            low_minor=candle.low_minor,
            close_minor=candle.close_minor,
            shares=candle.shares,
            turnover_minor=candle.turnover_minor,
            trades=candle.trades,
        )
        for candle in found
    ]
    return Candles(step=step, items=items)
