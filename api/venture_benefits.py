"""What investors of a venture were promised: who is due what, what was delivered, confirmed."""

from __future__ import annotations

from uuid import UUID

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.auth import Fundraiser, Investor
from api.idempotency import KeyHeader, command_key
from api.inputs import Input
from api.openapi import problems
from api.pagination import (
    DEFAULT_LIMIT,
    CursorQuery,
    LimitQuery,
    Page,
    encode_cursor,
    page_by,
    place_after,
)
from api.services import Services, ServicesDep
from api.ventures import check_artist
from domain.ventures.promises import reached
from messages.ventures.ventures import (
    ConfirmBenefit,
    ContestBenefit,
    DeliverBenefit,
    DeliveryStatus,
    GetInvestor,
    InvestorView,
    TierName,
    VentureCommand,
)
from storage import ventures as storage

router = APIRouter(prefix="/api/v1", tags=["ventures"])

DELIVER = "POST /api/v1/ventures/{venture_id}/benefits/{benefit_id}/deliveries"
CONFIRM = "POST /api/v1/ventures/{venture_id}/benefits/{benefit_id}/confirmation"
CONTEST = "POST /api/v1/ventures/{venture_id}/benefits/{benefit_id}/contest"
MAX_INVESTORS = 100


class NewDelivery(Input):
    """Who has a benefit now."""

    investor_ids: list[UUID] = Field(min_length=1, max_length=MAX_INVESTORS)


class NewContest(Input):
    """What is wrong with a benefit."""

    reason: str = Field(min_length=1, max_length=255)


class BenefitDelivery(BaseModel):
    """How far a benefit is for one investor."""

    benefit_id: str
    text: str
    status: DeliveryStatus
    reason: str = Field("", description="Why it is contested, for the artist.")


class InvestorBenefits(BaseModel):
    """What an investor has in a venture, and was promised for it."""

    investor_id: UUID
    invested_minor: int
    currency: str
    tier: TierName | None
    benefits: list[BenefitDelivery] = Field(description="Due once the venture is funded.")


class DeliveredBenefit(BaseModel):
    """A benefit that the artist says some investors have."""

    venture_id: UUID
    benefit_id: str
    investor_ids: list[UUID]


@router.get("/ventures/{venture_id}/investors", responses=problems(401, 403, 404))
async def list_investors(
    venture_id: UUID,
    subject: Fundraiser,
    services: ServicesDep,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[InvestorBenefits]:
    """Who has something in the caller's venture, and what they are due; by id."""
    venture = await check_artist(services, subject, venture_id)
    after = place_after(cursor)[1]
    found = await storage.investors(services.pool, str(venture_id), after, limit + 1)
    ids = [one.investor_id for one in found]
    told = await storage.deliveries(services.pool, str(venture_id), ids)
    return page_by(
        found,
        limit,
        lambda one: encode_cursor(0, one.investor_id),
        lambda one: _listed(venture, one, told),
    )


@router.get("/ventures/{venture_id}/benefits", responses=problems(401, 404))
async def list_my_benefits(
    venture_id: UUID, subject: Investor, services: ServicesDep
) -> InvestorBenefits:
    """What the caller has in a venture, and is due."""
    command = GetInvestor(subject.user_id)
    return await _ask(services, venture_id, command, services.query_key())


@router.post(
    "/ventures/{venture_id}/benefits/{benefit_id}/deliveries",
    responses=problems(401, 403, 404, 409),
)
async def deliver_benefit(
    venture_id: UUID,
    benefit_id: str,
    body: NewDelivery,
    key: KeyHeader,
    subject: Fundraiser,
    services: ServicesDep,
) -> DeliveredBenefit:
    """Say that investors of the caller's funded venture have a benefit now."""
    await check_artist(services, subject, venture_id)
    route = DELIVER.format(venture_id=venture_id, benefit_id=benefit_id)
    command = DeliverBenefit(benefit_id, tuple(map(str, body.investor_ids)))
    asked = command_key(subject.user_id, route, key)
    await services.owner("ventures").ask(str(venture_id), command, key=asked)
    return DeliveredBenefit(
        venture_id=venture_id, benefit_id=benefit_id, investor_ids=body.investor_ids
    )


@router.post(
    "/ventures/{venture_id}/benefits/{benefit_id}/confirmation", responses=problems(401, 404, 409)
)
async def confirm_benefit(
    venture_id: UUID, benefit_id: str, key: KeyHeader, subject: Investor, services: ServicesDep
) -> InvestorBenefits:
    """Say that one has what was delivered."""
    route = CONFIRM.format(venture_id=venture_id, benefit_id=benefit_id)
    command = ConfirmBenefit(benefit_id, subject.user_id)
    return await _ask(services, venture_id, command, command_key(subject.user_id, route, key))


@router.post(
    "/ventures/{venture_id}/benefits/{benefit_id}/contest", responses=problems(401, 404, 409)
)
async def contest_benefit(
    venture_id: UUID,
    benefit_id: str,
    body: NewContest,
    key: KeyHeader,
    subject: Investor,
    services: ServicesDep,
) -> InvestorBenefits:
    """Say that one has not what the artist says was delivered, or not as promised."""
    route = CONTEST.format(venture_id=venture_id, benefit_id=benefit_id)
    command = ContestBenefit(benefit_id, subject.user_id, body.reason)
    return await _ask(services, venture_id, command, command_key(subject.user_id, route, key))


async def _ask(
    services: Services, venture_id: UUID, command: VentureCommand, key: bytes
) -> InvestorBenefits:
    answer = await services.owner("ventures").ask(str(venture_id), command, key=key)
    assert isinstance(answer, InvestorView)
    fields = msgspec.to_builtins(answer)
    return InvestorBenefits(**{name: fields[name] for name in InvestorBenefits.model_fields})


def _listed(
    venture: storage.VentureRow, one: storage.InvestorRow, told: storage.Deliveries
) -> InvestorBenefits:
    tier = reached(venture.tiers, one.invested_minor)
    due = DeliveryStatus.DUE
    benefits = []
    for benefit in tier.benefits if tier else ():
        said = told.get((one.investor_id, benefit.benefit_id))
        benefits.append(
            BenefitDelivery(
                benefit_id=benefit.benefit_id,
                text=benefit.text,
                status=said.status if said else due,
                reason=said.reason if said else "",
            )
        )
    return InvestorBenefits(
        investor_id=UUID(one.investor_id),
        invested_minor=one.invested_minor,
        currency=venture.currency,
        tier=tier.tier if tier else None,
        benefits=benefits,
    )
