"""How often a caller may ask: leases of the limits that `storage/rate_limits.py` counts.

A request of a busy route costs a few dictionary look-ups: the process takes requests from Redis a
lease at a time and spends them here. What is exact takes one at a time.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from domain.rate_limits import ADDRESS, LIMITS, SECOND_US, Ask, Limit, limit_of
from storage.rate_limits import RateStore

MAX_LEASES = 50_000
ROUNDING = 1e-3  # of a millisecond: a difference of two floats
HeaderPairs = tuple[tuple[bytes, bytes], ...]


class Caller(NamedTuple):
    """user_id: empty if no good token was shown.  network: of the client's address.
    factor: how many times the caller's own limits are those of the table."""

    user_id: str
    network: str
    factor: int = 1


class Verdict(NamedTuple):
    """wait_ms: 0 if the request may pass.  limit: the nearest to its end of those that count."""

    limit: Limit
    quota: int
    left: int
    whole_s: int
    wait_ms: int

    def headers(self) -> HeaderPairs:
        """RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10)."""
        name, window_s = self.limit.name, self.limit.window_s
        return (
            (b"ratelimit-policy", b'"%b";q=%d;w=%d' % (name.encode(), self.quota, window_s)),
            (b"ratelimit", b'"%b";r=%d;t=%d' % (name.encode(), self.left, self.whole_s)),
        )


class _Lease:
    """Requests of one limit that this process may let through for one caller."""

    __slots__ = ("ask", "beyond", "filling", "left", "limit", "refused_until", "whole_at")

    def __init__(self, limit: Limit, key: str, factor: int) -> None:
        quota = limit.quota * factor
        self.limit = limit
        self.ask = Ask(key, max(1, limit.interval_us // factor), quota, limit.lease)
        self.left = self.beyond = 0
        self.whole_at = self.refused_until = 0.0
        self.filling: asyncio.Task[None] | None = None

    def verdict(self, now_s: float) -> Verdict:
        """What the caller is told."""
        wait_ms = max(0, math.ceil((self.refused_until - now_s) * 1_000 - ROUNDING))
        whole_s = max(0, math.ceil(self.whole_at - now_s))
        left = 0 if wait_ms else self.left + self.beyond
        return Verdict(self.limit, self.ask.quota, left, whole_s, wait_ms)


class Limiter:
    """Admits requests. `clock_s` only ever goes on."""

    def __init__(
        self,
        store: RateStore,
        clock_s: Callable[[], float],
        limits: Mapping[str, Limit] = LIMITS,
    ) -> None:
        self._store, self._clock_s, self._limits = store, clock_s, limits
        self._leases: OrderedDict[tuple[str, str], _Lease] = OrderedDict()

    async def admit(self, method: str, path: str, caller: Caller) -> Verdict:
        """Whether a request may pass; if so, it is counted."""
        limit = limit_of(method, path, is_known=bool(caller.user_id))
        return await self.count((limit, ADDRESS), caller)

    async def count(self, limits: Sequence[Limit], caller: Caller) -> Verdict:
        """Count a request under each of `limits`, or under none if one of them is used up.

        The verdict is that of the first, or of the one that is used up.
        """
        leases = [self._lease(limit, caller) for limit in limits]
        while True:
            now_s = self._clock_s()
            for lease in leases:
                if lease.refused_until > now_s:
                    return lease.verdict(now_s)
            empty = [lease for lease in leases if lease.left < 1]
            if not empty:
                break
            await self._fill(empty)
        for lease in leases:
            lease.left -= 1
        return leases[0].verdict(now_s)

    def _lease(self, limit: Limit, caller: Caller) -> _Lease:
        own = caller.user_id if caller.user_id and not limit.by_network else ""
        who = own or caller.network
        lease = self._leases.get((limit.name, who))
        if lease is None:
            limit = self._limits[limit.name]
            lease = _Lease(limit, f"{limit.name}:{who}", caller.factor if own else 1)
            self._leases[limit.name, who] = lease
            if len(self._leases) > MAX_LEASES:
                self._leases.popitem(last=False)
        else:
            self._leases.move_to_end((limit.name, who))
        return lease

    async def _fill(self, empty: Sequence[_Lease]) -> None:
        """Fill what nobody is filling yet, in one round trip, and wait for the rest."""
        mine = [lease for lease in empty if lease.filling is None]
        if mine:
            task = asyncio.create_task(self._take(mine))
            for lease in mine:
                lease.filling = task
        tasks = {lease.filling for lease in empty if lease.filling is not None}
        # Tasks of their own: a client that goes away takes no other's lease along.
        done, _ = await asyncio.wait(tasks)
        for task in done:
            task.result()

    async def _take(self, leases: Sequence[_Lease]) -> None:
        try:
            grants = await self._store.take([lease.ask for lease in leases])
        finally:
            for lease in leases:
                lease.filling = None
        now_s = self._clock_s()
        for lease, grant in zip(leases, grants, strict=True):
            lease.left += grant.granted
            lease.beyond = grant.left
            lease.whole_at = now_s + grant.whole_us / SECOND_US
            if not grant.granted:
                lease.refused_until = now_s + max(grant.wait_us, 1_000) / SECOND_US
