"""Drops: terms, states, reservations, numbers, fees, returns, milestones."""

from __future__ import annotations

from typing import Any

import pytest

from domain.drops import deciding, selling
from domain.drops.policy import drop_policy
from domain.drops.selling import Prepared
from domain.policy import PlatformPhase
from messages.drops.accounts import available, fees
from messages.drops.drops import (
    ActivateDrop,
    CancelDrop,
    DropCancelled,
    DropStatus,
    EndDrop,
    ExpireReservation,
    GetDrop,
    GetReservation,
    MilestoneReached,
    PauseDrop,
    ReleaseReservation,
    ReservationStatus,
    ReturnTokens,
    SupplyChanged,
)
from messages.drops.errors import (
    BadDrop,
    BadReservation,
    DropExists,
    DropNotFound,
    DropSoldOut,
    DropStateForbids,
    NotEnoughTokens,
    OwnDrop,
    ReservationExists,
    ReservationIsPurchased,
    ReservationNotFound,
    ReservationNotPurchased,
    TokenCap,
)
from messages.errors import Refusal
from tests.unit.drops_entities import (
    HOUR_MS,
    POLICY,
    active,
    check,
    draft,
    keep,
    new_drop,
    pay,
    rebuilt,
)
from tests.unit.goods_entities import ARTIST, fund, some_id, user
from tests.unit.rewards_entities import DAY_MS, T0, Entity


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("name", {"name": "ab"}),
        ("name", {"name": "a" * 101}),
        ("name", {"name": " \u200b "}),
        ("price_minor", {"price_minor": -1}),
        ("price_minor", {"price_minor": 10_000 * 100 + 1}),
        ("supply", {"supply": 0}),
        ("supply", {"supply": 100_001}),
        ("days", {"days": 0}),
        ("days", {"days": 91}),
        ("currency", {"currency": "ETH"}),
        ("currency", {"currency": "NFT:x"}),
        ("song_id", {"song_id": "song"}),
        ("artist_user_id", {"artist_user_id": ""}),
    ],
)
def test_terms_out_of_range_are_refused(field: str, changes: dict[str, Any]) -> None:
    drop = new_drop()
    with pytest.raises(BadDrop) as refused:
        drop.send(draft(**changes))
    assert refused.value.params == {"field": field}
    assert drop.events == []


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "abc"}, {"name": "a" * 100}, {"price_minor": 0}, {"price_minor": 1_000_000},
        {"supply": 1}, {"supply": 100_000}, {"days": 1}, {"days": 90},
    ],
)  # fmt: skip
def test_terms_at_the_limits_are_taken(changes: dict[str, Any]) -> None:
    assert new_drop().send(draft(**changes)).status is DropStatus.DRAFT


@pytest.mark.parametrize(
    ("supply", "cap"), [(1, 1), (9, 1), (19, 1), (20, 2), (100, 10), (100_000, 10_000)]
)
def test_a_user_may_buy_a_tenth_of_the_supply_and_one_at_least(supply: int, cap: int) -> None:
    assert new_drop().send(draft(supply=supply)).cap == cap


@pytest.mark.parametrize(
    ("phase", "fee"),
    [(PlatformPhase.LAUNCH, 250), (PlatformPhase.GROWTH, 350), (PlatformPhase.SCALE, 500)],
)
def test_the_platforms_part_follows_its_phase(phase: PlatformPhase, fee: int) -> None:
    assert drop_policy(phase).fee_minor(10_000) == fee


STEPS = {
    "activate": ActivateDrop(), "pause": PauseDrop(), "cancel": CancelDrop("why"), "end": EndDrop(),
}  # fmt: skip
# Where each step leads from each state; None: refused.
MOVES = """
           activate   pause   cancel     end
draft      active     -       cancelled  draft
active     -          paused  cancelled  completed
paused     active     -       cancelled  completed
completed  -          -       -          completed
cancelled  -          -       -          cancelled
"""
ROADS = {
    "draft": [], "active": ["activate"], "paused": ["activate", "pause"],
    "completed": ["activate", "end"], "cancelled": ["cancel"],
}  # fmt: skip


@pytest.mark.parametrize("row", MOVES.strip().splitlines()[1:], ids=lambda row: row.split()[0])
def test_every_step_from_every_state(row: str) -> None:
    start, *ends = row.split()
    for step, end in zip(MOVES.split()[:4], ends, strict=True):
        drop = new_drop()
        drop.send(draft())
        for before in ROADS[start]:
            drop.send(STEPS[before])
        if end == "-":
            with pytest.raises(DropStateForbids):
                drop.send(STEPS[step])
        else:
            drop.send(STEPS[step])
        assert drop.send(GetDrop()).status == (start if end == "-" else end), (start, step)
        assert rebuilt(drop) == drop.state


def test_what_was_not_drafted_is_not_there() -> None:
    for command in (ActivateDrop(), GetDrop(), keep(1, 1), GetReservation(some_id(1))):
        with pytest.raises(DropNotFound):
            new_drop().send(command)
    drop = active()
    with pytest.raises(DropExists):
        drop.send(draft())


def test_the_days_count_from_the_first_activation() -> None:
    drop = active(days=2)
    assert drop.timers == {"end": T0 + 2 * DAY_MS}
    drop.send(PauseDrop(), T0 + DAY_MS)
    assert drop.send(ActivateDrop()).ends_at_ms == T0 + 2 * DAY_MS
    drop.send(deciding.reminded("end"), T0 + 2 * DAY_MS)
    assert drop.state.status is DropStatus.COMPLETED


@pytest.mark.parametrize(
    ("error", "command"),
    [
        (BadReservation, keep(1, 1, 0)),
        (BadReservation, keep(1, 1, -1)),
        (BadReservation, keep(1, 1, 11)),
        (BadReservation, keep(1, 1, until_ms=T0)),
        (BadReservation, keep(1, 1, until_ms=T0 + 25 * HOUR_MS + 1)),
        (BadReservation, keep(1, 1, reservation_id="x")),
        (BadReservation, keep(1, 1, buyer_id="x")),
        (OwnDrop, keep(1, 1, buyer_id=ARTIST)),
        (TokenCap, keep(1, 1, 5)),
    ],
)
def test_what_cannot_be_reserved(error: type[Refusal], command: Any) -> None:
    drop = active(supply=40)
    events = len(drop.events)
    with pytest.raises(error):
        drop.send(command)
    assert len(drop.events) == events
    assert drop.send(keep(1, 1, 4, until_ms=T0 + 25 * HOUR_MS)).count == 4


def test_a_purchase_pays_the_artist_and_the_platform_and_gives_numbers_in_order() -> None:
    drop = active()
    fund(drop, user(1), 10_000)
    kept = drop.send(keep(1, 1, 3))
    assert (kept.status, kept.total_minor, kept.fee_minor) == ("reserved", 3_000, 75)
    drop.send(keep(2, 2, 5))
    bought = drop.send(pay(1))
    assert (bought.status, bought.first_token, bought.last_token) == ("purchased", 1, 3)
    assert drop.ledger.balances[available(ARTIST, "USD")] == 2_925
    assert drop.ledger.balances[available(user(1), "USD")] == 7_000
    assert drop.timers.keys() == {"end", "expire:" + some_id(2)}
    check(drop)


def test_a_number_is_not_skipped_by_what_falls_through() -> None:
    drop = active()
    for buyer in (1, 2, 3):
        fund(drop, user(buyer))
        drop.send(keep(buyer, buyer, 2))
    drop.send(pay(3))
    drop.send(ReleaseReservation(some_id(1), "payment failed"))
    drop.send(deciding.reminded("expire:" + some_id(2)), T0 + HOUR_MS)
    assert drop.send(GetDrop()).left == 98
    fund(drop, user(4))
    drop.send(keep(4, 4, 1, until_ms=T0 + 2 * HOUR_MS))
    assert drop.send(pay(4)).first_token == 3
    check(drop)


def test_tokens_that_are_free_move_no_cash() -> None:
    drop = active(price_minor=0)
    drop.send(keep(1, 1, 2))
    drop.send(pay(1))
    drop.send(ReturnTokens(some_id(1), "unwanted"))
    assert {code for code in drop.ledger.balances if code.endswith("/USD")} == set()
    check(drop)


def test_the_last_token_ends_the_drop_and_milestones_come_once() -> None:
    drop = active(supply=10)
    for buyer in range(1, 11):
        fund(drop, user(buyer))
        drop.send(keep(buyer, buyer))
    with pytest.raises(NotEnoughTokens) as refused:
        drop.send(keep(11, 11))
    assert refused.value.params == {"left": 0, "reserved": 10}
    for buyer in range(1, 11):
        drop.send(pay(buyer))
    reached = [e.percent for e in drop.events if isinstance(e, MilestoneReached)]
    assert reached == [25, 50, 75, 100]
    assert drop.state.status is DropStatus.COMPLETED
    assert drop.names()[-1] == "DropCompleted"
    assert drop.timers == {}
    with pytest.raises(DropSoldOut):
        drop.send(keep(11, 11))
    drop.send(ReturnTokens(some_id(4), "refund"))
    with pytest.raises(DropSoldOut):  # a burned token is gone
        drop.send(keep(11, 11))
    check(drop)


def test_reserved_tokens_may_be_paid_for_while_paused_and_after_the_end() -> None:
    for step in (PauseDrop(), EndDrop()):
        drop = active()
        fund(drop, user(1))
        drop.send(keep(1, 1))
        drop.send(step)
        with pytest.raises(DropStateForbids):
            drop.send(keep(2, 2))
        assert drop.send(pay(1)).status is ReservationStatus.PURCHASED
        check(drop)


def test_a_cancelled_drop_lets_go_of_what_is_reserved() -> None:
    drop = active()
    fund(drop, user(1))
    drop.send(keep(1, 1))
    drop.send(pay(1))
    drop.send(keep(2, 1, 4))
    view = drop.send(CancelDrop("no\u0000" + "x" * 500))
    assert (view.status, view.reserved, view.minted, view.left) == ("cancelled", 0, 1, 99)
    assert drop.send(GetDrop()) == view
    assert [e.reason for e in drop.events if isinstance(e, DropCancelled)] == [""]
    with pytest.raises(ReservationNotFound):
        drop.send(pay(2))
    drop.send(ExpireReservation(some_id(2)))  # its timer still comes
    assert drop.send(ReturnTokens(some_id(1), "cancelled")).status is ReservationStatus.RETURNED
    assert drop.state.of_user == {}
    check(drop)


def test_asked_again_each_step_answers_the_same_and_moves_nothing() -> None:
    drop = active()
    fund(drop, user(1))
    steps = [
        keep(1, 1, 3), pay(1), ReturnTokens(some_id(1), "x"), ReleaseReservation(some_id(9), "x")
    ]  # fmt: skip
    for step in steps:
        first = drop.send(step)
        events = len(drop.events)
        assert drop.send(step) == first
        assert len(drop.events) == events
    assert drop.send(keep(1, 1, 3)).status is ReservationStatus.RETURNED
    for other in (keep(1, 2, 3), keep(1, 1, 2), keep(1, 1, 3, until_ms=T0 + 5)):
        with pytest.raises(ReservationExists):
            drop.send(other)
    check(drop)


def test_a_reservation_is_one_thing_at_a_time() -> None:
    drop = active()
    fund(drop, user(1))
    for command in (pay(1), ReturnTokens(some_id(1), "x"), GetReservation(some_id(1))):
        with pytest.raises(ReservationNotFound):
            drop.send(command)
    drop.send(keep(1, 1))
    with pytest.raises(ReservationNotPurchased):
        drop.send(ReturnTokens(some_id(1), "x"))
    drop.send(pay(1))
    with pytest.raises(ReservationIsPurchased):
        drop.send(ReleaseReservation(some_id(1), "x"))
    assert drop.send(GetReservation(some_id(1))).status is ReservationStatus.PURCHASED


def test_returned_tokens_are_burned_and_all_of_the_money_is_back() -> None:
    drop = active()
    fund(drop, user(1), 10_000)
    drop.send(keep(1, 1, 10))
    drop.send(pay(1))
    with pytest.raises(TokenCap):
        drop.send(keep(2, 1))
    back = drop.send(ReturnTokens(some_id(1), "unwanted"))
    assert (back.status, back.first_token, back.last_token) == ("returned", 1, 10)
    assert drop.ledger.balances[available(user(1), "USD")] == 10_000
    assert drop.ledger.balances[fees("USD")] == drop.ledger.balances[available(ARTIST, "USD")] == 0
    drop.send(keep(2, 1))
    assert drop.send(pay(2)).first_token == 11  # no number twice
    check(drop)


def test_a_purchase_that_the_batch_did_not_price_moves_nothing() -> None:
    """Reserved and paid for in one batch: no cash was asked of the ledger, so no token is made."""
    drop = active()
    drop.send(keep(1, 1))
    unpriced = Prepared(pay(1), None)
    with pytest.raises(ReservationNotFound):
        deciding.decide(POLICY, drop.state, unpriced, T0)
    fund(drop, user(1))
    drop.send(pay(1))
    early = Prepared(ReturnTokens(some_id(1), "x"), None)
    with pytest.raises(ReservationNotPurchased):
        deciding.decide(POLICY, drop.state, early, T0)


def test_what_is_told_is_what_stands() -> None:
    drop: Entity = active()
    fund(drop, user(1))
    for command in (keep(1, 1, 2), pay(1), keep(2, 1), ReturnTokens(some_id(1), "x")):
        drop.send(command)
        (told,) = [e for e in drop.events if isinstance(e, SupplyChanged)][-1:]
        view = drop.send(GetDrop())
        assert (told.reserved, told.minted, told.burned, told.left) == (
            view.reserved, view.minted, view.burned, view.left,
        )  # fmt: skip
    assert selling.reserve(drop.state, ReturnTokens(some_id(1), "x")) == ()
    assert rebuilt(drop) == drop.state
