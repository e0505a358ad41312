"""Providers of payments, as far as the settings name them."""

from __future__ import annotations

from actors.runtime.handle import Handle
from deployments.composition.common import now_ms
from deployments.settings import Settings
from integrations.payment_breaker import Breaker
from integrations.payment_courier import Courier
from integrations.payment_gateway import PaymentGateway
from integrations.risk_scorer import RiskScorer
from integrations.risk_scorer_http import HttpRiskScorer
from messages.payments.gateways import GatewayName


def open_courier(settings: Settings, payments: Handle) -> Courier:
    """The courier of calls to the providers."""
    return Courier(payments, open_gateways(settings))


def open_gateways(settings: Settings) -> dict[GatewayName, PaymentGateway]:
    """A client of each provider that is configured, behind a circuit breaker of its own."""
    found: list[PaymentGateway] = []
    if settings.stripe_secret_key:
        # Stripe's library takes most of a second to import.
        from integrations.payment_gateway_stripe import StripeGateway, StripeSettings

        account = StripeSettings(
            settings.stripe_secret_key, settings.stripe_webhook_secret, settings.stripe_url
        )
        found.append(StripeGateway(account))
    return {gateway.name: Breaker(gateway, now_ms) for gateway in found}


def open_scorer(settings: Settings) -> RiskScorer | None:
    """The external scorer of payments, if there is one."""
    if not settings.risk_scorer_url:
        return None
    return HttpRiskScorer(settings.risk_scorer_url, settings.risk_scorer_secret)
