"""Comparing a provider's books with ours: tables by hand, then faults put in at random."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.payments.reconciling import GRACE_MS, Charge, compare, totals
from domain.payments.routing import cost_minor
from messages.payments.gateways import GatewayName
from messages.payments.reconciliations import DifferenceKind as Is
from messages.payments.reconciliations import Movement
from messages.payments.records import EntryKind, ProviderEntry

NOW = 100 * GRACE_MS
OLD = NOW - 10 * GRACE_MS
KINDS = {"c": EntryKind.CAPTURE, "r": EntryKind.REFUND, "d": EntryKind.DISPUTE,
         "rf": EntryKind.REFUND_FAILED, "dw": EntryKind.DISPUTE_WON}  # fmt: skip


def movement(text: str, number: int) -> Movement:
    """`c 100`, `r 40 EUR`, `r 40 pending`, `c 100 young`."""
    kind, amount, *more = text.split()
    sign = 1 if kind == "c" else -1
    currency = next((word for word in more if word.isupper()), "USD")
    at_ms = NOW - 1 if "young" in more else OLD
    return Movement(KINDS[kind], "ch", "pay", sign * int(amount), currency, at_ms,
                    f"m{number}", "pending" in more)  # fmt: skip


def entry(text: str, number: int) -> ProviderEntry:
    """`c 100`, `r 40 EUR`, `rf 40`, `c 100 young`, `c 100 fee=1`."""
    kind, amount, *more = text.split()
    sign = 1 if kind in {"c", "rf", "dw"} else -1
    currency = next((word for word in more if word.isupper()), "USD")
    at_ms = NOW - 1 if "young" in more else OLD + number
    fee = next((int(w[4:]) for w in more if w.startswith("fee=")), None)
    if fee is None:
        fee = cost_minor(GatewayName.STRIPE, int(amount), currency) if kind == "c" else 0
    return ProviderEntry(f"t{number}", KINDS[kind], "ch", sign * int(amount), currency, at_ms, fee)


def charge(ours: str, theirs: str, payment_id: str = "pay") -> Charge:
    mine = [movement(text, n) for n, text in enumerate(filter(None, ours.split(", ")))]
    books = [entry(text, n) for n, text in enumerate(filter(None, theirs.split(", ")))]
    return Charge(GatewayName.STRIPE, "ch", payment_id, mine, books)


@pytest.mark.parametrize(
    ("ours", "theirs", "found"),
    [
        ("", "", []),
        ("c 100, r 40", "c 100, r 40", []),
        ("c 100, r 40, r 40", "c 100, r 40, r 40", []),
        ("c 100", "c 60, c 40", []),
        ("c 100", "c 100, r 40, rf 40", []),
        ("c 100", "c 100, d 100, dw 100", []),
        ("c 100, d 100", "c 100, d 100", []),
        ("", "c 100", [Is.MISSING_HERE]),
        ("c 100", "c 100, r 40", [Is.MISSING_HERE]),
        ("c 100", "c 100, d 100", [Is.MISSING_HERE]),
        ("c 100, d 100", "c 100, d 100, dw 100", [Is.MISSING_THERE]),
        ("c 100", "", [Is.MISSING_THERE]),
        ("c 100, r 40", "c 100", [Is.MISSING_THERE]),
        ("c 100, r 40", "c 100, r 40, rf 40", [Is.MISSING_THERE]),
        ("c 100", "c 90", [Is.AMOUNT_DIFFERS]),
        ("c 100, r 40", "c 100, r 41", [Is.AMOUNT_DIFFERS]),
        ("c 100", "c 100 EUR", [Is.CURRENCY_DIFFERS]),
        ("c 100", "c 90 EUR", [Is.CURRENCY_DIFFERS]),
        ("c 100", "c 100, c 100", [Is.DUPLICATE]),
        ("c 100, r 40", "c 100, r 40, r 40", [Is.DUPLICATE]),
        ("c 100", "c 100 fee=9", [Is.FEE_UNEXPECTED]),
        ("c 100", "c 100, r 40 young", [Is.STILL_OPEN]),
        ("c 100, r 40 pending", "c 100, r 40", [Is.STILL_OPEN]),
        ("c 100, r 40 pending", "c 100", []),
        ("c 100 young", "", [Is.STILL_OPEN]),
    ],
)
def test_differences(ours: str, theirs: str, found: list[Is]) -> None:
    assert [one.kind for one in compare(charge(ours, theirs), NOW)] == found


def test_a_charge_that_is_not_ours() -> None:
    (one,) = compare(charge("", "c 100 fee=1", payment_id=""), NOW)
    assert (one.kind, one.theirs_minor, one.their_currency) == (Is.UNKNOWN_CHARGE, 100, "USD")


def test_what_is_said_of_a_difference() -> None:
    (one,) = compare(charge("c 100", "c 90"), NOW)
    assert msgspec.to_builtins(one) == {
        "kind": "amount-differs", "entry_kind": "capture", "charge_ref": "ch", "ref": "t0",
        "payment_id": "pay", "at_ms": OLD, "ours_minor": 100, "our_currency": "USD",
        "theirs_minor": 90, "their_currency": "USD",
    }  # fmt: skip


AMOUNTS = st.lists(st.integers(1, 10**9), min_size=1, max_size=4, unique=True)
FAULTS = ("drop-ours", "drop-theirs", "amount", "currency", "twice", "fee", "none")


@st.composite
def histories(draw: st.DrawFn) -> tuple[Charge, str, Is | None]:
    """A charge that is the same on both sides, but for at most one fault."""
    captured, *back = sorted(draw(AMOUNTS), reverse=True)
    ours = [f"c {captured}", *(f"{draw(st.sampled_from('rd'))} {one}" for one in back)]
    theirs = draw(st.permutations(ours))
    made = charge(", ".join(ours), ", ".join(theirs))
    fault = draw(st.sampled_from(FAULTS))
    mine, books = list(made.ours), list(made.theirs)
    n = draw(st.integers(0, len(books) - 1))
    meant: Is | None = None
    match fault:
        case "drop-ours":
            mine.pop(n)
            meant = Is.MISSING_HERE
        case "drop-theirs":
            books.pop(n)
            meant = Is.MISSING_THERE
        case "amount":
            books[n] = replace(books[n], amount_minor=books[n].amount_minor * 2)
            meant = Is.AMOUNT_DIFFERS
        case "currency":
            books[n] = replace(books[n], currency="EUR")
            meant = Is.CURRENCY_DIFFERS
        case "twice":
            books.append(replace(books[n], ref="again"))
            meant = Is.DUPLICATE
        case "fee":
            n = next(k for k, one in enumerate(books) if one.kind is EntryKind.CAPTURE)
            books[n] = replace(books[n], fee_minor=books[n].fee_minor + 2)
            meant = Is.FEE_UNEXPECTED
    return Charge(made.gateway, made.ref, made.payment_id, mine, books), fault, meant


@given(st.lists(histories(), max_size=8))
def test_exactly_what_was_put_in_is_found(made: list[tuple[Charge, str, Is | None]]) -> None:
    found = Counter(
        one.kind
        for each, _, _ in made
        for one in compare(each, NOW)
        # A fee follows the amount, and an amount of another size has another fee.
        if one.kind is not Is.FEE_UNEXPECTED or _fault(each, made) == "fee"
    )
    assert found == Counter(meant for _, _, meant in made if meant is not None)


def _fault(charge: Charge, made: list[tuple[Charge, str, Is | None]]) -> str:
    return next(fault for each, fault, _ in made if each is charge)


@given(st.lists(histories(), max_size=8))
def test_totals_are_those_of_both_sides(made: list[tuple[Charge, str, Is | None]]) -> None:
    differences = [one for each, _, _ in made for one in compare(each, NOW)]
    sums = totals([one for each, _, _ in made for one in each.theirs], differences)
    for currency in ("USD", "EUR"):
        ours = sum(m.amount_minor for e, _, _ in made for m in e.ours if m.currency == currency)
        theirs = sum(t.amount_minor for e, _, _ in made for t in e.theirs if t.currency == currency)
        assert sums.get(currency, [0, 0]) == [ours, theirs]
