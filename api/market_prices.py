"""Prices of issues, each with what it rests on."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.auth import public
from api.openapi import problems
from api.services import ServicesDep
from messages.market import GetPrices, PricesView

router = APIRouter(prefix="/api/v1", tags=["market"])


class Reading(BaseModel):
    """A price with its sources and its confidence."""

    price_milliminor: int | None = Field(
        description="For one share, in thousandths of a minor unit; null where there is no price "
        "to name."
    )
    window_ms: int = Field(description="How far it looks back.")
    known_bps: int = Field(description="The share of the window in which there was a mark.")
    coverage_bps: int = Field(
        description="The share of it with narrow quotes on both sides: the confidence."
    )
    trades: int = Field(description="Trades that counted.")
    quotes: int = Field(description="Changes of quotes that counted.")
    staleness_ms: int = Field(description="Since the last of its sources.")


class Prices(BaseModel):
    """The prices of an issue at a moment; null while its book was never opened."""

    issue_id: UUID
    currency: str
    at_ms: int
    sale_minor: int = Field(description="What offered shares cost.")
    last_minor: int | None = Field(description="The price of the last trade.")
    mark_milliminor: int | None = Field(description="The mark now.")
    five_minutes: Reading | None = Field(description="Time-weighted average of the mark.")
    hour: Reading | None
    day: Reading | None
    index: Reading | None = Field(description="For display and price bands: follows within an hour")
    settle: Reading | None = Field(description="For what money hangs on: slow, and dear to move.")


@router.get("/issues/{issue_id}/prices", responses=problems(404))
@public
async def get_prices(issue_id: UUID, services: ServicesDep) -> Prices:
    """All prices of an issue, from its owner."""
    key = services.query_key()
    answer = await services.owner("market").ask(str(issue_id), GetPrices(), key=key)
    assert isinstance(answer, PricesView)
    fields: dict[str, Any] = msgspec.to_builtins(answer)
    del fields["type"]
    return Prices(**{**fields, "last_minor": answer.last_minor or None})
