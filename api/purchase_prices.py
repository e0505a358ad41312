"""What a purchase costs, as the owner of the goods says, and who may make it."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from api.auth import check_permission
from api.market_issues import find_issue
from api.services import Services
from domain.access import Permission
from domain.purchases.policy import POLICY, token_price_minor
from integrations.tokens import Claims
from messages.drops.drops import DropView, GetDrop
from messages.money import MINOR_DIGITS, minor_per_unit
from messages.payments.payments import Purpose
from messages.purchases.errors import BadOrder
from messages.rewards import CURRENCY, GetPool
from messages.ventures.ventures import GetVenture, VentureView

NEEDED = {
    Purpose.SHARE_PURCHASE: Permission.TRADE,
    Purpose.SPONSORSHIP: Permission.DONATE_TO_POOL,
}


class Quote(NamedTuple):
    """What a purchase is of, and costs in all."""

    amount_minor: int
    currency: str
    quantity: int = 0
    price_minor: int = 0
    tokens_minor: int = 0


async def check_buyer(services: Services, subject: Claims, purpose: Purpose) -> None:
    """Whoever may not do a thing may not pay for it either. Raises PermissionMissing."""
    if purpose in NEEDED:
        await check_permission(services, subject, NEEDED[purpose])


async def quote(
    services: Services,
    purpose: Purpose,
    subject_id: str,
    quantity: int,
    amount_minor: int,
    currency: str,
) -> Quote:
    """What it costs. Raises BadOrder, or that there are no such goods."""
    if (purpose is Purpose.TOP_UP) == bool(subject_id):
        raise BadOrder(field="subject_id")
    match purpose:
        case Purpose.TOP_UP:
            return Quote(_amount(amount_minor), _currency(currency))
        case Purpose.SHARE_PURCHASE:
            issue = await find_issue(services, UUID(subject_id))
            return _counted(quantity, issue.price_minor, issue.currency)
        case Purpose.NFT_PURCHASE:
            drop = await services.owner("drops").ask(
                subject_id, GetDrop(), key=services.query_key()
            )
            assert isinstance(drop, DropView)
            return _counted(quantity, drop.price_minor, drop.currency)
        case Purpose.VENTURE_INVESTMENT:
            venture = await services.owner("ventures").ask(
                subject_id, GetVenture(), key=services.query_key()
            )
            assert isinstance(venture, VentureView)
            return Quote(_amount(amount_minor), venture.currency)
        case Purpose.SPONSORSHIP:
            await services.owner("pools").ask(subject_id, GetPool(), key=services.query_key())
            return _sponsored(_amount(amount_minor), _currency(currency))


def _counted(quantity: int, price_minor: int, currency: str) -> Quote:
    if quantity <= 0:
        raise BadOrder(field="quantity")
    return Quote(quantity * price_minor, currency, quantity, price_minor)


def _sponsored(amount_minor: int, currency: str) -> Quote:
    """Reward tokens as such, or as many as the money buys, rounded down."""
    if currency == CURRENCY:
        return Quote(amount_minor, currency, tokens_minor=amount_minor)
    price = token_price_minor(POLICY, currency)
    if price is None:
        raise BadOrder(field="currency")
    tokens = amount_minor * minor_per_unit(CURRENCY) // price
    return Quote(amount_minor, currency, tokens_minor=tokens)


def _amount(amount_minor: int) -> int:
    if amount_minor <= 0:
        raise BadOrder(field="amount_minor")
    return amount_minor


def _currency(currency: str) -> str:
    if currency not in MINOR_DIGITS:
        raise BadOrder(field="currency")
    return currency
