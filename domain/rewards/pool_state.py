"""What a pool's entity remembers, and how facts change it. No policy: facts carry the values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from domain.rewards import tree
from domain.rewards.tree import Tree
from messages.rewards import (
    ArtistShareAccrued,
    ListenAdded,
    ListenRewardRefused,
    PoolDrawn,
    PoolEpochStarted,
    PoolEvent,
    PoolStatus,
    ProofRejected,
    ProofVerified,
    RewardPaid,
    RewardPoolClosed,
    RewardPoolDepleted,
    RewardPoolFunded,
    RewardPoolFundingReturned,
    RewardPoolOpened,
)


class Pool(msgspec.Struct, frozen=True):
    """A pool. `balance_minor` is what its ledger account holds; nothing else moves that account.

    budget_minor: what the epoch began with, and what was added since.  spent_minor: in this epoch.
    tree: of this epoch's leaves.  spent: the nullifiers spent at `spent_at_ms`. All of a batch is
    decided at one moment, and the table knows what earlier batches spent.
    """

    pool_id: str
    name: str = ""
    status: PoolStatus = PoolStatus.NONE
    balance_minor: int = 0
    epoch: int = 0
    epoch_started_at_ms: int = 0
    epoch_ms: int = 1
    budget_minor: int = 0
    spent_minor: int = 0
    tree: Tree = Tree()
    spent_at_ms: int = 0
    spent: frozenset[str] = frozenset()

    def has_spent(self, nullifier: str, now_ms: int) -> bool:
        """Whether the nullifier was spent earlier in the batch that is decided at `now_ms`."""
        return self.spent_at_ms == now_ms and nullifier in self.spent


def evolve(state: Pool, event: PoolEvent) -> Pool:
    """The pool after a fact."""
    return _CHANGES[type(event)](state, event)


def after(state: Pool, events: tuple[PoolEvent, ...]) -> Pool:
    """The pool after facts."""
    for event in events:
        state = evolve(state, event)
    return state


def next_epoch(state: Pool, now_ms: int) -> tuple[PoolEvent, ...]:
    """The epoch that `now_ms` is in, if it is a later one. Epochs without a command are skipped."""
    passed = (now_ms - state.epoch_started_at_ms) // state.epoch_ms
    if passed <= 0 or state.status is not PoolStatus.OPEN:
        return ()
    started = state.epoch_started_at_ms + passed * state.epoch_ms
    return (PoolEpochStarted(state.pool_id, state.epoch + passed, started, state.balance_minor),)


def start_epoch(state: Pool, now_ms: int) -> tuple[PoolEvent, ...]:
    """A new epoch, now."""
    return (PoolEpochStarted(state.pool_id, state.epoch + 1, now_ms, state.balance_minor),)


def _opened(state: Pool, event: RewardPoolOpened) -> Pool:
    return replace(
        state,
        name=event.name,
        status=PoolStatus.OPEN,
        epoch_ms=event.epoch_ms,
        epoch_started_at_ms=event.at_ms,
    )


def _epoch_started(state: Pool, event: PoolEpochStarted) -> Pool:
    return replace(
        state,
        epoch=event.epoch,
        epoch_started_at_ms=event.started_at_ms,
        budget_minor=event.budget_minor,
        spent_minor=0,
        tree=Tree(),
    )


def _funded(state: Pool, event: RewardPoolFunded) -> Pool:
    return replace(
        state,
        status=PoolStatus.OPEN,
        balance_minor=event.balance_minor,
        budget_minor=event.budget_minor,
    )


def _funding_returned(state: Pool, event: RewardPoolFundingReturned) -> Pool:
    return replace(state, balance_minor=event.balance_minor, budget_minor=event.budget_minor)


def _listen_added(state: Pool, event: ListenAdded) -> Pool:
    if not event.leaves:
        return state
    grown = tree.append(state.tree, event.leaves)
    assert grown.root == event.root, "the tree of the journal is another"
    return replace(state, tree=grown)


def _verified(state: Pool, event: ProofVerified) -> Pool:
    earlier = state.spent if state.spent_at_ms == event.at_ms else frozenset()
    return replace(state, spent_at_ms=event.at_ms, spent=earlier.union(event.nullifiers))


def _was_drawn(state: Pool, event: PoolDrawn) -> Pool:
    return replace(state, balance_minor=event.balance_minor, spent_minor=event.spent_minor)


def _depleted(state: Pool, _event: RewardPoolDepleted) -> Pool:
    return replace(state, status=PoolStatus.DEPLETED)


def _closed(state: Pool, _event: RewardPoolClosed) -> Pool:
    return replace(state, status=PoolStatus.CLOSED, balance_minor=0)


def _unchanged(state: Pool, _event: PoolEvent) -> Pool:
    return state


_CHANGES: dict[type, Callable[[Pool, Any], Pool]] = {
    RewardPoolOpened: _opened,
    PoolEpochStarted: _epoch_started,
    RewardPoolFunded: _funded,
    RewardPoolFundingReturned: _funding_returned,
    ListenAdded: _listen_added,
    ArtistShareAccrued: _unchanged,
    ProofVerified: _verified,
    ProofRejected: _unchanged,
    RewardPaid: _unchanged,
    PoolDrawn: _was_drawn,
    RewardPoolDepleted: _depleted,
    RewardPoolClosed: _closed,
    ListenRewardRefused: _unchanged,
}
