"""Cards saved at Stripe: customers, SetupIntents, payment methods, through Stripe's own library."""

from __future__ import annotations

from typing import Any

from integrations.stripe_client import OpenHttp, StripeHttp, StripeSettings, ask, open_client
from messages.payments.saved_methods import SavedCard, Setup, SetupStatus

EXPAND = ["payment_method"]
# Stripe keeps one intent for the attempts at it: what was declined may be tried with another card.
STATUS = {"succeeded": SetupStatus.SUCCEEDED, "canceled": SetupStatus.ENDED}


class StripeSavedMethods:
    """The port to Stripe."""

    def __init__(self, settings: StripeSettings, open_http: OpenHttp | None = None) -> None:
        self._http = StripeHttp(settings.timeout_s, open_http)
        self._client = open_client(settings, self._http).v1

    async def create_customer(self, user_id: str, key: str) -> str:
        """A customer who is known by our id alone."""
        params: Any = {"metadata": {"user_id": user_id}}
        made = await ask(lambda: self._client.customers.create_async(params, _options(key)))
        return str(made.id)

    async def begin(self, customer: str, source: str, return_url: str, key: str) -> Setup:
        """Make a SetupIntent, and confirm it if the page gave a card."""
        params: dict[str, Any] = {
            "customer": customer,
            "usage": "on_session",
            "payment_method_types": ["card"],
            "expand": EXPAND,
        }
        if source:
            params |= {"payment_method": source, "confirm": True}
            if return_url:
                params["return_url"] = return_url
        intents = self._client.setup_intents
        made = await ask(lambda: intents.create_async(params, _options(key)))  # type: ignore[arg-type]
        # Under a key that it knows, Stripe tells the old state again.
        answer = getattr(made, "last_response", None)
        if answer is not None and answer.headers.get("idempotent-replayed") == "true":
            return await self.read(made.id)
        return _setup(made)

    async def read(self, setup_ref: str) -> Setup:
        """The SetupIntent as it is."""
        params: Any = {"expand": EXPAND}
        intents = self._client.setup_intents
        return _setup(await ask(lambda: intents.retrieve_async(setup_ref, params)))

    async def cancel(self, setup_ref: str) -> None:
        """Cancel the SetupIntent."""
        await ask(lambda: self._client.setup_intents.cancel_async(setup_ref))

    async def forget_method(self, method_ref: str) -> None:
        """Detach the payment method: Stripe never takes it again."""
        await ask(lambda: self._client.payment_methods.detach_async(method_ref))

    async def forget_customer(self, customer: str) -> None:
        """Delete the customer."""
        await ask(lambda: self._client.customers.delete_async(customer))

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]


def _options(key: str) -> Any:
    return {"idempotency_key": key}


def _setup(intent: Any) -> Setup:
    status = STATUS.get(intent.status, SetupStatus.PENDING)
    redirect = getattr(intent.next_action, "redirect_to_url", None) if intent.next_action else None
    return Setup(
        ref=intent.id,
        status=status,
        client_secret=intent.client_secret or "",
        url=getattr(redirect, "url", "") or "",
        card=_card(intent.payment_method) if status is SetupStatus.SUCCEEDED else None,
    )


def _card(method: Any) -> SavedCard:
    card = method.card
    return SavedCard(method.id, card.brand, card.last4, card.exp_month, card.exp_year)
