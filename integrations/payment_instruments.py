"""The port to what a provider knows of a card that its script named: the same card, again?

A script names a card anew each time it is typed in; the provider's fingerprint stays.
"""

from __future__ import annotations

from typing import Protocol

import msgspec


class Instrument(msgspec.Struct, frozen=True):
    """A card. `fingerprint`: the same for the same number.  `country`: of its bank, ISO 3166."""

    fingerprint: str
    country: str = ""


class InstrumentReader(Protocol):
    """Who knows cards. One implementation a provider."""

    async def read(self, source: str) -> Instrument | None:
        """The card behind a name, in a bounded time; None if that is not to be had. Never raises:
        what is not known holds nothing up."""

    async def close(self) -> None:
        """Let go of connections."""
