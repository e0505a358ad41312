"""Looks after what was left half done with saved methods: cards whose owner never came back from
their bank, and what the provider is still to forget.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from integrations.saved_methods import SavedMethods
from messages.errors import Transient
from messages.payments.gateways import CallDeclined
from messages.payments.saved_methods import SetupStatus
from storage import saved_methods as storage
from storage import saved_methods_changes as changes
from storage.database import Pool
from storage.saved_methods import SavedMethod

AT_ONCE = 20
AGAIN_MS = 60_000
GIVEN_UP_MS = 86_400_000

log = structlog.get_logger(__name__)


class SavedMethodsKeeper:
    """`clock`: epoch milliseconds."""

    def __init__(self, provider: SavedMethods, pool: Pool, clock: Callable[[], int]) -> None:
        self._provider, self._pool, self._clock = provider, pool, clock

    async def run(self) -> int:
        """Do a bounded part of what waits; how much of it is done."""
        done = 0
        for method in await storage.due(self._pool, self._clock(), AT_ONCE):
            done += await self._look(method)
        for ref, kind in await storage.due_to_forget(self._pool, self._clock(), AT_ONCE):
            done += await self._forget(ref, kind)
        return done

    async def _look(self, method: SavedMethod) -> int:
        now_ms = self._clock()
        await storage.postpone(self._pool, method.method_id, now_ms + AGAIN_MS)
        try:
            setup = await self._provider.read(method.setup_ref)
            if setup.card is not None:
                return int(await changes.save(self._pool, method, setup.card, now_ms))
            old = method.made_at_ms + GIVEN_UP_MS <= now_ms
            if setup.status is SetupStatus.PENDING and old:
                await self._provider.cancel(method.setup_ref)
            if setup.status is SetupStatus.ENDED or old:
                await changes.drop(self._pool, method)
                return 1
        except (CallDeclined, Transient) as error:
            log.warning("saved method cannot be looked at", error=error.code)
        return 0

    async def _forget(self, ref: str, kind: str) -> int:
        try:
            if kind == "customer":
                await self._provider.forget_customer(ref)
            else:
                await self._provider.forget_method(ref)
        except CallDeclined:
            pass  # it is gone
        except Transient as error:
            log.warning("provider does not forget yet", error=error.code)
            await storage.forget_later(self._pool, ref, self._clock() + AGAIN_MS)
            return 0
        await storage.forgotten(self._pool, ref)
        return 1
