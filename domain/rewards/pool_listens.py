"""An eligible listen arrives: its leaves join the tree, its artist is given the share."""

from __future__ import annotations

from domain.decision import Decision
from domain.policy import BPS, RewardPolicy
from domain.rewards import formula, tree
from domain.rewards.pool_money import drawn, multiplier
from domain.rewards.pool_state import Pool, after, next_epoch
from messages.keys import derive_key
from messages.ledger import LedgerTransaction, transfer
from messages.rewards import (
    PURPOSE_SHARE,
    AddListen,
    ArtistShareAccrued,
    BadListen,
    ListenAdded,
    PayeeKind,
    PoolClosed,
    PoolEvent,
    PoolNotFound,
    PoolStatus,
    RewardPoolDepleted,
    accrued_account,
    payee_id,
    pool_account,
)


def add(policy: RewardPolicy, state: Pool, command: AddListen, now_ms: int) -> Decision[PoolEvent]:
    """Append the leaves and accrue the share, in one decision.

    A depleted pool takes leaves, too: they may be claimed once it is funded again. The share is
    paid now or never, for the claim will not know the song.
    """
    if state.status is PoolStatus.NONE:
        raise PoolNotFound(pool_id=state.pool_id)
    if state.status is PoolStatus.CLOSED:
        raise PoolClosed(pool_id=state.pool_id)
    _check(policy, command)
    before = next_epoch(state, now_ms)
    state = after(state, before)
    if state.tree.size + len(command.leaves) > tree.CAPACITY:
        raise BadListen("the epoch's tree is full", field="leaves")
    share = _share_minor(policy, state, command, now_ms)
    paid, moved = _accrue(policy, state, command, share, now_ms)
    grown = tree.append(state.tree, command.leaves)
    added = ListenAdded(
        pool_id=state.pool_id,
        epoch=state.epoch,
        first_index=state.tree.size,
        leaves=command.leaves,
        root=grown.root,
        share_minor=share if moved else 0,
        at_ms=now_ms,
    )
    return Decision((*before, added, *paid), added, transactions=moved)


def _check(policy: RewardPolicy, command: AddListen) -> None:
    if command.played_ms <= 0:
        raise BadListen("a listen lasts some time", field="played_ms")
    if not BPS <= command.boost_bps <= policy.max_boost_bps:
        raise BadListen("the boost is out of range", field="boost_bps")
    if not all(tree.is_leaf(leaf) for leaf in command.leaves):
        raise BadListen("a leaf is a decimal element of the field", field="leaves")


def _share_minor(policy: RewardPolicy, state: Pool, command: AddListen, now_ms: int) -> int:
    """The artist's share of what such a listen is worth now, all factors and its time known."""
    by = formula.factors(
        policy,
        played_ms=command.played_ms,
        tier=command.tier,
        boost_bps=command.boost_bps,
        multiplier_bps=multiplier(policy, state, now_ms),
    )
    worth = formula.reward_minor(policy, command.played_ms, by)
    return formula.artist_share_minor(policy, worth)


def _accrue(
    policy: RewardPolicy, state: Pool, command: AddListen, share: int, now_ms: int
) -> tuple[tuple[PoolEvent, ...], tuple[LedgerTransaction, ...]]:
    """The facts and the transfer of a share; neither transfer nor share where it cannot be paid."""
    if share == 0 or state.status is not PoolStatus.OPEN:
        return (), ()
    if share > state.balance_minor:
        return (RewardPoolDepleted(state.pool_id, state.balance_minor, now_ms),), ()
    accrued = ArtistShareAccrued(
        pool_id=state.pool_id,
        artist_id=command.artist_id,
        song_id=command.song_id,
        share_minor=share,
        at_ms=now_ms,
        share_id=command.share_id,
    )
    moved = transfer(
        derive_key(PURPOSE_SHARE, command.share_id),
        pool_account(state.pool_id),
        accrued_account(payee_id(PayeeKind.ARTIST, command.artist_id)),
        share,
        cause=f"{PURPOSE_SHARE}:{command.share_id}",
        purpose=PURPOSE_SHARE,
    )
    return (accrued, drawn(policy, state, share, now_ms)), (moved,)
