"""A request to a provider and its answer, as it is kept: without what is secret."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from messages.payments.gateways import GatewayName
from messages.payments.payments import Source


class Outcome(StrEnum):
    """How a request ended, as far as the wire tells."""

    ANSWERED = "answered"
    DECLINED = "declined"
    NOT_SENT = "not-sent"
    UNKNOWN = "unknown"


class Occasion(msgspec.Struct, frozen=True):
    """Why a provider is asked: of which payment or payout, by which call, how often before."""

    source: Source
    payment_id: str = ""
    payout_id: str = ""
    call_id: str = ""
    kind: str = ""
    tries: int = 0


class Exchange(msgspec.Struct, frozen=True):
    """A request and its answer. Bodies are redacted JSON; None if there was none.

    status: None if no answer came.  request_ref: the provider's own name of the request.
    duration_ms: until the answer was whole.  error: what broke, if anything did.
    """

    exchange_id: str
    gateway: GatewayName
    occasion: Occasion
    key: str
    method: str
    path: str
    request: str | None
    status: int | None
    answer: str | None
    request_ref: str
    started_at_ms: int
    duration_ms: int
    outcome: Outcome
    error: str
