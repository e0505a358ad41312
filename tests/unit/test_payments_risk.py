"""Antifraud's rules: tables that one can check by eye, and what holds of any policy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.payments.risk import (
    SEVERITY,
    Comparison,
    External,
    RiskPolicy,
    Rule,
    ScorerPolicy,
    Window,
    evaluate,
)
from domain.payments.risk_features import (
    KNOWN,
    WINDOWED,
    Account,
    Asked,
    History,
    Seen,
    features,
    worth_cents,
)
from domain.payments.risk_policy import FIRST, MOST_COUNTED, check, read, write
from integrations.time_zones import countries_of
from messages.payments.payments import Verdict
from messages.payments.risk import RiskPolicyInvalid

HOUR_MS = 3_600_000
NOW = 1_790_000_000_000
OLD = Account(NOW - 400 * 24 * HOUR_MS, has_email=True, email_verified=True, time_zone="UTC")
NOTHING = History({"user": Seen((0, 0, 0), (0, 0, 0), (0, 0, 0))}, 0, None, None, OLD, {}, 0, 0, 0,
                  0, None)  # fmt: skip
ASKED = Asked("p", "u", 10_000, "USD", "card")

# What is known besides an old account and 100 units, and what the first policy makes of it.
TABLE = """
amount_cents 1000000                                   allow    0
amount_cents 1000001                                   review  30 amount-large
user_payments_10m 11                                   allow    0
user_payments_10m 12                                   allow   30 user-many-10m
user_payments_10m 12, user_payments_1h 25              review  55 user-many-10m user-many-1h
user_payments_10m 40                                   deny    80 user-many-10m user-flood-10m
user_spent_24h 2500001                                 review  20 user-spent-24h
card_payments_10m 8                                    allow   30 card-many-10m
device_payments_10m 20                                 allow   30 device-many-10m
network_payments_10m 60                                allow   20 network-many-10m
user_declined_10m 3                                    allow    0
user_declined_10m 4                                    review  50 user-declined-10m
user_declined_1h 8                                     deny    50 user-declined-1h
card_declined_1h 4                                     allow   40 card-declined-1h
card_declined_24h 8                                    deny    50 card-declined-24h
device_declined_1h 8                                   deny    50 device-declined-1h
network_declined_1h 40                                 review  40 network-declined-1h
amount_to_median_pct 2000, amount_to_most_pct 500      allow   40 amount-unusual amount-largest
account_age_minutes 59                                 allow   25 account-an-hour-old account-a-day-old
account_age_minutes 60                                 allow   10 account-a-day-old
account_age_minutes 1440                               allow    0
email_unverified 1                                     allow   10 email-unverified
email_unverified 0                                     allow    0
country_mismatch 1                                     allow   15 country-mismatch
card_country_mismatch 1                                allow   15 card-of-another-country
card_users 2                                           allow    0
card_users 3                                           allow   35 card-shared
card_users 6                                           deny    85 card-shared card-of-many
device_users 5                                         allow   30 device-shared
linked_denied 1                                        allow   40 linked-to-denied
linked_denied 1, linked_disputed 1                     review  80 linked-to-denied linked-to-disputed
user_disputes 1                                        allow   30 disputed-before
user_disputes 3                                        review  70 disputed-before disputed-often
card_disputes 1                                        review  50 card-disputed
card_disputes 1, linked_denied 1                       deny    90 linked-to-denied card-disputed
"""  # noqa: E501 - a table


@pytest.mark.parametrize("line", TABLE.strip().splitlines())
def test_the_first_policy(line: str) -> None:
    known, said = line[:55], line[55:].split()
    given_ = {name: int(value) for name, value in (one.split() for one in known.split(","))}
    found = evaluate({**features(ASKED, NOTHING, NOW), **given_}, FIRST)
    assert [found.verdict, str(found.score), *(one.code for one in found.reasons)] == said


def test_reasons_explain_themselves() -> None:
    (reason,) = evaluate({"amount_cents": 1_000_001}, FIRST).reasons
    assert (reason.code, reason.feature, reason.value) == (
        "amount-large",
        "amount_cents",
        1_000_001,
    )
    assert (reason.comparison, reason.threshold, reason.weight) == (">", 1_000_000, 30)


def test_what_is_not_known_makes_no_rule_hold() -> None:
    found = evaluate({}, FIRST)
    assert (found.verdict, found.score, found.reasons) == (Verdict.ALLOW, 0, ())
    assert {one.value for one in found.outcomes} == {None}


# score of the scorer, our own weights, its share: the sum, and the verdict
@pytest.mark.parametrize(
    ("score", "share", "points", "verdict"),
    [(0, 50, 30, "allow"), (39, 50, 49, "allow"), (40, 50, 50, "review"), (100, 50, 80, "review"),
     (100, 60, 90, "deny"), (100, 100, 100, "deny"), (100, 0, 30, "allow")],
)  # fmt: skip
def test_a_scorers_share(score: int, share: int, points: int, verdict: str) -> None:
    policy = replace(FIRST, scorer=ScorerPolicy(share, None))
    found = evaluate({"device_users": 5}, policy, External(score))
    assert (found.score, found.verdict) == (points, verdict)


@pytest.mark.parametrize(
    ("amount", "above", "verdict"),
    [(100, 100, "allow"), (101, 100, "review"), (10**9, None, "allow"), (1, 0, "review")],
)
def test_a_scorers_silence(amount: int, above: int | None, verdict: str) -> None:
    policy = RiskPolicy(
        (Rule("x", "card_users", Comparison.IS, 9, 1),), scorer=ScorerPolicy(50, above)
    )
    found = evaluate({"amount_cents": amount}, policy, External(None, "timeout"))
    assert (found.verdict, found.score) == (verdict, 0)


def test_features_of_a_payment() -> None:
    seen = {
        "user": Seen((1, 2, 3), (100, 200, 300), (0, 1, 2)),
        "card": Seen((0, 0, 9), (0, 0, 900), (0, 0, 0)),
    }
    history = replace(
        NOTHING, seen=seen, completed=3, median_cents=5_000, most_cents=8_000, others={"card": 2},
        card_disputes=1,
    )  # fmt: skip
    found = features(ASKED, history, NOW)
    expected = {
        "amount_cents": 10_000, "user_payments_10m": 2, "user_payments_24h": 4,
        "user_spent_1h": 10_200, "user_declined_24h": 2, "card_payments_24h": 10,
        "card_spent_24h": 10_900, "amount_to_median_pct": 200, "amount_to_most_pct": 125,
        "card_users": 3, "card_disputes": 1, "email_unverified": 0,
        "account_age_minutes": 400 * 24 * 60,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    assert "device_users" not in found
    names = {f"{name}_{window}" for name in WINDOWED for window in Window} | set(KNOWN)
    assert set(found) <= names


# Of the bill, of the card, around the payer's clock: what does not match the clock, or the bill.
@pytest.mark.parametrize(
    ("bill", "card", "clock", "mismatch", "card_mismatch"),
    [("DE", "DE", "DE", 0, 0), ("BR", "DE", "DE", 1, 1), ("DE", "BR", "DE", 0, 1),
     ("", "DE", "DE", None, 0), ("", "BR", "DE", None, 1), ("", "BR", "", None, None),
     ("DE", "BR", "", None, 1), ("DE", "", "DE", 0, None), ("", "", "DE", None, None)],
)  # fmt: skip
def test_countries(
    bill: str, card: str, clock: str, mismatch: int | None, card_mismatch: int | None
) -> None:
    asked = replace(ASKED, billing_country=bill, card_country=card)
    found = features(asked, NOTHING, NOW, {clock} if clock else ())
    said = found.get("country_mismatch"), found.get("card_country_mismatch")
    assert said == (mismatch, card_mismatch)


def test_an_account_that_is_not_known_and_one_without_an_address() -> None:
    assert "account_age_minutes" not in features(ASKED, replace(NOTHING, account=None), NOW)
    bare = replace(NOTHING, account=replace(OLD, has_email=False, email_verified=False))
    assert "email_unverified" not in features(ASKED, bare, NOW)


@pytest.mark.parametrize(
    ("amount", "currency", "cents"),
    [(1_000_000, "USD", 1_000_000), (10_000_000_000, "USDC", 1_000_000),
     (10_000_000_001, "USDC", 1_000_001), (1, "ETH", 1)],
)  # fmt: skip
def test_worth_is_rounded_up(amount: int, currency: str, cents: int) -> None:
    assert worth_cents(amount, currency) == cents


@pytest.mark.parametrize(
    ("zone", "countries"),
    [("Europe/Berlin", {"DE", "DK", "NO", "SE", "SJ"}), ("America/Sao_Paulo", {"BR"}),
     ("UTC", set()), ("Nowhere/At_All", set())],
)  # fmt: skip
def test_countries_of_time_zones(zone: str, countries: set[str]) -> None:
    assert countries_of(zone) == countries


GOOD = Rule("good", "user_payments", Comparison.AT_LEAST, 3, 10, Window.HOUR)


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (RiskPolicy(()), "1 to 100 rules"),
        (RiskPolicy((GOOD, GOOD)), "each rule has a code of its own"),
        (RiskPolicy((GOOD,), review_at=60, deny_at=50), "0 < review_at <= deny_at <= 100"),
        (RiskPolicy((GOOD,), scorer=ScorerPolicy(101)), "scorer.share_pct: 0 to 100"),
        (RiskPolicy((replace(GOOD, code="Bad Code"),)), "a code is words"),
        (RiskPolicy((replace(GOOD, code="external-score"),)), "the external scorer's"),
        (RiskPolicy((replace(GOOD, feature="moon"),)), "no such feature: moon"),
        (RiskPolicy((replace(GOOD, window=None),)), "a window is for"),
        (RiskPolicy((replace(GOOD, feature="card_users"),)), "a window is for"),
        (RiskPolicy((replace(GOOD, threshold=MOST_COUNTED + 1),)), "threshold: 0 to 1000"),
        (RiskPolicy((replace(GOOD, threshold=-1),)), "threshold: 0 to 1000"),
        (RiskPolicy((replace(GOOD, weight=0),)), "weight: 0 to 100"),
        (RiskPolicy((replace(GOOD, weight=101),)), "weight: 0 to 100"),
        (RiskPolicy((replace(GOOD, verdict=Verdict.ALLOW),)), "a rule cannot allow"),
    ],
)  # fmt: skip
def test_policies_that_cannot_be_used(policy: RiskPolicy, reason: str) -> None:
    with pytest.raises(RiskPolicyInvalid) as refused:
        check(policy)
    assert reason in str(refused.value.params["reason"])


def test_the_first_policy_can_be_used() -> None:
    assert check(FIRST) is FIRST
    assert read(write(FIRST)) == FIRST


names = st.sampled_from(sorted(KNOWN))
rules = st.builds(
    lambda code, feature, comparison, threshold, weight, window, verdict: Rule(
        f"rule-{code}", feature, comparison, threshold, weight,
        window if feature in WINDOWED else None, verdict,
    ),
    st.integers(0, 10**6), names, st.sampled_from(Comparison), st.integers(0, 5),
    st.integers(1, 100), st.sampled_from(Window),
    st.sampled_from([None, Verdict.REVIEW, Verdict.DENY]),
)  # fmt: skip
policies = st.builds(
    RiskPolicy,
    st.lists(rules, min_size=1, max_size=8, unique_by=lambda rule: rule.code).map(tuple),
    st.integers(1, 60),
    st.integers(60, 100),
    st.builds(ScorerPolicy, st.integers(0, 100), st.none() | st.integers(0, 5)),
)
known = st.dictionaries(
    st.sampled_from(
        sorted([*KNOWN, *(f"{name}_{window}" for name in WINDOWED for window in Window)])
    ),
    st.integers(0, 6),
)
externals = st.none() | st.builds(External, st.none() | st.integers(0, 100))


@given(policies, known, externals, rules)
def test_another_rule_never_makes_a_payment_look_better(
    policy: RiskPolicy, seen: dict[str, int], external: External | None, rule: Rule
) -> None:
    before = evaluate(seen, policy, external)
    after = evaluate(seen, replace(policy, rules=(*policy.rules, rule)), external)
    assert after.score >= before.score
    assert SEVERITY[after.verdict] >= SEVERITY[before.verdict]
    is_known = seen.get(rule.named) is not None
    assert is_known or (after.score, after.verdict) == (before.score, before.verdict)


@given(policies, known, externals)
def test_a_replay_comes_to_the_same(
    policy: RiskPolicy, seen: dict[str, int], external: External | None
) -> None:
    found = evaluate(seen, policy, external)
    assert evaluate(dict(reversed(seen.items())), read(write(policy)), external) == found
    assert 0 <= found.score <= 100
    for one in found.reasons:
        if one.verdict is not None:
            assert SEVERITY[found.verdict] >= SEVERITY[one.verdict]


@given(policies, known, st.integers(0, 99), st.integers(1, 100))
def test_a_worse_score_of_the_scorer_never_helps(
    policy: RiskPolicy, seen: dict[str, int], score: int, more: int
) -> None:
    less = evaluate(seen, policy, External(score))
    worse = evaluate(seen, policy, External(min(100, score + more)))
    assert worse.score >= less.score
    assert SEVERITY[worse.verdict] >= SEVERITY[less.verdict]
