"""A user's payout methods: add, onboard, list, choose, remove."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from api.auth import PayoutReader
from api.idempotency import KeyHeader, attempt, command_key, once, replay
from api.inputs import Input
from api.openapi import problems
from api.payout_method_notices import tell
from api.services import Services, ServicesDep
from api.step_up import step_up_for
from domain.users import check_email
from domain.users_factors import Sensitive
from integrations.payout_accounts import PayoutAccounts
from integrations.tokens import Claims
from messages.keys import derive_id
from messages.payments.payout_errors import (
    PayoutMethodInUse,
    PayoutMethodNotFound,
    PayoutProviderNotConfigured,
    TooManyPayoutMethods,
)
from messages.payments.payout_methods import (
    PayoutMethodAdded,
    PayoutMethodRemoved,
    PayoutMethodState,
)
from messages.payments.payout_orders import PayoutProvider
from storage import payout_methods as storage
from storage import users_events
from storage.database import Connection

router = APIRouter(prefix="/api/v1/users/me/payout-methods", tags=["payouts"])

ADD = "POST /api/v1/users/me/payout-methods"
ADDRESS_PLACE = "payout-address"
DIGEST_PLACE = "payout-destination"

Changer = Annotated[Claims, Depends(step_up_for(Sensitive.PAY_OUT))]


class PayPalMethod(Input):
    """The address of a PayPal account."""

    provider: Literal["paypal"]
    address: str = Field(max_length=254)


class StripeMethod(Input):
    """An account that Stripe opens. Its owner has to be onboarded before it is paid."""

    provider: Literal["stripe"]
    country: str = Field(pattern=r"^[A-Z]{2}$", description="As US: where its owner lives.")


NewPayoutMethod = Annotated[PayPalMethod | StripeMethod, Field(discriminator="provider")]


class Onboarding(Input):
    """Where the provider's page leads back to."""

    return_url: Annotated[str, Field(max_length=2_000, pattern=r"^https?://[^\s]+$")]


class OnboardingPage(BaseModel):
    """A page of the provider's, for one use."""

    url: str


class PayoutMethod(BaseModel):
    """Where money may go."""

    method_id: UUID
    provider: PayoutProvider
    label: str = Field(description="What is shown of it: never all of an address.")
    state: PayoutMethodState
    is_default: bool
    added_at_ms: int


class PayoutMethods(BaseModel):
    """All of them, oldest first."""

    items: list[PayoutMethod]


@router.post(
    "",
    status_code=201,
    response_model=PayoutMethod,
    responses=problems(401, 403, 404, 409, replayed=True),
)
async def add_payout_method(
    body: NewPayoutMethod, key: KeyHeader, subject: Changer, services: ServicesDep
) -> Response:
    """Add where money may go. The first is the default. Told by mail; it rests for a day."""
    user_id, at_ms = subject.user_id, services.clock()
    command = command_key(user_id, ADD, key)
    secret = services.settings.fingerprint_secret
    made = attempt(command, secret, body.model_dump_json())
    if (answered := await replay(services.pool, made)) is not None:
        return answered
    new = await _new_method(services, user_id, derive_id("payout-method", command), body)

    async def change(connection: Connection) -> PayoutMethod:
        present = await storage.list_methods(connection, user_id)
        if len(present) >= services.payout_policy.max_methods:
            raise TooManyPayoutMethods(most=services.payout_policy.max_methods)
        await storage.add(connection, new, at_ms)
        fact = PayoutMethodAdded(user_id, new.method_id, new.provider, at_ms)
        await tell(connection, fact, new.label)
        added = await storage.get(connection, new.method_id)
        assert added is not None, "it was added"
        return _shown(added)

    async def lock(connection: Connection) -> None:
        await users_events.lock(connection, user_id)

    return await once(services.pool, made, at_ms, 201, change, lock=lock)


@router.get("")
async def list_payout_methods(subject: PayoutReader, services: ServicesDep) -> PayoutMethods:
    """The caller's payout methods."""
    found = await storage.list_methods(services.pool, subject.user_id)
    return PayoutMethods(items=[_shown(one) for one in found])


@router.post("/{method_id}/onboarding", responses=problems(401, 403, 404))
async def onboard_payout_method(
    method_id: UUID, body: Onboarding, subject: Changer, services: ServicesDep
) -> OnboardingPage:
    """A page where the provider asks its account's owner for what it wants to know."""
    method = await _own(services, method_id, subject.user_id)
    accounts = _accounts(services, method.provider)
    assert method.account is not None, "who opens accounts has them"
    return OnboardingPage(url=await accounts.onboarding(method.account, body.return_url))


@router.post("/{method_id}/refresh", responses=problems(404))
async def refresh_payout_method(
    method_id: UUID, subject: PayoutReader, services: ServicesDep
) -> PayoutMethod:
    """Ask the provider whether it may be paid, where its word of it did not arrive."""
    method = await _own(services, method_id, subject.user_id)
    if method.account is not None:
        found = await _accounts(services, method.provider).fetch(method.account)
        await storage.note(services.pool, method, found.state, services.clock())
    return _shown(await _own(services, method_id, subject.user_id))


@router.put("/{method_id}/default", responses=problems(401, 403, 404))
async def choose_payout_method(
    method_id: UUID, subject: Changer, services: ServicesDep
) -> PayoutMethods:
    """Make it the one that is offered first."""
    user_id = subject.user_id
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, user_id)
        if not await storage.make_default(connection, user_id, str(method_id)):
            raise PayoutMethodNotFound
        found = await storage.list_methods(connection, user_id)
    return PayoutMethods(items=[_shown(one) for one in found])


@router.delete("/{method_id}", status_code=204, responses=problems(401, 403, 404, 409))
async def remove_payout_method(
    method_id: UUID, subject: Changer, services: ServicesDep
) -> Response:
    """Remove it, unless a payout by it is under way. Told by mail."""
    user_id, at_ms = subject.user_id, services.clock()
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, user_id)
        method = await storage.get(connection, str(method_id))
        if method is None or method.user_id != user_id:
            raise PayoutMethodNotFound
        if await storage.in_use(connection, method.method_id):
            raise PayoutMethodInUse
        await storage.remove(connection, user_id, method.method_id)
        fact = PayoutMethodRemoved(user_id, method.method_id, method.provider, at_ms)
        await tell(connection, fact, method.label)
    return Response(status_code=204)


async def _new_method(
    services: Services, user_id: str, method_id: str, body: PayPalMethod | StripeMethod
) -> storage.NewMethod:
    provider = PayoutProvider(body.provider)
    if provider not in services.payout_providers:
        raise PayoutProviderNotConfigured(provider=provider.value)
    vault = services.vault
    if isinstance(body, PayPalMethod):
        address = check_email(body.address)
        sealed = vault.seal(address.encode(), f"{ADDRESS_PLACE}:{user_id}")
        digest = vault.digest(address.casefold(), f"{DIGEST_PLACE}:{user_id}")
        state = PayoutMethodState.READY
        return storage.NewMethod(
            method_id, user_id, provider, None, sealed, digest, masked(address), state
        )
    opened = await _accounts(services, provider).open(body.country, f"{method_id}:open")
    digest = vault.digest(opened.ref, f"{DIGEST_PLACE}:{user_id}")
    label = f"Stripe …{opened.ref[-4:]}"
    return storage.NewMethod(
        method_id, user_id, provider, opened.ref, None, digest, label, opened.state
    )


def masked(address: str) -> str:
    """What is shown of an address: `a…@example.org`."""
    name, _, host = address.rpartition("@")
    return f"{name[:1]}…@{host}"


async def _own(services: Services, method_id: UUID, user_id: str) -> storage.PayoutMethod:
    method = await storage.get(services.pool, str(method_id))
    if method is None or method.user_id != user_id:
        raise PayoutMethodNotFound
    return method


def _accounts(services: Services, provider: PayoutProvider) -> PayoutAccounts:
    """Who opens accounts. Raises PayoutProviderNotConfigured."""
    found = services.payout_accounts.get(provider)
    if found is None:
        raise PayoutProviderNotConfigured(provider=provider.value)
    return found


def _shown(method: storage.PayoutMethod) -> PayoutMethod:
    return PayoutMethod(
        method_id=UUID(method.method_id),
        provider=method.provider,
        label=method.label,
        state=method.state,
        is_default=method.is_default,
        added_at_ms=method.added_at_ms,
    )
