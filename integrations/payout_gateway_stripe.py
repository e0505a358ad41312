"""Paying out by Stripe Connect: a Transfer to the account that Stripe opened for the user.

A Transfer takes place at once; it comes back only by a reversal. It carries our id twice: in
`metadata`, which its events show, and as `transfer_group`, by which it is found.
"""

from __future__ import annotations

from typing import Any

from integrations.stripe_client import OpenHttp, StripeHttp, StripeSettings, ask, open_client
from messages.payments.gateways import CallDeclined, CallNotSent, CallOutcomeUnknown
from messages.payments.payout_methods import ConnectedAccount
from messages.payments.payout_orders import (
    PayoutOrder,
    PayoutProgress,
    PayoutProvider,
    PayoutSnapshot,
)

NOT_FOUND = "no-such-transfer"


class StripePayouts:
    """The port to Stripe's Transfers."""

    name = PayoutProvider.STRIPE

    def __init__(self, settings: StripeSettings, open_http: OpenHttp | None = None) -> None:
        self._http = StripeHttp(settings.timeout_s, open_http)
        self._client = open_client(settings, self._http)

    async def pay(self, order: PayoutOrder, key: str) -> PayoutSnapshot:
        """Make the Transfer."""
        params: Any = {
            "amount": order.amount_minor,
            "currency": order.currency.lower(),
            "destination": order.destination,
            "description": order.description,
            "metadata": {"payout_id": order.payout_id},
            "transfer_group": order.payout_id,
        }
        options: Any = {"idempotency_key": key}
        made = await ask(lambda: self._client.v1.transfers.create_async(params, options))
        answer = getattr(made, "last_response", None)
        if answer is None or answer.headers.get("idempotent-replayed") != "true":
            return _snapshot(made)
        try:  # an old answer: it was certainly made, and may have come back since
            return await self.find(order, made.id)
        except CallNotSent as error:
            raise CallOutcomeUnknown(reason=str(error.params.get("reason", ""))) from None

    async def find(self, order: PayoutOrder, ref: str) -> PayoutSnapshot:
        """The Transfer of that id, or of our payout."""
        transfers = self._client.v1.transfers
        if ref:
            return _snapshot(await ask(lambda: transfers.retrieve_async(ref)))
        params: Any = {"transfer_group": order.payout_id, "limit": 1}
        found = await ask(lambda: transfers.list_async(params))
        if not found.data:
            raise CallDeclined(reason=NOT_FOUND)
        return _snapshot(found.data[0])

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]


class StripeAccounts:
    """The port to Stripe's connected accounts (Express: Stripe shows the pages)."""

    def __init__(self, settings: StripeSettings, open_http: OpenHttp | None = None) -> None:
        self._http = StripeHttp(settings.timeout_s, open_http)
        self._client = open_client(settings, self._http)

    async def open(self, country: str, key: str) -> ConnectedAccount:
        """An account that may be transferred to, once its owner was onboarded."""
        params: Any = {
            "type": "express",
            "country": country,
            "capabilities": {"transfers": {"requested": True}},
        }
        options: Any = {"idempotency_key": key}
        return _account(await ask(lambda: self._client.v1.accounts.create_async(params, options)))

    async def onboarding(self, ref: str, return_url: str) -> str:
        """Stripe's page. Where it was used or is too old it leads to `return_url`, too."""
        params: Any = {
            "account": ref,
            "type": "account_onboarding",
            "return_url": return_url,
            "refresh_url": return_url,
        }
        link = await ask(lambda: self._client.v1.account_links.create_async(params))
        return str(link.url)

    async def fetch(self, ref: str) -> ConnectedAccount:
        """The account as it is."""
        return _account(await ask(lambda: self._client.v1.accounts.retrieve_async(ref)))

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]


def _snapshot(transfer: Any) -> PayoutSnapshot:
    returned = bool(transfer.reversed)
    reversals = [one.created for one in transfer.reversals.data] if returned else []
    at_s = max(reversals, default=transfer.created)
    progress = PayoutProgress.RETURNED if returned else PayoutProgress.PAID
    failure = "reversed" if returned else ""
    return PayoutSnapshot(transfer.id, progress, int(at_s) * 1_000, failure=failure)


def _account(account: Any) -> ConnectedAccount:
    return ConnectedAccount(
        account.id, bool(account.details_submitted), bool(account.payouts_enabled)
    )
