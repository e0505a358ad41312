"""Pools: funded, paying by schedule, depleted, closed; nothing appears or vanishes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.field import SCALAR_ORDER
from messages.errors import Refusal
from messages.listening import Tier
from messages.rewards import (
    TREASURY,
    ArtistShareAccrued,
    BadAmount,
    ClaimOutcome,
    ClaimsDecided,
    ClosePool,
    FundPool,
    GetPool,
    ListenAdded,
    NothingToReturn,
    OpenPool,
    PaidClaim,
    PoolClosed,
    PoolDrawn,
    PoolNotFound,
    PoolStatus,
    ProofVerified,
    ReturnFunding,
    RewardPaid,
    accrued_account,
    pool_account,
)
from tests.unit.rewards_entities import (
    ARTIST,
    DAY_MS,
    POLICY,
    POOL,
    SONG,
    T0,
    USER,
    VALID,
    VIBES,
    WEEK_MS,
    Entity,
    listen,
    new_pool,
    pay,
    payment,
    prepared,
    session,
    signals,
)


def funded(vibes: int = 1_000) -> Entity:
    pool = new_pool()
    pool.send(OpenPool(POOL, "Everyone", WEEK_MS))
    pool.send(FundPool("funding-1", TREASURY, vibes * VIBES))
    return pool


def test_a_claim_moves_its_reward_and_nothing_else() -> None:
    pool = funded()
    answer = pool.send(pay(tier=Tier.VIP, played_ms=240_000))
    assert isinstance(answer, ClaimsDecided)
    assert answer.outcomes == (ClaimOutcome("1", 240_000, 4_800_000),)
    assert pool.ledger.balances == {
        TREASURY: -1_000 * VIBES,
        pool_account(POOL): 1_000 * VIBES - 4_800_000,
        accrued_account(f"user:{USER}"): 4_800_000,
    }
    [verified, paid, drawn] = pool.events[-3:]
    assert verified == ProofVerified(POOL, "test-v1", ("1",), T0)
    assert paid == RewardPaid(
        pool_id=POOL,
        user_id=USER,
        reward_minor=4_800_000,
        multiplier_bps=10_000,
        tier_bps=20_000,
        capped=False,
        policy_version=2,
        at_ms=T0,
        payment_id=payment(1),
        claims=(PaidClaim("1", 240_000, 4_800_000),),
    )
    assert isinstance(drawn, PoolDrawn)
    assert drawn.balance_minor == pool.ledger.balances[pool_account(POOL)]


def test_a_listen_gives_its_artist_the_share_at_once() -> None:
    pool = funded()
    added = pool.send(listen(1, tier=Tier.VIP, played_ms=240_000, boost_bps=20_000))
    assert isinstance(added, ListenAdded)
    assert (added.first_index, added.leaves, added.share_minor) == (0, ("1",), 960_000)
    assert pool.ledger.balances == {
        TREASURY: -1_000 * VIBES,
        pool_account(POOL): 1_000 * VIBES - 960_000,
        accrued_account(f"artist:{ARTIST}"): 960_000,
    }
    share = pool.events[-2]
    assert share == ArtistShareAccrued(POOL, ARTIST, SONG, 960_000, T0, session(1))


def test_a_reward_is_capped_by_the_allowance() -> None:
    pool = funded()
    paid = pool.send(prepared(signals(1), signals(2), signals(3), allowance_minor=700_000))
    assert [(o.reward_minor, o.code, o.verdict) for o in paid.outcomes] == [
        (500_000, "", ""),
        (200_000, "", ""),
        (0, "claim-limit-reached", "daily-amount"),
    ]
    assert [event.capped for event in pool.events if isinstance(event, RewardPaid)] == [True]


def test_a_pool_that_cannot_pay_in_full_is_depleted_until_it_is_funded() -> None:
    pool = funded(1)
    pool.send(pay(1))
    at_ms = T0 + WEEK_MS
    refused = pool.send(pay(2, played_ms=120_000, tier=Tier.VIP), at_ms)
    assert [o.code for o in refused.outcomes] == ["reward-pool-depleted"]
    assert pool.names()[-2:] == ["RewardPoolDepleted", "ProofRejected"]
    assert pool.send(pay(3, played_ms=1_000)).outcomes[0].code == "reward-pool-depleted"
    assert pool.ledger.balances[pool_account(POOL)] == 500_000
    view = pool.send(FundPool("funding-2", TREASURY, VIBES), at_ms + WEEK_MS // 2)
    assert (view.status, view.balance_minor) == (PoolStatus.OPEN, 1_500_000)
    assert (view.multiplier_bps, view.spent_minor) == (10_000, 0)
    assert pool.send(pay(2, finding=VALID)).outcomes[0].reward_minor == 500_000


def test_a_depleted_pool_takes_leaves_and_gives_no_share() -> None:
    pool = new_pool()
    pool.send(OpenPool(POOL, "Everyone", WEEK_MS))
    pool.send(FundPool("funding-1", TREASURY, 49_999))
    first = pool.send(listen(1))
    assert (first.share_minor, pool.state.status) == (0, PoolStatus.DEPLETED)
    second = pool.send(listen(2, played_ms=1_000))
    assert (second.first_index, second.share_minor) == (1, 0)
    assert pool.state.tree.size == 2
    assert pool.ledger.balances[pool_account(POOL)] == 49_999


@pytest.mark.parametrize(("balance_minor", "pays"), [(499_999, False), (500_000, True)])
def test_a_pool_pays_a_reward_in_full_or_not_at_all(balance_minor: int, pays: bool) -> None:
    pool = new_pool()
    pool.send(OpenPool(POOL, "Everyone", WEEK_MS))
    pool.send(FundPool("funding-1", TREASURY, balance_minor))
    assert (pool.send(pay()).reward_minor > 0) is pays
    left = 0 if pays else balance_minor
    assert pool.ledger.balances[pool_account(POOL)] == left


def test_a_pool_gives_back_what_it_has_left_of_a_funding() -> None:
    pool = funded(10)
    pool.send(pay(tier=Tier.VIP, played_ms=240_000))
    left = pool.state.balance_minor
    assert left == 10 * VIBES - 4_800_000
    first = pool.send(ReturnFunding("return-1", TREASURY, VIBES))
    assert (first.amount_minor, first.balance_minor) == (VIBES, left - VIBES)
    assert first.budget_minor >= pool.state.spent_minor
    rest = pool.send(ReturnFunding("return-2", TREASURY, 10 * VIBES))
    assert (rest.amount_minor, rest.balance_minor) == (left - VIBES, 0)
    assert pool.ledger.balances[pool_account(POOL)] == 0
    with pytest.raises(NothingToReturn):
        pool.send(ReturnFunding("return-3", TREASURY, 1))
    for target, most in ((TREASURY, 0), (pool_account(POOL), 1)):
        with pytest.raises(BadAmount):
            pool.send(ReturnFunding("return-4", target, most))
    pool.send(ClosePool(TREASURY))
    with pytest.raises(PoolClosed):
        pool.send(ReturnFunding("return-5", TREASURY, 1))


def test_a_pool_that_nobody_opened_or_that_is_closed_refuses() -> None:
    pool = new_pool()
    commands: list[Any] = [pay(), listen(), FundPool("funding-1", TREASURY, VIBES)]
    for command in commands:
        with pytest.raises(PoolNotFound):
            pool.send(command)
    closed = funded()
    closed.send(ClosePool(TREASURY))
    for command in commands:
        with pytest.raises(PoolClosed):
            closed.send(command)
    assert not pool.ledger.balances


def test_the_clock_starts_with_the_first_money() -> None:
    pool = new_pool()
    pool.send(OpenPool(POOL, "Everyone", WEEK_MS))
    view = pool.send(FundPool("funding-1", TREASURY, VIBES), T0 + 3 * DAY_MS)
    assert (view.multiplier_bps, view.epoch_started_at_ms) == (10_000, T0 + 3 * DAY_MS)


def test_the_multiplier_follows_the_schedule_and_an_epoch_begins_afresh() -> None:
    pool = funded(1_000)
    ahead = pool.send(listen(1, played_ms=3_600_000, tier=Tier.VIP, boost_bps=100_000))
    assert ahead.share_minor == 72 * VIBES
    # 72 of 1,000 are spent at once: 7.2 % ahead, twice that off the multiplier.
    assert pool.send(GetPool()).multiplier_bps == 8_560
    assert pool.send(GetPool(), T0 + WEEK_MS // 2).multiplier_bps == 18_560
    later = pool.send(GetPool(), T0 + WEEK_MS + DAY_MS)
    left = 1_000 * VIBES - 72 * VIBES
    assert (later.epoch, later.budget_minor, later.spent_minor) == (2, left, 0)
    assert later.epoch_started_at_ms == T0 + WEEK_MS
    assert later.multiplier_bps == 10_000 + 20_000 // 7
    pool.send(pay(2))
    assert pool.names().count("PoolEpochStarted") == 2
    assert pool.events[-1].multiplier_bps <= later.multiplier_bps
    assert pool.state.tree.size == 0, "an epoch begins with an empty tree"


def test_a_closed_pool_returns_what_is_left() -> None:
    pool = funded(10)
    pool.send(pay(1))
    view = pool.send(ClosePool(TREASURY))
    assert (view.status, view.balance_minor) == (PoolStatus.CLOSED, 0)
    assert pool.ledger.balances[TREASURY] == -500_000
    assert pool.ledger.balances[pool_account(POOL)] == 0
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
    (listen(played_ms=0), "listen-invalid"),
    (listen(boost_bps=9_999), "listen-invalid"),
    (listen(boost_bps=100_001), "listen-invalid"),
    (listen(leaves=("-1",)), "listen-invalid"),
    (listen(leaves=("01",)), "listen-invalid"),
    (listen(leaves=(str(SCALAR_ORDER),)), "listen-invalid"),
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
    st.tuples(
        st.sampled_from(["fund", "claim", "listen", "get", "close"]),
        st.integers(1, 50 * VIBES),
        st.integers(0, 10 * DAY_MS),
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
        if step == "fund":
            command: Any = FundPool(f"funding-{number}", TREASURY, amount)
        elif step == "claim":
            command = pay(
                number,
                played_ms=data.draw(st.sampled_from(POLICY.claim_steps_ms)),
                tier=data.draw(st.sampled_from(Tier)),
                allowance_minor=data.draw(st.integers(1, 100 * VIBES)),
            )
        elif step == "listen":
            command = listen(number, leaves=(), played_ms=amount, boost_bps=50_000)
        else:
            command = GetPool() if step == "get" else ClosePool(TREASURY)
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
