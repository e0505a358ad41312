"""The books of the providers of payments, and who compares them with ours."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from prometheus_client import CollectorRegistry

from actors.payment_reconciler import Books, Reconciler
from actors.runtime.handle import Handle
from deployments.composition.common import now_ms
from deployments.composition.payments import coinbase_account, paypal_account, stripe_account
from deployments.settings import Settings
from domain.payments.policy import POLICY
from domain.payments.reconciling import GRACE_MS
from integrations.payment_gateway import PaymentGateway
from integrations.payment_recorder import Recorder
from integrations.paypal_client import PayPalClient
from integrations.provider_records import ProviderRecords
from integrations.provider_records_coinbase import CoinbaseRecords
from integrations.provider_records_paypal import PayPalRecords
from messages.payments.gateways import GatewayName
from storage.database import Pool

# Coinbase books a checkout that was refunded when it was made, and payers have a day to pay it.
BEFORE_MS = {GatewayName.COINBASE: POLICY.expire_ms + GRACE_MS}


def open_reconciler(
    settings: Settings,
    pool: Pool,
    payments: Handle,
    gateways: Mapping[GatewayName, PaymentGateway],
    recorder: Recorder,
    registry: CollectorRegistry,
) -> Reconciler:
    """Who compares the books of every provider that is configured with ours."""
    books = {
        one.name: Books(one, gateways[one.name], BEFORE_MS.get(one.name, GRACE_MS))
        for one in open_records(settings, recorder)
    }
    return Reconciler(pool, payments, books, now_ms, registry=registry)


def open_records(settings: Settings, recorder: Recorder) -> list[ProviderRecords]:
    """The books of each provider that is configured."""
    found: list[ProviderRecords] = []
    if settings.stripe_secret_key:
        from integrations.provider_records_stripe import StripeRecords

        http = partial(recorder.client, GatewayName.STRIPE)
        found.append(StripeRecords(stripe_account(settings), http))
    if settings.paypal_client_secret:
        http = partial(recorder.client, GatewayName.PAYPAL)
        found.append(PayPalRecords(PayPalClient(paypal_account(settings), http)))
    if settings.coinbase_key_secret:
        http = partial(recorder.client, GatewayName.COINBASE)
        found.append(CoinbaseRecords(coinbase_account(settings), http))
    return found
