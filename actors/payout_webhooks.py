"""Looks at what webhooks say of payouts and of connected accounts: the provider is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import structlog

from integrations.payment_recorder import during
from integrations.payout_accounts import PayoutAccounts
from integrations.payout_courier import PayoutCourier
from integrations.provider_calls import Asks
from messages.errors import NotFound, Refusal
from messages.keys import derive_key, is_id
from messages.payments.exchanges import Occasion
from messages.payments.gateways import CallDeclined, GatewayName
from messages.payments.payments import Source
from messages.payments.payout_orders import PayoutProvider
from messages.payments.payouts import (
    GetPayout,
    PayoutCallKind,
    PayoutView,
    RecordPayoutSnapshot,
)
from messages.payments.webhooks import WebhookState, WebhookTaken
from storage import payout_methods, payouts
from storage.database import Pool

log = structlog.get_logger(__name__)


class PayoutLooks:
    """Webhooks of payouts: the provider is asked for the payout, its owner is told."""

    def __init__(self, owners: Asks, courier: PayoutCourier, pool: Pool) -> None:
        self._owners = owners
        self._courier = courier
        self._pool = pool

    async def look(
        self, gateway: GatewayName, ref: str, told: Sequence[WebhookTaken]
    ) -> WebhookState:
        """What became of the webhooks. Raises Transient if a provider or an owner is away."""
        provider = PayoutProvider(gateway.value)
        named = next((one.payment_id for one in told if is_id(one.payment_id)), None)
        payout_id = await payouts.find_ref(self._pool, provider, ref) or named
        if payout_id is None or provider not in self._courier.gateways:
            return WebhookState.UNRELATED
        events = [one.event_id for one in told]
        key = derive_key("payout-webhook", gateway.value, *events)
        try:
            payout = await self._owners.ask(payout_id, GetPayout(), key=derive_key(key, "look"))
            assert isinstance(payout, PayoutView)
            kind = PayoutCallKind.FIND.value
            with during(Occasion(Source.WEBHOOK, payout_id=payout_id, kind=kind)):
                snapshot = await self._courier.find(payout, ref)
            command = RecordPayoutSnapshot(provider, snapshot, Source.WEBHOOK)
            await self._owners.ask(payout_id, command, key=key)
        except (CallDeclined, NotFound) as error:
            log.warning("webhook of a payout that is not there", ref=ref, code=error.code)
            return WebhookState.UNRELATED
        except Refusal as refusal:
            log.warning("webhook refused", payout_id=payout_id, code=refusal.code)
            return WebhookState.UNRELATED
        return WebhookState.HANDLED


class AccountLooks:
    """Webhooks of connected accounts: whether their owners may be paid."""

    def __init__(
        self,
        accounts: Mapping[PayoutProvider, PayoutAccounts],
        pool: Pool,
        clock_ms: Callable[[], int],
    ) -> None:
        self._accounts = accounts
        self._pool = pool
        self._clock_ms = clock_ms

    async def look(
        self, gateway: GatewayName, ref: str, told: Sequence[WebhookTaken]
    ) -> WebhookState:
        """What became of the webhooks. Raises Transient if the provider is away."""
        provider = PayoutProvider(gateway.value)
        accounts = self._accounts.get(provider)
        method = await payout_methods.of_account(self._pool, provider, ref)
        if accounts is None or method is None:
            return WebhookState.UNRELATED
        try:
            found = await accounts.fetch(ref)
        except CallDeclined as error:
            log.warning("webhook of an account that is not there", ref=ref, code=error.code)
            return WebhookState.UNRELATED
        await payout_methods.note(self._pool, method, found.state, self._clock_ms())
        return WebhookState.HANDLED
