"""Cards at Stripe, over HTTP: the same card again, and what is done without an answer."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from integrations.payment_instruments_stripe import StripeInstruments
from integrations.stripe_client import StripeSettings
from simulators.payments.stripe import SECRET_KEY
from tests.contracts.payment_rigs import Rig, open_rig


@pytest.fixture
async def stripe() -> AsyncIterator[Rig]:
    async with open_rig("stripe") as opened:
        yield opened


@pytest.fixture
async def cards(stripe: Rig) -> AsyncIterator[StripeInstruments]:
    made = StripeInstruments(StripeSettings(SECRET_KEY, "", stripe.url), read_s=0.3)
    yield made
    await made.close()


async def test_a_card_is_the_same_under_another_name(cards: StripeInstruments) -> None:
    first, again, other = [await cards.read(f"pm_{n}") for n in ("DE_a_1", "DE_a_2", "DE_b_1")]
    assert first is not None
    assert first == again
    assert first.country == "DE"
    assert other is not None
    assert other.fingerprint != first.fingerprint


@pytest.mark.parametrize("source", ["pm_nobodys", "tok_visa", "", "pm_"])
async def test_what_is_no_card(cards: StripeInstruments, source: str) -> None:
    assert await cards.read(source) is None


@pytest.mark.parametrize("fault", [{"do": "500"}, {"do": "delay", "ms": 2_000}])
async def test_a_provider_that_does_not_answer_is_left_alone(
    stripe: Rig, cards: StripeInstruments, fault: dict[str, object]
) -> None:
    stripe.faults({"on": "card", "times": 5, **fault})
    assert [await cards.read("pm_DE_a_1") for _ in range(5)] == [None] * 5
    # The plan is used up: it would be answered, but the circuit is open.
    assert await cards.read("pm_DE_a_1") is None


async def test_a_card_that_is_not_there_opens_no_circuit(cards: StripeInstruments) -> None:
    for _ in range(7):
        assert await cards.read("pm_nobodys") is None
    assert await cards.read("pm_DE_a_1") is not None
