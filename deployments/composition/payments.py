"""Providers of payments, as far as the settings name them."""

from __future__ import annotations

from actors.runtime.handle import Handle
from deployments.settings import Settings
from integrations.payment_courier import Courier
from integrations.payment_gateway import PaymentGateway
from messages.payments.gateways import GatewayName


def open_courier(settings: Settings, payments: Handle) -> Courier:
    """The courier of calls to the providers."""
    return Courier(payments, open_gateways(settings))


def open_gateways(settings: Settings) -> dict[GatewayName, PaymentGateway]:
    """A client of each provider that is configured."""
    return {}
