"""How often clients of one network may connect, counted in this replica."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from domain.client_address import Network, origin
from domain.rate_limits import CONNECTIONS, Ask, Limit, take

MAX_NETWORKS = 50_000


class Arrivals:
    """Connection attempts by network.

    trusted: proxies whose X-Forwarded-For is believed.  inner: from where the engine's own
    connects.
    """

    def __init__(
        self,
        limit: Limit = CONNECTIONS,
        trusted: tuple[Network, ...] = (),
        inner: tuple[Network, ...] = (),
        clock_us: Callable[[], int] = lambda: time.monotonic_ns() // 1_000,
    ) -> None:
        self._limit, self._trusted, self._inner = limit, trusted, inner
        self._clock_us = clock_us
        self._arrivals_us: dict[str, int] = {}

    def wait_ms(self, peer: str, forwarded_for: Sequence[str]) -> int:
        """Count an attempt of the client behind `peer`; how long to wait first, if it is one too
        many."""
        network = origin(peer, forwarded_for, self._trusted, self._inner).network
        now_us = self._clock_us()
        if len(self._arrivals_us) >= MAX_NETWORKS:
            busy = {name: at for name, at in self._arrivals_us.items() if at > now_us}
            self._arrivals_us = busy if len(busy) < MAX_NETWORKS else {}
        ask = Ask(network, self._limit.interval_us, self._limit.quota, 1)
        arrival_us, grant = take(self._arrivals_us.get(network, 0), now_us, ask)
        self._arrivals_us[network] = arrival_us
        return -(-grant.wait_us // 1_000)
