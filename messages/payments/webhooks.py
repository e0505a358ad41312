"""What a provider tells unasked: where to look, and not what to believe."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from messages.errors import Invalid, Unauthenticated
from messages.payments.gateways import GatewayName, Snapshot

STREAM = "webhooks"
# Before the id of a part of a charge, where a provider names no more than that.
PART = "part:"


class WebhookState(StrEnum):
    """What became of a webhook."""

    TAKEN = "taken"
    HANDLED = "handled"
    UNRELATED = "unrelated"


class About(StrEnum):
    """What kind of thing `ref` is."""

    CHARGE = "charge"
    PAYOUT = "payout"
    ACCOUNT = "account"


class WebhookEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event of a provider whose signature was good.

    ref: what it is about (or `part:` and a part of it), empty if it is nothing of ours.  about:
    what kind of thing that is.  payment_id: our id of it (a payment's or a payout's), if it says
    so.  at_ms: when it was made, by the provider's clock.  snapshot: what the event itself says of
    the charge, only where nobody can be asked any more: its word is the last one then.
    """

    event_id: str
    type: str
    at_ms: int
    ref: str = ""
    payment_id: str = ""
    snapshot: Snapshot | None = None
    about: About = About.CHARGE


class WebhookTaken(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A provider told something that is kept, and is to be looked at."""

    gateway: GatewayName
    event_id: str
    kind: str
    ref: str
    payment_id: str
    at_ms: int
    snapshot: Snapshot | None = None
    about: About = About.CHARGE


class WebhookSignatureWrong(Unauthenticated):
    """The signature of this webhook is not the provider's, or too old."""

    code = "webhook-signature-wrong"


class WebhookMalformed(Invalid):
    """This is not a webhook of this provider."""

    code = "webhook-malformed"
