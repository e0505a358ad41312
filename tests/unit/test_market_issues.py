"""Share issues: terms, the way of the sale, caps, locks, and who is paid what of the revenue."""

from __future__ import annotations

from typing import Any

import pytest

from messages.errors import Refusal
from messages.market import (
    ActivateIssue,
    BadIssue,
    BadLock,
    BadPurchase,
    BadRevenue,
    BelowMinimum,
    GetHolding,
    GetIssue,
    HolderCap,
    InsufficientShares,
    IssueExists,
    IssueIsPaused,
    IssueIsSoldOut,
    IssueIsTerminated,
    IssueNotActive,
    IssueNotDraft,
    IssueNotFound,
    IssueNotPaused,
    IssueStatus,
    LockExists,
    NotEnoughOffered,
    OwnIssue,
    PauseIssue,
    PriceDiffers,
    ResumeIssue,
    RevenueInsufficient,
    RevenuePaid,
    SharesLocked,
    SongNotOpen,
    TerminateIssue,
    TooManyLocks,
    UnlockShares,
)
from messages.market.accounts import available, fees, held, locked, offered, revenue
from tests.unit.market_entities import (
    ARTIST,
    ISSUE,
    SHARES,
    active,
    buy,
    check_shares,
    distribute,
    draft,
    fund,
    lock,
    new_issue,
    picture,
    rebuilt,
    receive,
    some_id,
    user,
)
from tests.unit.rewards_entities import DAY_MS, T0, Entity


def cash(issue: Entity, user_id: str) -> int:
    return issue.ledger.balances[available(user_id, "EUR")]


def sold(*buyers: int, shares: int = 200, **changes: Any) -> Entity:
    issue = active(**changes)
    for number, buyer in enumerate(buyers, start=1):
        fund(issue, user(buyer))
        issue.send(buy(number, buyer, shares))
    return issue


# --- terms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("issue_id", {"generation": 2}),
        ("artist_user_id", {"artist_user_id": "the artist"}),
        ("currency", {"currency": "XXX"}),
        ("currency", {"currency": f"SHARE:{ISSUE}"}),
        ("shares", {"shares": 0, "retained": 0}),
        ("shares", {"shares": 10_001, "retained": 5_000}),
        ("retained", {"retained": 9}),
        ("retained", {"retained": 991}),
        ("tick_minor", {"tick_minor": 0}),
        ("cap_bps", {"cap_bps": 2_500}),
        ("cap_bps", {"shares": 4, "retained": 1, "cap_bps": 2_000, "minimum": 1}),
        ("minimum", {"minimum": 0}),
        ("minimum", {"minimum": 201}),
        ("minimum", {"retained": 990, "minimum": 11}),
        ("locked", {"locked": 401, "locked_until_ms": T0 + 1}),
        ("locked_until_ms", {"locked": 1, "locked_until_ms": T0}),
        ("locked_until_ms", {"locked": 1, "locked_until_ms": T0 + 3_651 * DAY_MS}),
        ("price_minor", {"price_minor": 0}),
        ("price_minor", {"price_minor": 255}),
        ("price_minor", {"price_minor": 10**12 + 10, "shares": 100, "retained": 40}),
        ("price_minor", {"price_minor": 10**12, "shares": 10_000, "retained": 5_000}),
        ("currency", {"currency": "ETH"}),
    ],
)
def test_a_term_out_of_range_is_named(field: str, changes: dict[str, Any]) -> None:
    with pytest.raises(BadIssue) as refused:
        new_issue().send(draft(**changes))
    assert refused.value.params["field"] == field


@pytest.mark.parametrize(
    "changes",
    [
        {"shares": 10_000, "retained": 100},
        {"retained": 10},
        {"retained": 990, "minimum": 10},
        {"shares": 2, "retained": 1, "cap_bps": 5_000, "minimum": 1},
    ],
)
def test_terms_at_the_edge_are_taken(changes: dict[str, Any]) -> None:
    assert new_issue().send(draft(**changes)).status is IssueStatus.DRAFT


# --- states ---------------------------------------------------------------------------------------

ACTIVATE, PAUSE, RESUME, END = ActivateIssue(), PauseIssue(), ResumeIssue(), TerminateIssue()
BUY = buy(90, 90, 5)
STATES: dict[str, list[Any]] = {
    "none": [],
    "draft": [draft()],
    "active": [draft(), ACTIVATE],
    "paused": [draft(), ACTIVATE, PAUSE],
    "sold_out": [draft(), ACTIVATE, *(buy(n, n, 200) for n in (1, 2, 3))],
    "terminated": [draft(), ACTIVATE, END],
}
MOVES = [draft(), ACTIVATE, PAUSE, RESUME, END, BUY]
# What each of MOVES leads to, or is refused with, from each of STATES.
TABLE: dict[str, list[Any]] = {
    "none": ["draft", *[IssueNotFound] * 5],
    "draft": [IssueExists, "active", IssueNotActive, IssueNotPaused, "terminated", IssueNotActive],
    "active": [IssueExists, IssueNotDraft, "paused", IssueNotPaused, "terminated", "active"],
    "paused": [IssueExists, IssueNotDraft, IssueIsPaused, "active", "terminated", IssueIsPaused],
    "sold_out": [IssueExists, *[IssueIsSoldOut] * 5],
    "terminated": [IssueExists, *[IssueIsTerminated] * 5],
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("move", range(len(MOVES)))
def test_each_state_allows_what_it_allows(state: str, move: int) -> None:
    issue, expected = new_issue(), TABLE[state][move]
    for buyer in (1, 2, 3, 90):
        fund(issue, user(buyer))
    for command in STATES[state]:
        issue.send(command)
    assert issue.state.issue.status.value == state
    before = picture(issue.state)
    if isinstance(expected, str):
        issue.send(MOVES[move])
        assert issue.state.issue.status.value == expected
    else:
        with pytest.raises(expected):
            issue.send(MOVES[move])
        assert picture(issue.state) == before
    assert picture(rebuilt(issue)) == picture(issue.state)
    check_shares(issue)


def test_activation_makes_all_shares_at_once() -> None:
    issue = active()
    balances = issue.ledger.balances
    assert balances[offered(ISSUE)] == 600
    assert balances[available(ARTIST, SHARES)] == 400
    assert len(issue.ledger.keys) == 1
    assert issue.names() == ["IssueDrafted", "IssueActivated", "HoldingChanged"]


def test_a_song_opens_by_what_it_earned_or_by_an_admin() -> None:
    issue = new_issue()
    issue.send(draft())
    with pytest.raises(SongNotOpen):
        issue.send(ActivateIssue(999))
    assert issue.send(ActivateIssue(1_000)).status is IssueStatus.ACTIVE


def test_what_is_not_sold_goes_back_to_the_artist() -> None:
    issue = sold(1)
    view = issue.send(END)
    assert (view.status, view.voided) == (IssueStatus.TERMINATED, False)
    assert issue.ledger.balances[available(ARTIST, SHARES)] == 800
    check_shares(issue)


def test_an_issue_that_nobody_bought_of_leaves_no_share() -> None:
    issue = active(locked=100, locked_until_ms=T0 + DAY_MS)
    assert issue.send(END).voided
    assert not any(amount for code, amount in issue.ledger.balances.items() if SHARES in code)
    assert issue.timers == {}
    assert issue.events[-1].available == issue.events[-1].locked == 0
    with pytest.raises(IssueIsTerminated):
        issue.send(receive(1, 100))
    issue.send(UnlockShares(T0))
    check_shares(issue)


@pytest.mark.parametrize("what", ["revenue", "order"])
def test_an_issue_with_revenue_or_orders_keeps_its_shares(what: str) -> None:
    issue = active()
    if what == "revenue":
        issue.send(receive(1, 100))
    else:
        issue.state.owned_by(user(1)).buying = 1
    assert not issue.send(END).voided


# --- the sale -------------------------------------------------------------------------------------


def test_a_purchase_moves_cash_and_shares_and_is_remembered() -> None:
    issue = active()
    fund(issue, user(1), 100_000)
    answer = issue.send(buy(1, 1, 200))
    assert (answer.paid_minor, answer.fee_minor) == (50_000, 500)
    assert (answer.holding.available, answer.holding.cost_minor) == (200, 50_000)
    assert [cash(issue, user(1)), cash(issue, ARTIST)] == [50_000, 49_500]
    assert issue.ledger.balances[fees("EUR")] == 500
    assert issue.send(GetHolding(user(1))) == answer.holding
    assert issue.send(GetIssue()).sold == 200
    assert issue.names()[3:] == ["SharesBought", "SharesSold", "HoldingChanged"]
    assert user(1) not in repr([e for e in issue.events if type(e).__name__ == "SharesSold"])
    check_shares(issue)


def test_the_fee_is_rounded_down_in_the_artists_favour() -> None:
    issue = active(price_minor=11, tick_minor=1)
    fund(issue, user(1))
    answer = issue.send(buy(1, 1, 9, price_minor=11))
    assert (answer.paid_minor, answer.fee_minor) == (99, 0)
    assert cash(issue, ARTIST) == 99


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        (buy(9, 9, 0), BadPurchase),
        (buy(9, 9, 10_001), BadPurchase),
        (buy(9, 9, 5, user_id="somebody"), BadPurchase),
        (buy(9, 9, 5, purchase_id=""), BadPurchase),
        (buy(9, 9, 5, user_id=ARTIST), OwnIssue),
        (buy(9, 9, 5, price_minor=240), PriceDiffers),
        (buy(9, 9, 4), BelowMinimum),
        (buy(9, 9, 201), HolderCap),
        (buy(9, 1, 1), HolderCap),
        (buy(9, 1, 1, price_minor=1), HolderCap),
    ],
)
def test_a_purchase_that_may_not_be_is_refused(command: Any, refusal: type[Refusal]) -> None:
    issue = sold(1)
    fund(issue, user(9))
    before = dict(issue.ledger.balances)
    with pytest.raises(refusal):
        issue.send(command)
    assert dict(issue.ledger.balances) == before


def test_the_cap_counts_what_open_orders_may_add() -> None:
    issue = sold(1, shares=100)
    issue.state.owned_by(user(1)).buying = 60
    with pytest.raises(HolderCap) as refused:
        issue.send(buy(8, 1, 41))
    assert refused.value.params["left"] == 40
    issue.send(buy(9, 1, 40))


def test_the_last_shares_may_be_fewer_than_the_minimum() -> None:
    issue = sold(1, 2, shares=200)
    fund(issue, user(3))
    issue.send(buy(3, 3, 197))
    fund(issue, user(4))
    with pytest.raises(NotEnoughOffered):
        issue.send(buy(4, 4, 5))
    with pytest.raises(BelowMinimum):
        issue.send(buy(4, 4, 2))
    issue.send(buy(4, 4, 3))
    assert issue.state.issue.status is IssueStatus.SOLD_OUT
    assert issue.names()[-1] == "IssueSoldOut"
    check_shares(issue)


# --- locks ----------------------------------------------------------------------------------------


def test_retained_shares_may_be_locked_from_the_draft_on() -> None:
    issue = active(locked=300, locked_until_ms=T0 + DAY_MS)
    assert issue.ledger.balances[locked(ARTIST, SHARES)] == 300
    assert issue.timers == {"unlock": T0 + DAY_MS}
    with pytest.raises(SharesLocked):
        issue.send(lock(1, ARTIST, 101, T0 + 5))
    issue.send(UnlockShares(T0 + DAY_MS), T0 + DAY_MS)
    assert issue.send(GetHolding(ARTIST)).available == 400
    check_shares(issue)


def test_a_lock_whose_time_is_over_before_the_activation_is_none() -> None:
    issue = new_issue()
    issue.send(draft(locked=300, locked_until_ms=T0 + 1))
    issue.send(ActivateIssue(), T0 + 1)
    assert (issue.timers, issue.send(GetHolding(ARTIST)).available) == ({}, 400)
    check_shares(issue)


def test_locks_come_free_one_after_the_other() -> None:
    issue = sold(1, 2)
    issue.send(lock(1, user(1), 50, T0 + 3))
    issue.send(lock(2, user(1), 60, T0 + 2))
    issue.send(lock(3, user(2), 10, T0 + 3))
    assert issue.timers == {"unlock": T0 + 2}
    issue.send(UnlockShares(T0 + 2), T0 + 2)
    assert issue.timers == {"unlock": T0 + 3}
    assert issue.send(GetHolding(user(1))).locked == 50
    check_shares(issue)
    issue.send(UnlockShares(T0 + 3), T0 + 3)
    assert issue.send(GetHolding(user(1))).available == 200
    assert issue.state.locks == {}
    check_shares(issue)
    assert picture(rebuilt(issue)) == picture(issue.state)


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        (lock(2, user(1), 0, T0 + 1), BadLock),
        (lock(2, user(1), 1, T0), BadLock),
        (lock(2, user(1), 1, T0 + 3_651 * DAY_MS), BadLock),
        (lock(2, "somebody", 1, T0 + 1), BadLock),
        (lock(1, user(1), 1, T0 + 1), LockExists),
        (lock(2, user(1), 151, T0 + 1), SharesLocked),
        (lock(2, user(1), 201, T0 + 1), InsufficientShares),
        (lock(2, user(2), 1, T0 + 1), InsufficientShares),
    ],
)
def test_a_lock_that_may_not_be_is_refused(command: Any, refusal: type[Refusal]) -> None:
    issue = sold(1)
    issue.send(lock(1, user(1), 50, T0 + 5))
    with pytest.raises(refusal):
        issue.send(command)
    check_shares(issue)


def test_locks_have_a_limit() -> None:
    issue = sold(1, shares=200)
    issue.policy = type(issue.policy)(max_locks=2)
    for number in (1, 2):
        issue.send(lock(number, user(1), 1, T0 + 5))
    with pytest.raises(TooManyLocks):
        issue.send(lock(3, user(1), 1, T0 + 5))


# --- revenue --------------------------------------------------------------------------------------


def parts(issue: Entity) -> dict[str, tuple[int, int]]:
    return {
        e.user_id: (e.shares, e.amount_minor) for e in issue.events if isinstance(e, RevenuePaid)
    }


def test_revenue_is_the_platforms_then_everybodys_by_shares() -> None:
    issue = sold(1, 2)
    before = [cash(issue, who) for who in (user(1), user(2), ARTIST)]
    issue.send(receive(1, 1_000))
    answer = issue.send(distribute(1))
    # 50 of 1,000 are the fee; 950 over 200, 200 and the artist's 400 retained and 200 unsold.
    assert parts(issue) == {ARTIST: (600, 570), user(1): (200, 190), user(2): (200, 190)}
    gained = [cash(issue, who) for who in (user(1), user(2), ARTIST)]
    assert [b - a for a, b in zip(before, gained, strict=True)] == [190, 190, 570]
    assert (answer.fee_minor, answer.artist_minor, answer.holders_minor) == (50, 570, 380)
    assert (answer.holders, answer.parts, answer.waiting_minor) == (2, 4, 0)
    check_shares(issue)


def test_the_last_units_go_to_the_largest_remainders() -> None:
    issue = active(shares=100, retained=10, minimum=1, cap_bps=5_000)
    for buyer, shares in ((3, 30), (2, 33), (1, 27)):
        fund(issue, user(buyer))
        issue.send(buy(buyer, buyer, shares))
    issue.send(receive(1, 17))
    issue.send(distribute(1))
    # No fee of 17; 1.7, 4.59, 5.61 and 5.1: the two left over go to the artist and the second.
    assert parts(issue) == {
        ARTIST: (10, 2),
        user(1): (27, 4),
        user(2): (33, 6),
        user(3): (30, 5),
    }


def test_a_distribution_is_paid_once_for_its_id() -> None:
    issue = sold(1)
    issue.send(receive(1, 1_000))
    first = issue.send(distribute(1, 400))
    before, events = dict(issue.ledger.balances), len(issue.events)
    assert issue.send(distribute(1, 400)) == first
    assert (dict(issue.ledger.balances), len(issue.events)) == (before, events)
    assert issue.send(distribute(2)).amount_minor == 600


def test_shares_count_as_they_are_when_it_is_decided() -> None:
    issue = sold(1, shares=100)
    fund(issue, user(2))
    issue.send(receive(1, 1_000))
    issue.send(buy(8, 2, 100))
    issue.send(lock(1, user(1), 60, T0 + DAY_MS))
    issue.state.owned_by(user(1)).hold(40)
    issue.ledger.balances[available(user(1), SHARES)] -= 40
    issue.ledger.balances[held(user(1), SHARES)] += 40
    issue.send(distribute(1))
    issue.send(buy(9, 2, 100))
    assert parts(issue)[user(1)] == parts(issue)[user(2)] == (100, 95)


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        (receive(2, 0), BadRevenue),
        (receive(2, 2**53 - 100), BadRevenue),
        (receive(2, 1, "outside:treasury:issue/USD"), BadRevenue),
        (receive(2, 1, revenue(ISSUE, "EUR")), BadRevenue),
        (receive(2, 1, "treasury"), BadRevenue),
        (distribute(1, 101), RevenueInsufficient),
        (distribute(1, -1), RevenueInsufficient),
        (distribute(1, salt="guess"), BadRevenue),
    ],
)
def test_revenue_that_may_not_be_is_refused(command: Any, refusal: type[Refusal]) -> None:
    issue = sold(1)
    issue.send(receive(1, 100))
    with pytest.raises(refusal):
        issue.send(command)
    check_shares(issue)


def test_there_is_no_revenue_of_a_draft() -> None:
    issue = new_issue()
    with pytest.raises(IssueNotFound):
        issue.send(receive(1, 1))
    issue.send(draft())
    with pytest.raises(IssueNotActive):
        issue.send(receive(1, 1))
    with pytest.raises(IssueNotActive):
        issue.send(distribute(1))


def test_nothing_waits_to_be_distributed() -> None:
    with pytest.raises(RevenueInsufficient):
        sold(1).send(distribute(1))


def test_a_large_distribution_is_paid_in_pieces_that_the_ledger_takes() -> None:
    issue = active(shares=10_000, retained=100, minimum=1, cap_bps=1_000)
    for buyer in range(1, 2_401):
        fund(issue, user(buyer), 1_000)
        issue.send(buy(buyer, buyer, 4))
    issue.send(receive(1, 1_000_001))
    keys = len(issue.ledger.keys)
    answer = issue.send(distribute(1))
    assert len(issue.ledger.keys) - keys == 3
    assert (answer.holders, answer.parts) == (2_400, 2_402)
    assert sum(amount for _, amount in parts(issue).values()) + answer.fee_minor == 1_000_001
    check_shares(issue)


def test_ids_of_issues_are_those_of_their_songs() -> None:
    assert some_id(1) != ISSUE
    with pytest.raises(BadIssue):
        new_issue().send(draft(song_id=some_id(1)))
