"""Providers that pay out, as far as the settings name them."""

from __future__ import annotations

from functools import partial

from actors.payment_webhooks import Looks
from actors.payout_calls import destinations
from actors.payout_webhooks import AccountLooks, PayoutLooks
from actors.runtime.handle import Handle
from deployments.composition.common import now_ms
from deployments.composition.payments import paypal_account, stripe_account
from deployments.settings import Settings
from integrations.payment_recorder import Recorder
from integrations.payout_accounts import PayoutAccounts
from integrations.payout_courier import PayoutCourier
from integrations.payout_gateway import PayoutGateway
from integrations.payout_gateway_paypal import PayPalPayouts
from integrations.paypal_client import PayPalClient
from integrations.sealing import load_vault
from messages.payments.gateways import GatewayName
from messages.payments.payout_orders import PayoutProvider
from messages.payments.webhooks import About
from storage.database import Pool


def payout_providers(settings: Settings) -> frozenset[PayoutProvider]:
    """Who pays out here."""
    configured = {
        PayoutProvider.STRIPE: settings.stripe_secret_key,
        PayoutProvider.PAYPAL: settings.paypal_client_secret,
    }
    return frozenset(provider for provider, secret in configured.items() if secret)


def open_payout_courier(
    settings: Settings, payouts: Handle, recorder: Recorder, pool: Pool
) -> PayoutCourier:
    """The courier of payouts. It reads where money goes with the installation's vault."""
    vault = load_vault(settings.folder / "sealing")
    return PayoutCourier(
        payouts, open_payout_gateways(settings, recorder), destinations(pool, vault)
    )


def open_payout_gateways(
    settings: Settings, recorder: Recorder
) -> dict[PayoutProvider, PayoutGateway]:
    """A client of each provider that is configured."""
    found: list[PayoutGateway] = []
    if settings.stripe_secret_key:
        from integrations.payout_gateway_stripe import StripePayouts

        open_http = partial(recorder.client, GatewayName.STRIPE)
        found.append(StripePayouts(stripe_account(settings), open_http))
    if settings.paypal_client_secret:
        http = partial(recorder.client, GatewayName.PAYPAL)
        found.append(PayPalPayouts(PayPalClient(paypal_account(settings), http)))
    return {gateway.name: gateway for gateway in found}


def open_payout_accounts(
    settings: Settings, recorder: Recorder
) -> dict[PayoutProvider, PayoutAccounts]:
    """Providers that open an account for whoever is to be paid."""
    if not settings.stripe_secret_key:
        return {}
    from integrations.payout_gateway_stripe import StripeAccounts

    open_http = partial(recorder.client, GatewayName.STRIPE)
    return {PayoutProvider.STRIPE: StripeAccounts(stripe_account(settings), open_http)}


def payout_looks(
    settings: Settings, payouts: Handle, courier: PayoutCourier, recorder: Recorder, pool: Pool
) -> dict[About, Looks]:
    """Who looks at what webhooks say of payouts and of connected accounts."""
    accounts = open_payout_accounts(settings, recorder)
    return {
        About.PAYOUT: PayoutLooks(payouts, courier, pool),
        About.ACCOUNT: AccountLooks(accounts, pool, now_ms),
    }
