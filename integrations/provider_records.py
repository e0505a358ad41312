"""The port to a provider's own books, which ours are compared with.

One implementation a provider (`provider_records_<name>.py`, or the gateway's own class where the
two share a client).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from messages.payments.gateways import GatewayName
from messages.payments.records import ProviderEntry


class ProviderRecords(Protocol):
    """A provider's books."""

    @property
    def name(self) -> GatewayName:
        """Whose."""

    def entries(self, since_ms: int, until_ms: int) -> AsyncIterator[ProviderEntry]:
        """All movements of [since_ms, until_ms), in any order, each once; read page by page.

        Raises CallNotSent or CallOutcomeUnknown if the provider cannot be read now: nothing that
        was read before counts then.
        """
