"""Providers of payments, as far as the settings name them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from actors.runtime.handle import Handle
from deployments.composition.common import now_ms
from deployments.settings import Settings
from integrations.coinbase_client import CoinbaseAccount
from integrations.payment_breaker import Breaker
from integrations.payment_courier import Courier
from integrations.payment_gateway import PaymentGateway
from integrations.payment_gateway_coinbase import CoinbaseGateway
from integrations.payment_gateway_paypal import PayPalGateway
from integrations.payment_instruments import InstrumentReader
from integrations.payment_recorder import Recorder
from integrations.paypal_client import PayPalAccount, PayPalClient
from integrations.private_files import load_secret
from integrations.risk_scorer import RiskScorer
from integrations.risk_scorer_http import HttpRiskScorer
from integrations.saved_methods import SavedMethods
from messages.payments.exchanges import Exchange
from messages.payments.gateways import GatewayName
from storage import payments_exchanges
from storage.database import Pool

if TYPE_CHECKING:
    from integrations.stripe_client import StripeSettings


def open_recorder(settings: Settings, pool: Pool) -> Recorder:
    """What keeps the exchanges with the providers."""

    async def save(exchanges: Sequence[Exchange]) -> None:
        async with pool.acquire() as connection, connection.transaction():
            await payments_exchanges.add(connection, exchanges)

    digest_key = load_secret(settings.folder / "payments.secret")
    return Recorder(save, now_ms, lambda: str(uuid.uuid4()), digest_key)


def open_courier(settings: Settings, payments: Handle, recorder: Recorder) -> Courier:
    """The courier of calls to the providers."""
    return Courier(payments, open_gateways(settings, recorder))


def open_gateways(settings: Settings, recorder: Recorder) -> dict[GatewayName, PaymentGateway]:
    """A client of each provider that is configured, behind a circuit breaker of its own."""
    found: list[PaymentGateway] = []
    if settings.stripe_secret_key:
        # Stripe's library takes most of a second to import.
        from integrations.payment_gateway_stripe import StripeGateway

        open_http = partial(recorder.client, GatewayName.STRIPE)
        found.append(StripeGateway(stripe_account(settings), open_http))
    if settings.paypal_client_secret:
        http = partial(recorder.client, GatewayName.PAYPAL)
        found.append(PayPalGateway(PayPalClient(paypal_account(settings), http)))
    if settings.coinbase_key_secret:
        http = partial(recorder.client, GatewayName.COINBASE)
        found.append(CoinbaseGateway(coinbase_account(settings), http))
    return {gateway.name: Breaker(gateway, now_ms) for gateway in found}


def open_instruments(settings: Settings, recorder: Recorder) -> InstrumentReader | None:
    """Who knows cards, if a provider of cards is configured."""
    if not settings.stripe_secret_key:
        return None
    from integrations.payment_instruments_stripe import StripeInstruments

    open_http = partial(recorder.client, GatewayName.STRIPE)
    return StripeInstruments(stripe_account(settings), open_http)


def stripe_account(settings: Settings) -> StripeSettings:
    """The account at Stripe."""
    from integrations.stripe_client import StripeSettings

    return StripeSettings(
        settings.stripe_secret_key,
        settings.stripe_webhook_secret,
        settings.stripe_url,
        connect_secret=settings.stripe_connect_webhook_secret,
    )


def paypal_account(settings: Settings) -> PayPalAccount:
    """The account at PayPal."""
    return PayPalAccount(
        settings.paypal_client_id,
        settings.paypal_client_secret,
        settings.paypal_webhook_id,
        settings.paypal_url,
        settings.paypal_webhook_roots,
    )


def coinbase_account(settings: Settings) -> CoinbaseAccount:
    """The account at Coinbase."""
    return CoinbaseAccount(
        settings.coinbase_key_id,
        settings.coinbase_key_secret,
        settings.coinbase_webhook_secret,
        settings.coinbase_commerce_webhook_secret,
        settings.coinbase_url,
    )


def open_scorer(settings: Settings) -> RiskScorer | None:
    """The external scorer of payments, if there is one."""
    if not settings.risk_scorer_url:
        return None
    return HttpRiskScorer(settings.risk_scorer_url, settings.risk_scorer_secret)


def open_saved_methods(settings: Settings, recorder: Recorder) -> SavedMethods | None:
    """Who keeps users' cards, if we have an account there."""
    if not settings.stripe_secret_key:
        return None
    from integrations.saved_methods_stripe import StripeSavedMethods

    open_http = partial(recorder.client, GatewayName.STRIPE)
    return StripeSavedMethods(stripe_account(settings), open_http)
