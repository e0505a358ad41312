"""Exchange between currencies: which rate is in force, what a conversion gives, who bears it.

All figures are integers. What a user gets is rounded down and the fee up, so that no chain of
conversions ever makes money.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

import msgspec

from messages.keys import derive_key
from messages.ledger import LedgerTransaction, Posting
from messages.money import minor_per_unit
from messages.payments.accounts import available
from messages.payments.exchange import (
    PURPOSE_CONVERSION,
    ConversionNotOffered,
    ConversionTooLarge,
    ConversionTooSmall,
    ExchangeRateUnavailable,
    PublishedRates,
    Rate,
    RateSet,
    fees,
    position,
)

BPS = 10_000
DAY_MS = 86_400_000


class ExchangePolicy(msgspec.Struct, frozen=True):
    """How money is converted. Raise `version` with any change.

    reporting: the currency in which figures of all currencies are compared.
    fee_bps: the platform's, of what is converted.  quote_ms: how long a quote holds.
    stale_ms: how old rates in force may be, from the beginning of the day that they are of. The
    longest pause of the ECB is over Easter: from Thursday to Tuesday afternoon.
    most_move_bps: rates that moved more since the last in force are not believed.
    most_units, day_units: of the reporting currency, at once and by a user in a day.
    position_units: how much the platform may have given away of a currency beyond what it took.
    """

    version: int = 1
    reporting: str = "USD"
    currencies: tuple[str, ...] = ("USD", "EUR", "GBP")
    fee_bps: int = 50
    quote_ms: int = 60_000
    stale_ms: int = 6 * DAY_MS
    most_move_bps: int = 2_000
    most_units: int = 10_000
    day_units: int = 25_000
    position_units: int = 1_000_000


POLICY = ExchangePolicy()


class Pair(msgspec.Struct, frozen=True):
    """`numerator / denominator` major units of a currency for one of another: exact."""

    numerator: int
    denominator: int


class Terms(msgspec.Struct, frozen=True):
    """What a conversion takes and gives. `reporting_minor`: what it is worth."""

    source_currency: str
    source_minor: int
    fee_minor: int
    target_currency: str
    target_minor: int
    pair: Pair
    reporting_minor: int


def day_begins_ms(day: date) -> int:
    """Epoch milliseconds."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000


def is_in_force(
    published_at_ms: int, fetched_at_ms: int, at_ms: int, policy: ExchangePolicy = POLICY
) -> bool:
    """Whether rates of a day, known since `fetched_at_ms`, may be used at a moment."""
    return fetched_at_ms <= at_ms < published_at_ms + policy.stale_ms


def is_credible(
    fresh: PublishedRates, last: RateSet | None, now_ms: int, policy: ExchangePolicy = POLICY
) -> bool:
    """Whether rates may be kept: not of the future, and near the last ones that are in force.

    A wrong figure could cost the platform any amount within a day, a missing one only sales; and
    once the last ones are stale, whatever is published counts again.
    """
    if day_begins_ms(fresh.published_on) > now_ms:
        return False
    if last is None or not is_in_force(last.published_at_ms, last.fetched_at_ms, now_ms, policy):
        return True
    if fresh.published_on < last.published.published_on:
        return False
    known = last.published.rates
    return all(
        _moved_little(known[code], rate, policy)
        for code, rate in fresh.rates.items()
        if code in known and code in policy.currencies
    )


def _moved_little(before: Rate, after: Rate, policy: ExchangePolicy) -> bool:
    old, new = before.value * 10**after.scale, after.value * 10**before.scale
    little: bool = abs(new - old) * BPS <= old * policy.most_move_bps
    return little


def pair_of(published: PublishedRates, source: str, target: str) -> Pair | None:
    """How much of `target` one of `source` is worth; None where one has no rate."""
    own = Rate(1, 0)
    rates = {**published.rates, published.base: own}
    if source == target:
        return Pair(1, 1)
    if source not in rates or target not in rates:
        return None
    one, other = rates[source], rates[target]
    return Pair(other.value * 10**one.scale, one.value * 10**other.scale)


def worth_minor(amount_minor: int, pair: Pair, source: str, target: str) -> int:
    """What an amount is worth in minor units of `target`, rounded to the nearest."""
    above = amount_minor * pair.numerator * minor_per_unit(target)
    below = pair.denominator * minor_per_unit(source)
    return (2 * above + below) // (2 * below)


def terms(
    rates: RateSet | None,
    source: str,
    target: str,
    source_minor: int,
    now_ms: int,
    policy: ExchangePolicy = POLICY,
) -> Terms:
    """What a conversion would give now.

    Raises ConversionNotOffered, ExchangeRateUnavailable, ConversionTooLarge, ConversionTooSmall.
    """
    offered = policy.currencies
    if source == target or source not in offered or target not in offered:
        raise ConversionNotOffered(source=source, target=target)
    if rates is None or not is_in_force(rates.published_at_ms, rates.fetched_at_ms, now_ms, policy):
        raise ExchangeRateUnavailable
    pair = pair_of(rates.published, source, target)
    reporting = pair_of(rates.published, source, policy.reporting)
    if pair is None or reporting is None:
        raise ExchangeRateUnavailable
    worth = worth_minor(source_minor, reporting, source, policy.reporting)
    if worth > policy.most_units * minor_per_unit(policy.reporting):
        raise ConversionTooLarge(most=policy.most_units, currency=policy.reporting)
    fee = -(-source_minor * policy.fee_bps // BPS)
    target_minor = given_minor(source_minor - fee, pair, source, target)
    if target_minor <= 0:
        raise ConversionTooSmall
    return Terms(source, source_minor, fee, target, target_minor, pair, worth)


def given_minor(amount_minor: int, pair: Pair, source: str, target: str) -> int:
    """What is given for an amount, in minor units of `target`, rounded down."""
    above = amount_minor * pair.numerator * minor_per_unit(target)
    return above // (pair.denominator * minor_per_unit(source))


def movement(conversion_id: str, user_id: str, agreed: Terms) -> LedgerTransaction:
    """The ledger transaction of a conversion: it balances in each currency by itself."""
    taken = agreed.source_minor - agreed.fee_minor
    lines = [
        Posting(available(user_id, agreed.source_currency), -agreed.source_minor),
        Posting(position(agreed.source_currency), taken),
        Posting(position(agreed.target_currency), -agreed.target_minor),
        Posting(available(user_id, agreed.target_currency), agreed.target_minor),
    ]
    if agreed.fee_minor:
        lines.append(Posting(fees(agreed.source_currency), agreed.fee_minor))
    return LedgerTransaction(
        derive_key("conversion", conversion_id),
        f"conversion:{conversion_id}",
        PURPOSE_CONVERSION,
        tuple(lines),
    )


def is_position_full(balance_minor: int, currency: str, policy: ExchangePolicy = POLICY) -> bool:
    """Whether the platform gave away more of a currency than it will."""
    return balance_minor < -policy.position_units * minor_per_unit(currency)
