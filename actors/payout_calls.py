"""Performs the calls of payouts: the consumer of `PayoutCallDue`; and where their money goes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from actors.overdue_calls import OverdueCalls
from integrations.payout_courier import PayoutCourier
from integrations.provider_calls import Asks
from integrations.sealing import Vault
from messages.keys import derive_key
from messages.payments.payouts import GetPayout, PayoutCallDue, PayoutCallKind, PayoutView
from storage import payout_methods
from storage.database import Pool

ADDRESS_PLACE = "payout-address"


class PayoutCallsHandler(OverdueCalls[PayoutCallDue]):
    """A consumer group: a payout's provider is asked when its time has come, and again."""

    group = "payout_calls"
    due_type = PayoutCallDue

    def __init__(self, payouts: Asks, courier: PayoutCourier, clock_ms: Callable[[], int]) -> None:
        super().__init__()
        self._clock_ms = clock_ms
        self._payouts = payouts
        self._courier = courier

    async def again(self, due: PayoutCallDue) -> None:
        """Ask the provider, unless the owner has its answer."""
        key = derive_key("payout-due", due.call.call_id, due.call.tries)
        payout = await self._payouts.ask(due.payout_id, GetPayout(), key=key)
        assert isinstance(payout, PayoutView)
        call = payout.call
        if call is None or call.call_id != due.call.call_id:
            return
        if self._clock_ms() < call.until_ms or call.kind is PayoutCallKind.FIND:
            await self._courier.perform(payout, call)


def destinations(pool: Pool, vault: Vault) -> Callable[[str], Awaitable[str]]:
    """Where a payout method sends money: an account, or an address that was sealed."""

    async def destination(method_id: str) -> str:
        method = await payout_methods.get(pool, method_id)
        if method is None:
            return ""
        if method.sealed is None:
            return method.account or ""
        return vault.open(method.sealed, f"{ADDRESS_PLACE}:{method.user_id}").decode()

    return destination
