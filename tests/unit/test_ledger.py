"""The ledger's rules without a database."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ledger import (
    MAX_AMOUNT_MINOR,
    MAX_BALANCE_MINOR,
    MAX_POSTINGS,
    MAX_TRANSACTIONS,
    Verdict,
    capture,
    check_batch,
    held_account,
    hold,
    net,
    release,
    settle,
)
from messages.errors import IdempotencyKeyReused
from messages.ledger import (
    AmountTooLarge,
    BadAccountCode,
    LedgerTransaction,
    MalformedTransaction,
    Posting,
    Unbalanced,
    UnknownCurrency,
    currency_of,
    transfer,
)
from tests.unit.ledger_naive import NUMBERS, NaiveLedger, transaction_of

KEY = bytes(16)
ANN, BEN = "user:ann:available/VIBES", "user:ben:available/VIBES"
ISSUE = "outside:treasury:issue/VIBES"
SHORT = {"A": ANN, "B": BEN, "O": ISSUE, "H": held_account(ANN)}

# Before, what is posted (key: source amount target), what comes of it, and what is left.
SCENARIOS = """
    A10      | 1:A4B             | applied                        | A6 B4
    A10      | 1:A11B            | insufficient                   | A10
    A10      | 1:A11B 2:A10B     | insufficient applied           | B10
    A10      | 1:A10B 2:B10A     | applied applied                | A10
    A10      | 1:B10A 2:A10B     | insufficient applied           | B10
    A10      | 1:A6B 1:A6B       | applied duplicate              | A4 B6
    A10      | 1:A20B 2:O10A 1:A20B | insufficient applied applied | B20 O-10
    -        | 1:O5A 2:A5B 3:B5O | applied applied applied        | -
    A10      | 1:A7H 2:A7B 3:H7A 4:A7B | applied insufficient applied applied | A3 B7
"""


def amounts(text: str) -> dict[str, int]:
    return {SHORT[item[0]]: int(item[1:]) for item in text.split() if item != "-"}


def moves(text: str) -> list[LedgerTransaction]:
    found = []
    for item in text.split():
        number, move = item.split(":")
        source, target, amount = SHORT[move[0]], SHORT[move[-1]], int(move[1:-1])
        found.append(
            transfer(
                bytes([int(number)]) * 16, source, target, amount, cause="test", purpose="test"
            )
        )
    return found


@pytest.mark.parametrize("row", [row.strip() for row in SCENARIOS.strip().splitlines()])
def test_scenario(row: str) -> None:
    before, posted, verdicts, after = (cell.strip() for cell in row.split("|"))
    found = settle(amounts(before), moves(posted))
    assert [str(verdict) for verdict in found.verdicts] == verdicts.split()
    left = Counter(amounts(before))
    left.update(found.deltas)
    assert {code: amount for code, amount in left.items() if amount} == amounts(after)


BATCHES = st.lists(st.lists(st.integers(0, NUMBERS - 1), max_size=25), min_size=1, max_size=4)


@given(BATCHES)
def test_settle_decides_as_the_naive_ledger(batches: list[list[int]]) -> None:
    naive = NaiveLedger()
    for numbers in batches:
        batch = [transaction_of("w", number) for number in numbers]
        before, known = dict(naive.balances), frozenset(naive.posted)
        found = settle(before, batch, known)
        assert found.verdicts == naive.post_all(batch)
        touched = {code: before.get(code, 0) + delta for code, delta in found.deltas.items()}
        assert naive.balances == before | touched
        per_currency: Counter[str] = Counter()
        for code, delta in found.deltas.items():
            per_currency[currency_of(code)] += delta
        assert not any(per_currency.values())


PAIRS = st.lists(
    st.tuples(st.integers(0, 600), st.integers(0, 600), st.integers(1, 9)).filter(
        lambda drawn: drawn[0] != drawn[1]
    ),
    max_size=1_500,
)


@given(PAIRS)
def test_a_net_moves_what_its_transfers_move(pairs: list[tuple[int, int, int]]) -> None:
    transfers = [
        transfer(KEY, code(source), code(target), amount, cause="each", purpose="hold")
        for source, target, amount in pairs
    ]
    sums = net(transfers, KEY, "all")
    check_batch(sums)
    assert all((one.cause, one.purpose) == ("all", "hold") for one in sums)
    assert gains(sums) == gains(transfers)
    together = {frozenset(pair[:2]) for pair in pairs}
    assert sum(len(one.postings) for one in sums) <= 2 * len(together)


def test_what_cancels_out_is_not_posted() -> None:
    assert net([*moves("1:A5H"), *moves("2:H5A")], KEY, "all") == []


def code(number: int) -> str:
    return f"user:u{number}:available/VIBES"


def gains(transactions: list[LedgerTransaction]) -> Counter[str]:
    found: Counter[str] = Counter()
    for transaction in transactions:
        for posting in transaction.postings:
            found[posting.account] += posting.amount_minor
    return Counter({code: amount for code, amount in found.items() if amount})


def test_together_the_order_does_not_matter() -> None:
    """A sells to B what A gets from outside only afterwards: in order, the first is refused."""
    batch = moves("1:A5B 2:O5A")
    assert settle({}, batch).verdicts == [Verdict.INSUFFICIENT, Verdict.APPLIED]
    found = settle({}, batch, together=True)
    assert found == ([Verdict.APPLIED] * 2, {ANN: 0, BEN: 5, ISSUE: -5})


@given(BATCHES, st.booleans())
def test_together_is_all_or_in_order(batches: list[list[int]], is_rich: bool) -> None:
    for numbers in batches:
        batch = [transaction_of("w", number) for number in numbers]
        rich = {p.account: 10**9 for one in batch for p in one.postings} if is_rich else {}
        known = frozenset(one.key for one in batch[::3])
        whole, ordered = (settle(rich, batch, known, together=way) for way in (True, False))
        if Verdict.INSUFFICIENT in whole.verdicts:
            assert whole == ordered
            continue
        fresh = {one.key: one for one in batch if one.key not in known}
        assert gains(list(fresh.values())) == Counter({c: g for c, g in whole.deltas.items() if g})
        after = {code: rich.get(code, 0) + gain for code, gain in whole.deltas.items()}
        assert all(left >= 0 or code.startswith("outside:") for code, left in after.items())
        assert whole.verdicts.count(Verdict.APPLIED) == len(fresh)
        if Verdict.INSUFFICIENT not in ordered.verdicts:
            assert whole.verdicts == ordered.verdicts


def test_a_known_key_is_a_duplicate_even_if_it_could_not_be_paid_now() -> None:
    (posted,) = moves("1:A5B")
    assert settle({ANN: 0}, [posted], {posted.key}) == ([Verdict.DUPLICATE], {})


def test_a_balance_cannot_outgrow_its_column() -> None:
    full = {ANN: MAX_BALANCE_MINOR - 1}
    assert settle(full, moves("1:O1A")).deltas == {ISSUE: -1, ANN: 1}
    with pytest.raises(AmountTooLarge):
        settle(full, moves("1:O2A"))
    with pytest.raises(AmountTooLarge):
        settle({ISSUE: -MAX_BALANCE_MINOR}, moves("1:O2A"))


GOOD: dict[str, Any] = {
    "key": KEY,
    "cause": "test:1",
    "purpose": "listen-reward",
    "postings": (Posting(ANN, -5), Posting(BEN, 5)),
}


def lines(*pairs: tuple[str, Any]) -> dict[str, Any]:
    return {"postings": tuple(itertools.starmap(Posting, pairs))}


MALFORMED: dict[str, tuple[dict[str, Any], type[MalformedTransaction]]] = {
    "short key": ({"key": bytes(15)}, MalformedTransaction),
    "long key": ({"key": bytes(17)}, MalformedTransaction),
    "no cause": ({"cause": ""}, MalformedTransaction),
    "long cause": ({"cause": "c" * 201}, MalformedTransaction),
    "a null in the cause": ({"cause": "a\0b"}, MalformedTransaction),
    "half a character in the cause": ({"cause": "\ud800"}, MalformedTransaction),
    "purpose of two words": ({"purpose": "listen reward"}, MalformedTransaction),
    "no purpose": ({"purpose": ""}, MalformedTransaction),
    "purpose and a line end": ({"purpose": "refund\n"}, MalformedTransaction),
    "no lines": (lines(), MalformedTransaction),
    "one line": (lines((ANN, 5)), MalformedTransaction),
    "too many lines": (
        lines(*[(ANN, 1), (BEN, -1)] * (MAX_POSTINGS // 2 + 1)),
        MalformedTransaction,
    ),
    "zero": (lines((ANN, 0), (BEN, 0)), MalformedTransaction),
    "float": (lines((ANN, -5.0), (BEN, 5.0)), MalformedTransaction),
    "true": (lines((ANN, -1), (BEN, True)), MalformedTransaction),
    "unbalanced": (lines((ANN, -5), (BEN, 6)), Unbalanced),
    "unbalanced in two currencies": (lines((ANN, -5), ("user:ben:available/USD", 5)), Unbalanced),
    "unknown currency": (lines((ANN, -5), ("user:ben:available/XXX", 5)), UnknownCurrency),
    "no share": (lines((ANN, -5), ("user:ben:available/SHARE:", 5)), UnknownCurrency),
    "no currency": (lines((ANN, -5), ("user:ben:available", 5)), BadAccountCode),
    "no owner": (lines((ANN, -5), ("user::available/VIBES", 5)), BadAccountCode),
    "two slashes": (lines((ANN, -5), ("user:ben:available/USD/VIBES", 5)), BadAccountCode),
    "line end": (lines((ANN, -5), (f"{BEN}\n", 5)), BadAccountCode),
    "outside in disguise": (lines((ANN, -5), (" outside:a:b/VIBES", 5)), BadAccountCode),
    "too large": (lines((ANN, -MAX_AMOUNT_MINOR - 1), (BEN, MAX_AMOUNT_MINOR + 1)), AmountTooLarge),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_transaction_is_refused(case: str) -> None:
    change, error = MALFORMED[case]
    with pytest.raises(error) as raised:
        check_batch([LedgerTransaction(**GOOD), LedgerTransaction(**GOOD | change)])
    assert type(raised.value) is error


def test_well_formed_ones_pass() -> None:
    check_batch([])
    check_batch([LedgerTransaction(**GOOD)] * MAX_TRANSACTIONS)
    largest = lines((ANN, -MAX_AMOUNT_MINOR), (BEN, MAX_AMOUNT_MINOR))
    check_batch([LedgerTransaction(**GOOD | largest)])
    check_batch([LedgerTransaction(**GOOD | lines(*[(ANN, 1), (BEN, -1)] * (MAX_POSTINGS // 2)))])


def test_a_batch_has_an_end() -> None:
    with pytest.raises(MalformedTransaction, match="at most"):
        check_batch([LedgerTransaction(**GOOD)] * (MAX_TRANSACTIONS + 1))


@pytest.mark.parametrize(
    "change", [{"cause": "test:2"}, {"purpose": "refund"}, lines((ANN, 5), (BEN, -5))]
)
def test_one_key_cannot_stand_for_two_things_in_a_batch(change: dict[str, Any]) -> None:
    good = LedgerTransaction(**GOOD)
    with pytest.raises(IdempotencyKeyReused) as raised:
        check_batch([good, LedgerTransaction(**GOOD | change)])
    assert raised.value.params == {"key": KEY.hex()}


def test_a_hold_is_released_or_captured() -> None:
    held = "user:ann:held/SHARE:song"
    available = "user:ann:available/SHARE:song"
    assert held_account(available) == held
    assert hold(KEY, available, 7, cause="order:1").postings == (
        Posting(available, -7),
        Posting(held, 7),
    )
    assert release(KEY, available, 7, cause="order:1").postings == (
        Posting(held, -7),
        Posting(available, 7),
    )
    buyer = "user:ben:available/SHARE:song"
    sale = capture(
        KEY, available, buyer, 5, cause="trade:1", purpose="share-purchase", released_minor=2
    )
    assert sale.postings == (Posting(held, -7), Posting(buyer, 5), Posting(available, 2))
    whole = capture(KEY, available, buyer, 7, cause="trade:1", purpose="share-purchase")
    assert whole.postings == (Posting(held, -7), Posting(buyer, 7))
    check_batch([sale])
