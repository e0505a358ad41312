"""Cards that users save to pay with again. Their numbers are the provider's alone."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from api.auth import Member
from api.idempotency import KeyHeader, command_key
from api.inputs import Input
from api.openapi import problems
from api.services import Services, ServicesDep
from api.step_up import recently_authenticated
from integrations.tokens import Claims
from messages.keys import derive_id, is_id
from messages.payments.gateways import CallDeclined, GatewayName
from messages.payments.saved_methods import (
    SavedMethodNotFound,
    SavedMethodPending,
    Setup,
    TooManySavedMethods,
)
from storage import saved_methods as storage
from storage import saved_methods_changes as changes
from storage.saved_methods import SavedMethod

router = APIRouter(prefix="/api/v1/users/me/payment-methods", tags=["payments"])

SAVE = "POST /api/v1/users/me/payment-methods"
MOST = 10  # of a user's, those that are being saved included
LOOK_MS = 60_000  # after so long without a word of the page, we look ourselves

Recent = Annotated[Claims, Depends(recently_authenticated)]


class NewSavedMethod(Input):
    """A card to be saved."""

    source: str = Field(
        "", max_length=255, pattern=r"^[A-Za-z0-9_]*$",
        description="What the provider's script gave for the card: `pm_…`. Without it the script "
        "saves the card with the client secret.",
    )  # fmt: skip
    return_url: str = Field(
        "", max_length=2_000, description="Where the owner comes back to from their bank's page."
    )


class SavedPaymentMethod(BaseModel):
    """A card that can be paid with: its id is a `source` of payments."""

    method_id: UUID
    brand: str
    last4: str
    expires_month: int
    expires_year: int
    is_default: bool
    saved_at_ms: int


class SavedPaymentMethods(BaseModel):
    """All of them, oldest first."""

    items: list[SavedPaymentMethod]


class SavingMethod(BaseModel):
    """How far the saving of a card is."""

    method_id: UUID
    saved: SavedPaymentMethod | None = Field(description="Null until it is saved.")
    client_secret: str = Field(description="For the provider's script.")
    url: str = Field(description="Where the owner has to go; empty if nowhere.")


@router.post("", status_code=201, responses=problems(401, 403, 409))
async def save_payment_method(
    body: NewSavedMethod, key: KeyHeader, subject: Recent, services: ServicesDep
) -> SavingMethod:
    """Save a card. Its owner may have to go to `url` (3-D Secure); then confirm.

    The key sent again is the same saving. The first card that is saved becomes the default.
    """
    user_id, now_ms = subject.user_id, services.clock()
    method_id = derive_id("saved-method", command_key(user_id, SAVE, key))
    known = await storage.find(services.pool, method_id, user_id)
    if known is not None:
        return await _look(services, known)
    if await storage.count(services.pool, user_id) >= MOST:
        raise TooManySavedMethods(limit=MOST)
    customer = await _customer(services, user_id)
    setup = await services.saved_methods.begin(
        customer, body.source, body.return_url, f"{method_id}:setup"
    )
    async with services.pool.acquire() as connection, connection.transaction():
        await storage.add(
            connection, method_id, user_id, setup.ref, at_ms=now_ms, look_at_ms=now_ms + LOOK_MS
        )
    return await _seen(services, await _own(services, UUID(method_id), user_id), setup)


@router.post("/{method_id}/confirmation", responses=problems(401, 403, 404, 409))
async def confirm_payment_method(
    method_id: UUID, subject: Member, services: ServicesDep
) -> SavingMethod:
    """Its owner did their part: look at the provider whether the card is saved."""
    return await _look(services, await _own(services, method_id, subject.user_id))


@router.get("", responses=problems(401, 403))
async def list_saved_methods(subject: Member, services: ServicesDep) -> SavedPaymentMethods:
    """The caller's saved cards."""
    found = await storage.of_user(services.pool, subject.user_id)
    return SavedPaymentMethods(items=[_view(one) for one in found])


@router.put("/{method_id}/default", responses=problems(401, 403, 404, 409))
async def prefer_payment_method(
    method_id: UUID, subject: Member, services: ServicesDep
) -> SavedPaymentMethods:
    """Prefer this card to the caller's others."""
    user_id = subject.user_id
    method = await _own(services, method_id, user_id)
    if method.status != "active":
        raise SavedMethodPending
    await changes.prefer(services.pool, method)
    found = await storage.of_user(services.pool, user_id)
    return SavedPaymentMethods(items=[_view(one) for one in found])


@router.delete("/{method_id}", status_code=204, responses=problems(401, 403, 404))
async def remove_payment_method(method_id: UUID, subject: Recent, services: ServicesDep) -> None:
    """Remove a card: it can be paid with no more, and the provider forgets it."""
    method = await _own(services, method_id, subject.user_id)
    if method.status == "pending":
        method = await _stopped(services, method)
    await changes.remove(services.pool, method, services.clock())


async def resolve_source(services: Services, user_id: str, source: str) -> tuple[str, str]:
    """(the card, how its provider is to be asked for it) of a payment's source.

    A saved method is named by our id and becomes `customer/method`; anything else is a card that
    the provider's script gave, which cannot look like that. Raises SavedMethodNotFound or
    SavedMethodPending.
    """
    if not is_id(source):
        return source, source
    method = await storage.find(services.pool, source, user_id)
    if method is None:
        raise SavedMethodNotFound
    if method.status != "active":
        raise SavedMethodPending
    return method.method_ref, f"{method.customer}/{method.method_ref}"


async def _own(services: Services, method_id: UUID, user_id: str) -> SavedMethod:
    found = await storage.find(services.pool, str(method_id), user_id)
    if found is None:
        raise SavedMethodNotFound
    return found


async def _customer(services: Services, user_id: str) -> str:
    """The provider's name of a user, made if there is none."""
    found = await storage.customer_of(services.pool, user_id)
    if found is not None:
        return found
    made = await services.saved_methods.create_customer(user_id, f"{user_id}:customer")
    name = GatewayName.STRIPE.value
    async with services.pool.acquire() as connection, connection.transaction():
        await storage.add_customer(connection, user_id, name, made, services.clock())
    present = await storage.customer_of(services.pool, user_id)
    assert present is not None, "it was added"
    return present


async def _look(services: Services, method: SavedMethod) -> SavingMethod:
    if method.status == "active":
        return _saving(method, None)
    return await _seen(services, method, await services.saved_methods.read(method.setup_ref))


async def _seen(services: Services, method: SavedMethod, setup: Setup) -> SavingMethod:
    if setup.card is not None and method.status == "pending":
        await changes.save(services.pool, method, setup.card, services.clock())
        method = await _own(services, UUID(method.method_id), method.user_id)
    return _saving(method, setup)


async def _stopped(services: Services, method: SavedMethod) -> SavedMethod:
    """The method with its saving given up; saved after all if that came first."""
    try:
        await services.saved_methods.cancel(method.setup_ref)
    except CallDeclined:
        await _look(services, method)
        return await _own(services, UUID(method.method_id), method.user_id)
    return method


def _saving(method: SavedMethod, setup: Setup | None) -> SavingMethod:
    active = method.status == "active"
    return SavingMethod(
        method_id=UUID(method.method_id),
        saved=_view(method) if active else None,
        client_secret="" if active or setup is None else setup.client_secret,
        url="" if active or setup is None else setup.url,
    )


def _view(method: SavedMethod) -> SavedPaymentMethod:
    return SavedPaymentMethod(
        method_id=UUID(method.method_id),
        brand=method.brand,
        last4=method.last4,
        expires_month=method.expires_month,
        expires_year=method.expires_year,
        is_default=method.is_default,
        saved_at_ms=method.made_at_ms,
    )
