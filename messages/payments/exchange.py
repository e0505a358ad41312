"""Exchange between currencies: published rates, what may be refused, what happened."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import msgspec

from messages.errors import Conflict, Invalid, Limited, NotFound, Unavailable
from messages.ledger import OUTSIDE, account

PURPOSE_CONVERSION = "currency-conversion"


class Rate(msgspec.Struct, frozen=True):
    """`value / 10**scale` of a currency for one of the base: exact, as it was published."""

    value: int
    scale: int


class PublishedRates(msgspec.Struct, frozen=True):
    """Reference rates as a provider published them on a day."""

    provider: str
    base: str
    published_on: date
    rates: Mapping[str, Rate]


class RateSet(msgspec.Struct, frozen=True):
    """Published rates that are kept. published_at_ms: the beginning of their day, UTC."""

    set_id: str
    published: PublishedRates
    published_at_ms: int
    fetched_at_ms: int


# --- accounts ------------------------------------------------------------------------------------


def position(currency: str) -> str:
    """What the platform gave and took by conversions: the treasury carries it, above or below 0."""
    return account(OUTSIDE.rstrip(":"), "treasury", "exchange", currency)


def fees(currency: str) -> str:
    """What the platform earned by conversions."""
    return account("platform", "exchange", "fees", currency)


# --- errors --------------------------------------------------------------------------------------


class ExchangeRateUnavailable(Unavailable):
    """There is no exchange rate that is recent enough."""

    code = "exchange-rate-unavailable"


class ConversionNotOffered(Invalid):
    """Money cannot be converted between these currencies."""

    code = "conversion-not-offered"


class ConversionTooSmall(Invalid):
    """So little is worth nothing in the other currency."""

    code = "conversion-too-small"


class ConversionTooLarge(Invalid):
    """This is more than can be converted at once."""

    code = "conversion-too-large"


class ConversionDayLimit(Limited):
    """This is more than a user can convert in a day."""

    code = "conversion-day-limit"


class ConversionPositionFull(Conflict):
    """The platform takes no more of this currency for now."""

    code = "conversion-position-full"


class QuoteNotFound(NotFound):
    """There is no such quote of yours."""

    code = "quote-not-found"


class QuoteExpired(Conflict):
    """This quote has expired; ask for another."""

    code = "quote-expired"


class QuoteUsed(Conflict):
    """This quote was taken already."""

    code = "quote-used"


# --- events --------------------------------------------------------------------------------------


class FundsConverted(msgspec.Struct, frozen=True, tag=True):
    """A user turned money into another currency. The fee is part of `source_minor`."""

    user_id: str
    conversion_id: str
    source_currency: str
    source_minor: int
    fee_minor: int
    target_currency: str
    target_minor: int
    at_ms: int
