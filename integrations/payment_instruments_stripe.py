"""Cards at Stripe: `GET /v1/payment_methods/{id}` has a fingerprint and a country of each."""

from __future__ import annotations

import asyncio

from integrations.breaker import CircuitBreaker
from integrations.payment_instruments import Instrument
from integrations.stripe_client import OpenHttp, StripeHttp, StripeSettings, ask, open_client
from messages.errors import Unavailable
from messages.payments.gateways import CallDeclined, CallNotSent, CallOutcomeUnknown

READ_S = 0.5


class StripeInstruments:
    """The port to Stripe. A card that Stripe does not know is no failure of Stripe's."""

    def __init__(
        self,
        settings: StripeSettings,
        open_http: OpenHttp | None = None,
        *,
        read_s: float = READ_S,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        self._http = StripeHttp(read_s, open_http)
        self._client = open_client(settings, self._http)
        self._read_s = read_s
        self._breaker = breaker or CircuitBreaker()

    async def read(self, source: str) -> Instrument | None:
        """The card behind `pm_…`."""
        if not source.startswith("pm_"):
            return None
        try:
            self._breaker.check()
        except Unavailable:
            return None
        methods, answered = self._client.v1.payment_methods, True
        try:
            async with asyncio.timeout(self._read_s):
                found = await ask(lambda: methods.retrieve_async(source))
        except CallDeclined:
            return None
        except (CallNotSent, CallOutcomeUnknown, TimeoutError):
            answered = False
            return None
        finally:
            (self._breaker.succeeded if answered else self._breaker.failed)()
        card = found.card
        if card is None or not card.fingerprint:
            return None
        return Instrument(card.fingerprint, card.country or "")

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]
