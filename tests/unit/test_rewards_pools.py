"""Pools: funded, paying by schedule, depleted, closed; nothing appears or vanishes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages.errors import Refusal
from messages.listening import Tier
from messages.rewards import (
    TREASURY,
    ArtistShareAccrued,
    ClosePool,
    FundPool,
    GetPool,
    ListenRewardRefused,
    OpenPool,
    PoolDrawn,
    PoolStatus,
    RewardPaid,
    accrued_account,
    pool_account,
)
from tests.unit.rewards_entities import (
    ARTIST,
    DAY_MS,
    POOL,
    SONG,
    T0,
    USER,
    VIBES,
    WEEK_MS,
    Entity,
    new_pool,
    pay,
    session,
)


def funded(vibes: int = 1_000) -> Entity:
    pool = new_pool()
    pool.send(OpenPool(POOL, "Everyone", WEEK_MS))
    pool.send(FundPool("funding-1", TREASURY, vibes * VIBES))
    return pool


def test_a_payment_moves_reward_and_share_together() -> None:
    pool = funded()
    answer = pool.send(pay(tier=Tier.VIP, played_ms=240_000))
    assert isinstance(answer, RewardPaid)
    assert pool.ledger.balances == {
        TREASURY: -1_000 * VIBES,
        pool_account(POOL): 1_000 * VIBES - 5_280_000,
        accrued_account(f"user:{USER}"): 4_800_000,
        accrued_account(f"artist:{ARTIST}"): 480_000,
    }
    [paid, share, drawn] = pool.events[-3:]
    assert paid == RewardPaid(
        pool_id=POOL,
        session_id=paid.session_id,
        user_id=USER,
        device_id="phone",
        song_id=SONG,
        reward_minor=4_800_000,
        played_ms=240_000,
        multiplier_bps=10_000,
        tier_bps=20_000,
        long_bps=12_000,
        boost_bps=10_000,
        capped=False,
        policy_version=1,
        at_ms=T0,
    )
    assert share == ArtistShareAccrued(POOL, paid.session_id, ARTIST, SONG, 480_000, T0)
    assert isinstance(drawn, PoolDrawn)
    assert drawn.balance_minor == pool.ledger.balances[pool_account(POOL)]


def test_a_reward_is_capped_by_the_allowance_and_the_share_follows_it() -> None:
    pool = funded()
    paid = pool.send(pay(allowance_minor=200_000))
    assert (paid.reward_minor, paid.capped) == (200_000, True)
    assert pool.ledger.balances[accrued_account(f"artist:{ARTIST}")] == 20_000


def test_a_pool_that_cannot_pay_in_full_is_depleted_until_it_is_funded() -> None:
    pool = funded(1)
    pool.send(pay(1))
    at_ms = T0 + WEEK_MS
    refused = pool.send(pay(2, played_ms=120_000, tier=Tier.VIP), at_ms)
    assert refused == ListenRewardRefused(POOL, session(2), USER, "pool-depleted", at_ms)
    assert pool.names()[-2:] == ["RewardPoolDepleted", "ListenRewardRefused"]
    assert pool.send(pay(3, played_ms=1_000)).reason == "pool-not-open"
    assert pool.ledger.balances[pool_account(POOL)] == 450_000
    view = pool.send(FundPool("funding-2", TREASURY, VIBES), at_ms + WEEK_MS // 2)
    assert (view.status, view.balance_minor) == (PoolStatus.OPEN, 1_450_000)
    assert (view.multiplier_bps, view.spent_minor) == (10_000, 0)
    assert isinstance(pool.send(pay(4)), RewardPaid)


@pytest.mark.parametrize(("balance_minor", "pays"), [(549_999, False), (550_000, True)])
def test_a_pool_pays_reward_and_share_or_nothing(balance_minor: int, pays: bool) -> None:
    pool = new_pool()
    pool.send(OpenPool(POOL, "Everyone", WEEK_MS))
    pool.send(FundPool("funding-1", TREASURY, balance_minor))
    assert isinstance(pool.send(pay()), RewardPaid) is pays
    left = 0 if pays else balance_minor
    assert pool.ledger.balances[pool_account(POOL)] == left


def test_a_reward_of_nothing_is_refused() -> None:
    pool = funded()
    assert pool.send(pay(1, played_ms=0)).reason == "nothing-to-pay"
    assert pool.send(pay(2, allowance_minor=0)).reason == "nothing-to-pay"
    assert pool.state.status is PoolStatus.OPEN


def test_a_pool_that_nobody_opened_refuses_by_a_fact() -> None:
    pool = new_pool()
    assert pool.send(pay()).reason == "pool-not-open"
    with pytest.raises(Refusal, match="no such"):
        pool.send(FundPool("funding-1", TREASURY, VIBES))
    assert not pool.ledger.balances


def test_the_clock_starts_with_the_first_money() -> None:
    pool = new_pool()
    pool.send(OpenPool(POOL, "Everyone", WEEK_MS))
    view = pool.send(FundPool("funding-1", TREASURY, VIBES), T0 + 3 * DAY_MS)
    assert (view.multiplier_bps, view.epoch_started_at_ms) == (10_000, T0 + 3 * DAY_MS)


def test_the_multiplier_follows_the_schedule_and_an_epoch_begins_afresh() -> None:
    pool = funded(1_000)
    ahead = pool.send(pay(1, played_ms=3_600_000, tier=Tier.VIP, boost_bps=20_000))
    assert ahead.multiplier_bps == 10_000
    # 100 and 10 of 1,000 are spent at once: 11 % ahead, twice that off the multiplier.
    assert pool.send(GetPool()).multiplier_bps == 7_800
    assert pool.send(GetPool(), T0 + WEEK_MS // 2).multiplier_bps == 17_800
    later = pool.send(GetPool(), T0 + WEEK_MS + DAY_MS)
    left = 1_000 * VIBES - 110_000_000
    assert (later.epoch, later.budget_minor, later.spent_minor) == (2, left, 0)
    assert later.epoch_started_at_ms == T0 + WEEK_MS
    assert later.multiplier_bps == 10_000 + 20_000 // 7
    pool.send(pay(2))
    assert pool.names().count("PoolEpochStarted") == 2
    assert pool.events[-1].multiplier_bps <= later.multiplier_bps


def test_a_closed_pool_returns_what_is_left_and_never_pays_again() -> None:
    pool = funded(10)
    pool.send(pay(1))
    view = pool.send(ClosePool(TREASURY))
    assert (view.status, view.balance_minor) == (PoolStatus.CLOSED, 0)
    assert pool.ledger.balances[TREASURY] == -550_000
    assert pool.ledger.balances[pool_account(POOL)] == 0
    assert pool.send(pay(2)).reason == "pool-not-open"
    for command in (FundPool("funding-2", TREASURY, VIBES), ClosePool(TREASURY)):
        with pytest.raises(Refusal, match="closed"):
            pool.send(command)


BAD: list[tuple[Any, str]] = [
    (OpenPool(POOL, "Again", WEEK_MS), "reward-pool-exists"),
    (FundPool("f", TREASURY, 0), "reward-amount-invalid"),
    (FundPool("f", TREASURY, -1), "reward-amount-invalid"),
    (FundPool("f", TREASURY, 10**13), "reward-amount-invalid"),
    (FundPool("f", "outside:treasury:issue/USD", 5), "reward-amount-invalid"),
    (FundPool("f", "nonsense", 5), "reward-amount-invalid"),
    (FundPool("f", pool_account(POOL), 5), "reward-amount-invalid"),
    (ClosePool("nonsense"), "reward-pool-invalid"),
    (ClosePool(pool_account(POOL)), "reward-pool-invalid"),
]


@pytest.mark.parametrize(("command", "code"), BAD)
def test_bad_commands_are_refused_and_move_nothing(command: Any, code: str) -> None:
    pool = funded()
    before = (pool.state, dict(pool.ledger.balances))
    with pytest.raises(Refusal) as refused:
        pool.send(command)
    assert refused.value.code == code
    assert (pool.state, dict(pool.ledger.balances)) == before


@pytest.mark.parametrize(
    "command",
    [
        OpenPool(POOL, "", WEEK_MS),
        OpenPool(POOL, "  ", WEEK_MS),
        OpenPool(POOL, "x" * 101, WEEK_MS),
        OpenPool(POOL, "Short", 59_999),
        OpenPool(POOL, "Long", 91 * DAY_MS),
        OpenPool(USER, "Of another id", WEEK_MS),
    ],
)
def test_a_pool_out_of_range_is_not_opened(command: OpenPool) -> None:
    with pytest.raises(Refusal) as refused:
        new_pool().send(command)
    assert refused.value.code == "reward-pool-invalid"


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("fund"), st.integers(1, 50 * VIBES), st.integers(0, 10 * DAY_MS)),
        st.tuples(st.just("pay"), st.integers(0, 3_600_000), st.integers(0, DAY_MS)),
        st.tuples(st.just("get"), st.just(0), st.integers(0, WEEK_MS)),
        st.tuples(st.just("close"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@given(STEPS, st.data())
def test_what_leaves_a_pool_is_what_arrives(
    steps: list[tuple[str, int, int]], data: st.DataObject
) -> None:
    pool = new_pool()
    pool.send(OpenPool(POOL, "Everyone", WEEK_MS))
    for number, (step, amount, wait_ms) in enumerate(steps):
        command: Any = {
            "fund": FundPool(f"funding-{number}", TREASURY, max(1, amount)),
            "pay": pay(
                number,
                played_ms=amount,
                tier=data.draw(st.sampled_from(Tier)),
                boost_bps=data.draw(st.integers(10_000, 100_000)),
                allowance_minor=data.draw(st.integers(0, 100 * VIBES)),
            ),
            "get": GetPool(),
            "close": ClosePool(TREASURY),
        }[step]
        try:
            pool.send(command, pool.now_ms + wait_ms)
        except Refusal:
            assert pool.state.status is PoolStatus.CLOSED
        assert pool.state.balance_minor == pool.ledger.balances[pool_account(POOL)] >= 0
        assert 0 <= pool.state.spent_minor <= pool.state.budget_minor
    paid = [e for e in pool.events if isinstance(e, RewardPaid)]
    shares = [e for e in pool.events if isinstance(e, ArtistShareAccrued)]
    drawn = [e for e in pool.events if isinstance(e, PoolDrawn)]
    rewards, given_shares = (sum(e.reward_minor for e in paid), sum(e.share_minor for e in shares))
    assert pool.ledger.balances[accrued_account(f"user:{USER}")] == rewards
    assert pool.ledger.balances[accrued_account(f"artist:{ARTIST}")] == given_shares
    assert sum(e.amount_minor for e in drawn) == rewards + given_shares
    assert sum(pool.ledger.balances.values()) == 0
