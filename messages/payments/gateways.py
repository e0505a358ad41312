"""What is said between us and the providers of payments, in words that are none of theirs."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from messages.errors import Conflict, Transient


class GatewayName(StrEnum):
    """A provider that takes payments for us."""

    STRIPE = "stripe"
    PAYPAL = "paypal"
    COINBASE = "coinbase"


class Method(StrEnum):
    """How a payer pays."""

    CARD = "card"
    PAYPAL = "paypal"
    CRYPTO = "crypto"


class CallKind(StrEnum):
    """What a provider is asked to do."""

    CREATE = "create"
    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    CANCEL = "cancel"
    REFUND = "refund"
    FETCH = "fetch"


class ProviderStatus(StrEnum):
    """How far a charge is at its provider, from the beginning to the end.

    approved: its payer agreed, and nothing is held or taken until we ask.
    """

    CREATED = "created"
    REQUIRES_ACTION = "requires-action"
    APPROVED = "approved"
    PROCESSING = "processing"
    AUTHORIZED = "authorized"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    CAPTURED = "captured"


class ReturnStatus(StrEnum):
    """How far a refund is at its provider."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class DisputeStatus(StrEnum):
    """How far a payer's complaint at their bank is."""

    OPEN = "open"
    WON = "won"
    LOST = "lost"


class ProviderRefund(msgspec.Struct, frozen=True, omit_defaults=True):
    """A refund as its provider knows it. `refund_id` is ours, empty if we did not ask for it.

    at_ms: the provider's moment of this status.
    """

    ref: str
    amount_minor: int
    status: ReturnStatus
    at_ms: int
    refund_id: str = ""


class ProviderDispute(msgspec.Struct, frozen=True):
    """A dispute as its provider knows it. `amount_minor` is withheld unless it is won."""

    ref: str
    amount_minor: int
    status: DisputeStatus
    at_ms: int


class NextAction(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the payer has to do: go to `url`, or give `client_secret` to the provider's script."""

    url: str = ""
    client_secret: str = ""


class Snapshot(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that a provider says of a charge at one moment. Amounts in minor units of its currency.

    ref: the provider's id.  at_ms: when it came to be in this status, by the provider's clock.
    captured_minor: all that was ever taken.  failure: the provider's word for why not.
    """

    ref: str
    status: ProviderStatus
    at_ms: int
    captured_minor: int = 0
    refunds: tuple[ProviderRefund, ...] = ()
    disputes: tuple[ProviderDispute, ...] = ()
    action: NextAction | None = None
    failure: str = ""


class Call(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something to ask of a provider. Asked again with `key`, it happens once.

    number: of the attempt at the payment that it is part of.  tries: how often it was asked before.
    """

    call_id: str
    kind: CallKind
    gateway: GatewayName
    number: int
    key: str
    ref: str = ""
    amount_minor: int = 0
    refund_id: str = ""
    tries: int = 0


class CallDeclined(Conflict):
    """The provider understood and refused: nothing of it happened, and it will not by itself."""

    code = "payment-declined"


class CallNotSent(Transient):
    """The provider certainly did nothing: it was not reached, or said that it cannot now."""

    code = "payment-gateway-unavailable"


class CallOutcomeUnknown(Transient):
    """The provider may or may not have done it: ask it again with the same key."""

    code = "payment-outcome-unknown"
