"""The port to providers that open an account of their own for whoever is to be paid."""

from __future__ import annotations

from typing import Protocol

from messages.payments.payout_methods import ConnectedAccount


class PayoutAccounts(Protocol):
    """Accounts of users with a provider. Each method raises what `payout_gateway.py` says."""

    async def open(self, country: str, key: str) -> ConnectedAccount:
        """Open an account in a country (ISO 3166-1 alpha-2), once a key."""

    async def onboarding(self, ref: str, return_url: str) -> str:
        """A page of the provider's where the account's owner does their part. For one use."""

    async def fetch(self, ref: str) -> ConnectedAccount:
        """The account as it is."""

    async def close(self) -> None:
        """Let go of connections."""
