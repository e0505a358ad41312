"""Conversions make no money, in no chain of them; which rates are believed and in force."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.exchange import (
    DAY_MS,
    POLICY,
    ExchangePolicy,
    Pair,
    Terms,
    day_begins_ms,
    is_credible,
    is_in_force,
    is_position_full,
    movement,
    pair_of,
    terms,
    worth_minor,
)
from domain.ledger import check_batch
from messages.errors import Invalid, Unavailable
from messages.ledger import currency_of
from messages.money import MINOR_DIGITS
from messages.payments.exchange import (
    ConversionNotOffered,
    ConversionTooLarge,
    ConversionTooSmall,
    ExchangeRateUnavailable,
    PublishedRates,
    Rate,
    RateSet,
)

DAY = date(2026, 11, 27)
BEGINS_MS = day_begins_ms(DAY)
NOW_MS = BEGINS_MS + DAY_MS // 2
FREE = ExchangePolicy(fee_bps=0, most_units=10**12)
rates_of = st.builds(Rate, st.integers(1, 10**12), st.integers(0, 6))
currencies = st.sampled_from(POLICY.currencies)


DOLLAR, POUND = Rate(10842, 4), Rate(85630, 5)


def kept(dollar: Rate = DOLLAR, pound: Rate = POUND, day: date = DAY) -> RateSet:
    published = PublishedRates("ecb", "EUR", day, {"USD": dollar, "GBP": pound})
    begins_ms = day_begins_ms(day)
    return RateSet("set", published, begins_ms, begins_ms + DAY_MS // 4)


def test_a_conversion_by_hand() -> None:
    # 100.00 USD, of which 0.50 is the fee; 99.50 / 1.0842 = 91.7727…
    found = terms(kept(), "USD", "EUR", 10_000, NOW_MS)
    assert (found.fee_minor, found.target_minor, found.reporting_minor) == (50, 9_177, 10_000)
    # 100.00 GBP at 1.0842 / 0.85630, worth 126.61 USD.
    found = terms(kept(), "GBP", "USD", 10_000, NOW_MS)
    assert (found.fee_minor, found.target_minor, found.reporting_minor) == (50, 12_598, 12_661)
    assert Fraction(found.pair.numerator, found.pair.denominator) == Fraction(108420, 85630)


@given(rates_of, rates_of, st.integers(1, 10**15), st.lists(currencies, min_size=1, max_size=6))
def test_no_way_there_and_back_makes_money(
    dollar: Rate, pound: Rate, amount: int, way: list[str]
) -> None:
    held, currency = amount, "EUR"
    for target in [*way, "EUR"]:
        if target == currency:
            continue
        try:
            found = terms(kept(dollar, pound), currency, target, held, NOW_MS, FREE)
        except Invalid:
            return  # too small or too large: nothing is converted
        held, currency = found.target_minor, target
    assert held <= amount


@given(rates_of, rates_of, currencies, currencies, st.integers(1, 10**15), st.integers(0, 9_999))
def test_a_conversion_balances_in_each_currency_and_favours_nobody_but_us(
    dollar: Rate, pound: Rate, source: str, target: str, amount: int, fee_bps: int
) -> None:
    policy = ExchangePolicy(fee_bps=fee_bps, most_units=10**12)
    try:
        found = terms(kept(dollar, pound), source, target, amount, NOW_MS, policy)
    except Invalid:
        return
    moved = movement("conversion", "user", found)
    check_batch([moved])
    for currency in {source, target}:
        lines = [p.amount_minor for p in moved.postings if currency_of(p.account) == currency]
        assert sum(lines) == 0
    exact = Fraction(amount - found.fee_minor) * found.pair.numerator / found.pair.denominator
    exact = exact * 10 ** MINOR_DIGITS[target] / 10 ** MINOR_DIGITS[source]
    assert found.target_minor <= exact < found.target_minor + 1
    assert (
        Fraction(amount * fee_bps, 10_000)
        <= found.fee_minor
        < Fraction(amount * fee_bps, 10_000) + 1
    )


def test_what_is_not_offered() -> None:
    for source, target in (("USD", "USD"), ("USD", "USDC"), ("VIBES", "USD"), ("USD", "JPY")):
        with pytest.raises(ConversionNotOffered):
            terms(kept(), source, target, 100, NOW_MS)
    with pytest.raises(ConversionTooSmall):
        terms(kept(), "USD", "EUR", 1, NOW_MS)
    assert terms(kept(), "EUR", "USD", 922_339, NOW_MS).reporting_minor == 1_000_000
    with pytest.raises(ConversionTooLarge):
        terms(kept(), "EUR", "USD", 922_341, NOW_MS)


def test_rates_have_their_time() -> None:
    found = kept()
    last = found.published_at_ms + POLICY.stale_ms
    for at_ms, good in (
        (found.fetched_at_ms - 1, False), (found.fetched_at_ms, True),
        (last - 1, True), (last, False),
    ):  # fmt: skip
        assert is_in_force(found.published_at_ms, found.fetched_at_ms, at_ms) is good
    for rates, at_ms in ((None, NOW_MS), (found, last)):
        with pytest.raises(ExchangeRateUnavailable) as error:
            terms(rates, "USD", "EUR", 100, at_ms)
        assert isinstance(error.value, Unavailable)
    only_dollars = PublishedRates("ecb", "EUR", DAY, {"USD": Rate(1, 0)})
    with pytest.raises(ExchangeRateUnavailable):
        terms(RateSet("s", only_dollars, BEGINS_MS, BEGINS_MS), "USD", "GBP", 100, NOW_MS)


def test_easter_is_survived() -> None:
    """From Thursday's rates to Tuesday's, which come in the afternoon."""
    thursday, tuesday = date(2026, 4, 2), date(2026, 4, 7)
    found = kept(day=thursday)
    evening = day_begins_ms(tuesday) + DAY_MS * 3 // 4
    assert is_in_force(found.published_at_ms, found.fetched_at_ms, evening)


def test_which_rates_are_believed() -> None:
    last = kept()
    later = day_begins_ms(date(2026, 11, 30)) + 1

    def fresh(dollar: Rate, day: date = date(2026, 11, 30)) -> PublishedRates:
        return PublishedRates("ecb", "EUR", day, {"USD": dollar, "JPY": Rate(1, 6)})

    assert is_credible(fresh(Rate(13010, 4)), last, later)
    assert not is_credible(fresh(Rate(13011, 4)), last, later)  # more than a fifth
    assert not is_credible(fresh(Rate(10842, 2)), last, later)  # the point at another place
    assert not is_credible(fresh(Rate(10842, 4), date(2026, 11, 26)), last, later)
    assert not is_credible(fresh(Rate(10842, 4), date(2026, 12, 1)), last, later)
    stale = last.published_at_ms + POLICY.stale_ms
    assert is_credible(fresh(Rate(10842, 2)), last, stale)
    assert is_credible(fresh(Rate(10842, 2)), None, later)


@given(rates_of, rates_of)
def test_rates_there_and_back_are_each_others_inverse(dollar: Rate, pound: Rate) -> None:
    published = kept(dollar, pound).published
    there, back = pair_of(published, "USD", "GBP"), pair_of(published, "GBP", "USD")
    assert there is not None
    assert back is not None
    assert there.numerator * back.numerator == there.denominator * back.denominator
    assert pair_of(published, "USD", "SEK") is None


def test_worth_is_rounded_to_the_nearest() -> None:
    assert [worth_minor(n, Pair(1, 2), "EUR", "USD") for n in (0, 1, 2, 3)] == [0, 1, 1, 2]
    assert worth_minor(1, Pair(1, 3), "EUR", "USD") == 0
    assert worth_minor(1_000_000, Pair(1, 1), "USDC", "USD") == 100


def test_the_platform_gives_away_so_much() -> None:
    assert not is_position_full(-100_000_000, "USD")
    assert is_position_full(-100_000_001, "USD")
    assert not is_position_full(10**12, "USD")


def test_terms_without_a_fee_have_no_line_for_it() -> None:
    free = Terms("USD", 10, 0, "EUR", 9, Pair(9, 10), 10)
    assert len(movement("c", "u", free).postings) == 4
