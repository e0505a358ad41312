"""Cards that users save at a provider to pay with again: values, refusals, what happened."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

from messages.errors import Conflict, Limited, NotFound


class SetupStatus(StrEnum):
    """How far the saving of a card is at the provider."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    ENDED = "ended"


class SavedCard(msgspec.Struct, frozen=True):
    """A card as it is shown: never its number. method_ref: the provider's name of it."""

    method_ref: str
    brand: str
    last4: str
    expires_month: int
    expires_year: int


class Setup(msgspec.Struct, frozen=True, omit_defaults=True):
    """The saving of a card, as the provider tells of it. url: where its owner has to go."""

    ref: str
    status: SetupStatus
    client_secret: str = ""
    url: str = ""
    card: SavedCard | None = None


class SavedMethodNotFound(NotFound):
    """You have saved no such method."""

    code = "saved-method-not-found"


class SavedMethodPending(Conflict):
    """This method is not saved yet: its owner has something to do first."""

    code = "saved-method-pending"


class TooManySavedMethods(Limited):
    """No more methods can be saved; remove one first."""

    code = "saved-method-limit"


class PaymentMethodSaved(msgspec.Struct, frozen=True, tag=True):
    """A user saved a card to pay with again."""

    user_id: str
    method_id: str
    at_ms: int


class PaymentMethodRemoved(msgspec.Struct, frozen=True, tag=True):
    """A user removed a card that they had saved."""

    user_id: str
    method_id: str
    at_ms: int


SavedMethodEvent: TypeAlias = PaymentMethodSaved | PaymentMethodRemoved
