"""What only Stripe does: cards that want their owner, declined cards, replayed answers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from messages.payments.gateways import CallDeclined, DisputeStatus, ProviderStatus
from tests.contracts.payment_rigs import ORDER, StripeRig, key, open_rig

WANTS_ITS_OWNER = replace(ORDER, source="pm_card_authenticationRequired")


@pytest.fixture
async def stripe() -> AsyncIterator[StripeRig]:
    async with open_rig("stripe") as opened:
        yield opened


async def test_the_intent_names_the_payment(stripe: StripeRig) -> None:
    await stripe.gateway.create(ORDER, key())
    (intent,) = stripe.simulator.intents.values()
    assert intent["metadata"] == {"payment_id": ORDER.payment_id}
    assert (intent["amount"], intent["currency"]) == (10_000, "usd")


async def test_the_same_key_tells_the_present_state(stripe: StripeRig) -> None:
    same = key()
    first = await stripe.gateway.create(WANTS_ITS_OWNER, same)
    assert first.status is ProviderStatus.REQUIRES_ACTION
    await stripe.approve(first)
    again = await stripe.gateway.create(WANTS_ITS_OWNER, same)
    assert (again.ref, again.status) == (first.ref, ProviderStatus.CAPTURED)


async def test_a_card_that_wants_its_owner(stripe: StripeRig) -> None:
    asked = await stripe.gateway.create(WANTS_ITS_OWNER, key())
    assert asked.action is not None
    assert asked.action.url.endswith(asked.ref)
    assert asked.action.client_secret
    await stripe.post(f"/3ds/{asked.ref}", outcome="fail")
    failed = await stripe.gateway.fetch(asked.ref)
    assert (failed.status, failed.failure) == (ProviderStatus.FAILED, "card_declined")


async def test_a_declined_card(stripe: StripeRig) -> None:
    with pytest.raises(CallDeclined) as error:
        await stripe.gateway.create(replace(ORDER, source="pm_card_chargeDeclined"), key())
    assert error.value.params == {"reason": "generic_decline"}


async def test_a_card_that_disputes_by_itself(stripe: StripeRig) -> None:
    taken = await stripe.gateway.create(replace(ORDER, source="pm_card_createDispute"), key())
    (dispute,) = (await stripe.gateway.fetch(taken.ref)).disputes
    assert (dispute.amount_minor, dispute.status) == (10_000, DisputeStatus.OPEN)
