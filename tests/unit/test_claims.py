"""Claims: what they must say, how each refusal is told apart, and that nothing is claimed twice."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.field import SCALAR_ORDER
from domain.rewards import pools
from domain.rewards.claims import Finding, check_terms, refusal
from domain.statement import element_of, read_signals
from messages.errors import Refusal
from messages.rewards import (
    TREASURY,
    FundPool,
    OpenPool,
    PoolEvent,
    ProofRejected,
    ProofVerified,
    RewardPaid,
    accrued_account,
    pool_account,
)
from tests.unit.rewards_entities import (
    ARTIST,
    DAY_MS,
    POLICY,
    POOL,
    T0,
    USER,
    VALID,
    VIBES,
    WEEK_MS,
    Entity,
    listen,
    new_pool,
    pay,
    prepared,
    session,
    signals,
)

WINDOW_MS = POLICY.claim_window_ms


def funded(vibes: int = 1_000) -> Entity:
    pool = new_pool()
    pool.send(OpenPool(POOL, "Everyone", WEEK_MS))
    pool.send(FundPool("funding-1", TREASURY, vibes * VIBES))
    return pool


def found(**changes: Any) -> Finding:
    return msgspec.structs.replace(VALID, **changes)


# --- what a claim must say ----------------------------------------------------------------------

SAID: list[tuple[dict[str, Any], str]] = [
    ({"recipient": element_of(ARTIST)}, "claim-not-your-recipient"),
    ({"recipient": 0}, "claim-not-your-recipient"),
    ({"recipient": element_of(USER) + 2**128}, "claim-not-your-recipient"),
    ({"max_gap_ms": POLICY.max_gap_ms + 1}, "claim-gap-not-offered"),
    ({"max_gap_ms": 65_535}, "claim-gap-not-offered"),
    ({"min_played_ms": 0}, "claim-step-not-offered"),
    ({"min_played_ms": 59_999}, "claim-step-not-offered"),
    ({"min_played_ms": 2**23}, "claim-step-not-offered"),
    ({"nullifier": SCALAR_ORDER}, "claim-signals-malformed"),
    ({"nullifier": "01"}, "claim-signals-malformed"),
    ({"nullifier": "-1"}, "claim-signals-malformed"),
    ({"nullifier": ""}, "claim-signals-malformed"),
    ({"root": "0x5"}, "claim-signals-malformed"),
    ({"epoch": str(SCALAR_ORDER + 1)}, "claim-signals-malformed"),
]


@pytest.mark.parametrize(("changes", "code"), SAID)
def test_a_claim_that_says_something_else_refuses_the_whole_command(
    changes: dict[str, Any], code: str
) -> None:
    pool = funded()
    before = (pool.state, dict(pool.ledger.balances))
    with pytest.raises(Refusal) as refused:
        pool.send(prepared(signals(1), signals(2, **changes)))
    assert refused.value.code == code
    assert (pool.state, dict(pool.ledger.balances)) == before


def test_there_is_at_least_one_claim_and_not_too_many() -> None:
    one = read_signals(signals())
    check_terms(POLICY, USER, [one] * 32)
    for count in (0, 33):
        with pytest.raises(Refusal) as refused:
            check_terms(POLICY, USER, [one] * count)
        assert refused.value.code == "claim-count-invalid"


def test_signals_are_six() -> None:
    for texts in ((), signals()[:5], (*signals(), "1")):
        with pytest.raises(Refusal) as refused:
            read_signals(texts)
        assert refused.value.code == "claim-signals-malformed"


# --- what is found out --------------------------------------------------------------------------

FOUND: list[tuple[Finding, str, str]] = [
    (found(spent=True), "claim-already-paid", ""),
    (found(epoch_known=False, root_known=False), "claim-epoch-not-open", ""),
    (found(epoch_ended_at_ms=T0 - WINDOW_MS), "claim-epoch-not-open", ""),
    (found(root_known=False), "claim-root-unknown", ""),
    (found(verdict="unknown-key"), "claim-key-unknown", ""),
    (found(verdict="pairing-failed"), "claim-proof-invalid", "pairing-failed"),
    (found(verdict="point-off-curve"), "claim-proof-invalid", "point-off-curve"),
    (found(verdict=""), "claim-proof-invalid", ""),
]


@pytest.mark.parametrize(("finding", "code", "verdict"), FOUND)
def test_each_refusal_has_its_code_and_moves_nothing(
    finding: Finding, code: str, verdict: str
) -> None:
    pool = funded()
    before = (pool.state, dict(pool.ledger.balances))
    [outcome] = pool.send(pay(finding=finding)).outcomes
    assert (outcome.code, outcome.verdict, outcome.reward_minor) == (code, verdict, 0)
    assert (pool.state, dict(pool.ledger.balances)) == before
    rejected = pool.events[-1]
    assert isinstance(rejected, ProofRejected)
    assert not rejected.paid
    error = refusal(outcome)
    assert error.code == code
    assert error.params == ({"verdict": verdict} if verdict else {})


def test_an_epoch_is_claimed_until_its_window_closes() -> None:
    pool = funded()
    inside = found(epoch_ended_at_ms=T0 - WINDOW_MS + 1)
    assert pool.send(pay(finding=inside)).reward_minor > 0


def test_an_epoch_that_this_very_batch_ended_counts_from_then() -> None:
    pool = funded()
    epoch = pool.state.epoch
    claim = prepared(signals(1, epoch=epoch))
    at_ms = T0 + 5 * WEEK_MS + DAY_MS
    assert pool.send(claim, at_ms).reward_minor > 0
    assert pool.state.epoch_started_at_ms == T0 + 5 * WEEK_MS
    late = prepared(signals(2, epoch=epoch), number=2)
    stale = pool.state
    assert stale.epoch != epoch
    [outcome] = pool.send(late, T0 + 5 * WEEK_MS + WEEK_MS - 1).outcomes
    assert outcome.code == ""


def test_good_claims_are_paid_beside_bad_ones() -> None:
    pool = funded()
    command = prepared(signals(1), signals(2), signals(1), signals(3))
    bad = found(verdict="pairing-failed")
    command = msgspec.structs.replace(command, findings=(VALID, bad, VALID, VALID))
    answer = pool.send(command)
    assert [outcome.code for outcome in answer.outcomes] == [
        "",
        "claim-proof-invalid",
        "claim-already-paid",
        "",
    ]
    assert answer.reward_minor == 1_000_000
    rejected = pool.events[-1]
    assert isinstance(rejected, ProofRejected)
    assert (rejected.paid, [claim.nullifier for claim in rejected.claims]) == (True, ["2", "1"])


def test_a_nullifier_in_the_same_batch_is_spent_once_whatever_the_proof() -> None:
    """Both commands were prepared before the first was decided, so only memory can tell."""
    pool = funded()
    assert pool.send(pay(1)).reward_minor == 500_000
    again = prepared(signals(1), number=2)
    assert pool.send(again).outcomes[0].code == "claim-already-paid"
    other = prepared(signals(1), number=3, user_id=USER, tier="vip")
    assert pool.send(other).outcomes[0].code == "claim-already-paid"


STEPS = st.lists(
    st.tuples(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(0, 2)), max_size=20
)


@given(STEPS)
def test_no_nullifier_is_paid_twice_and_a_replay_agrees(steps: list[tuple[list[int], int]]) -> None:
    """Batches of commands; the table knows what earlier batches spent, memory this batch's."""
    pool, table = funded(), set[str]()
    for number, (nullifiers, wait_ms) in enumerate(steps, start=1):
        if wait_ms:  # another batch
            table = {
                c.nullifier for e in pool.events if isinstance(e, RewardPaid) for c in e.claims
            }
        claims = [signals(nullifier) for nullifier in nullifiers]
        command = prepared(*claims, number=number)
        findings = tuple(found(spent=str(nullifier) in table) for nullifier in nullifiers)
        pool.send(msgspec.structs.replace(command, findings=findings), pool.now_ms + wait_ms)
    spent = [n for e in pool.events if isinstance(e, ProofVerified) for n in e.nullifiers]
    assert len(spent) == len(set(spent))
    total = sum(e.reward_minor for e in pool.events if isinstance(e, RewardPaid))
    assert pool.ledger.balances[accrued_account(f"user:{USER}")] == total
    assert pool.ledger.balances[pool_account(POOL)] == pool.state.balance_minor
    assert sum(pool.ledger.balances.values()) == 0
    state = pools.initial(POOL)
    for event in pool.events:
        again = msgspec.json.decode(msgspec.json.encode(event), type=PoolEvent)
        state = pools.evolve(state, again)
    assert state == pool.state
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=pools.Pool) == state


def test_leaves_join_the_tree_in_order() -> None:
    pool = funded()
    first = pool.send(listen(1, leaves=("7", "8"), share_id=session(1)))
    second = pool.send(listen(2, leaves=("9",), share_id=session(2)))
    none = pool.send(listen(3, leaves=(), share_id=session(3)))
    assert (first.first_index, second.first_index, none.first_index) == (0, 2, 3)
    assert first.root != second.root == none.root
    assert pool.state.tree.size == 3
