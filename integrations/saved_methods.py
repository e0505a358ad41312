"""The port to a provider that keeps users' cards for us. Each method is asked again with the same
key until its outcome is known, and raises CallDeclined, CallNotSent or CallOutcomeUnknown.
"""

from __future__ import annotations

from typing import Protocol

from messages.payments.saved_methods import Setup


class SavedMethods(Protocol):
    """A provider of saved cards."""

    async def create_customer(self, user_id: str, key: str) -> str:
        """The provider's name of a user, who has no other properties there."""

    async def begin(self, customer: str, source: str, return_url: str, key: str) -> Setup:
        """Begin to save a card for payments at which its owner is there.

        source: what the provider's script gave the page for the card; empty: the script saves it
        with the client secret.  return_url: where the owner comes back to from their bank.
        """

    async def read(self, setup_ref: str) -> Setup:
        """How far the saving is."""

    async def cancel(self, setup_ref: str) -> None:
        """Give a saving up. Declined if it is over."""

    async def forget_method(self, method_ref: str) -> None:
        """Take a card from its customer, for good. Declined if it is gone."""

    async def forget_customer(self, customer: str) -> None:
        """Delete a customer with all their cards. Declined if they are gone."""

    async def close(self) -> None:
        """Let go of connections."""
