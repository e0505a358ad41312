"""A provider that fails is left alone for a while, and what was begun there goes on."""

from __future__ import annotations

from typing import Any

import pytest

from integrations.payment_breaker import Breaker
from integrations.payment_gateway import Order
from messages.payments.gateways import (
    CallDeclined,
    CallNotSent,
    CallOutcomeUnknown,
    GatewayName,
    Method,
    ProviderStatus,
    Snapshot,
)
from messages.payments.payments import Capture

ORDER = Order("p", 1, "USD", Method.CARD, Capture.AUTOMATIC, "x")
FINE = Snapshot("ch", ProviderStatus.CAPTURED, 1, 1)


class Flaky:
    name = GatewayName.STRIPE
    healthy = True

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.asked = 0

    async def create(self, order: Order, key: str) -> Snapshot:
        return self._answer()

    async def fetch(self, ref: str) -> Snapshot:
        return self._answer()

    def _answer(self) -> Snapshot:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return FINE


class Clock:
    now = 0

    def __call__(self) -> int:
        return self.now


def broken() -> tuple[Flaky, Breaker, Clock]:
    flaky, clock = Flaky(), Clock()
    gateway: Any = flaky
    return flaky, Breaker(gateway, clock, failures=3, pause_ms=1_000), clock


async def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        with pytest.raises((CallOutcomeUnknown, CallNotSent)):
            await breaker.create(ORDER, "k")


async def test_it_opens_after_failures_in_a_row_and_closes_with_an_answer() -> None:
    flaky, breaker, clock = broken()
    flaky.error = CallOutcomeUnknown()
    await fail(breaker, 3)
    assert not breaker.healthy
    with pytest.raises(CallNotSent) as error:
        await breaker.create(ORDER, "k")
    assert error.value.params["reason"] == "circuit-open"
    assert flaky.asked == 3
    clock.now = 1_000
    assert breaker.healthy
    flaky.error = None
    assert await breaker.create(ORDER, "k") == FINE
    assert breaker.healthy


async def test_only_one_is_tried_while_it_may_still_be_down() -> None:
    flaky, breaker, clock = broken()
    flaky.error = CallNotSent()
    await fail(breaker, 3)
    clock.now = 1_000
    await fail(breaker, 2)
    assert flaky.asked == 4


async def test_what_was_begun_goes_on_while_it_is_open() -> None:
    flaky, breaker, _clock = broken()
    flaky.error = CallOutcomeUnknown()
    await fail(breaker, 3)
    flaky.error = None
    assert await breaker.fetch("ch") == FINE
    assert breaker.healthy


async def test_a_refusal_is_an_answer() -> None:
    flaky, breaker, _clock = broken()
    flaky.error = CallOutcomeUnknown()
    await fail(breaker, 2)
    flaky.error = CallDeclined()
    with pytest.raises(CallDeclined):
        await breaker.create(ORDER, "k")
    flaky.error = CallOutcomeUnknown()
    await fail(breaker, 2)
    assert breaker.healthy
