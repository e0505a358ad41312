"""Reward pools: funded through the ledger, they pay proved listens on an epoch's schedule."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

from messages.listening import Tier
from messages.rewards.claims import (
    ClaimsDecided,
    PayClaims,
    ProofRejected,
    ProofVerified,
    RewardPaid,
)
from messages.rewards.retired import ListenRewardRefused


class PoolStatus(StrEnum):
    """A depleted pool opens again when it is funded; a closed one never does."""

    NONE = "none"
    OPEN = "open"
    DEPLETED = "depleted"
    CLOSED = "closed"


class OpenPool(msgspec.Struct, frozen=True, tag=True):
    """Open an empty pool whose spending is scheduled over epochs of `epoch_ms`."""

    pool_id: str
    name: str
    epoch_ms: int


class FundPool(msgspec.Struct, frozen=True, tag=True):
    """Move `amount_minor` from `source_account` into the pool, if the ledger finds it there."""

    funding_id: str
    source_account: str
    amount_minor: int


class ReturnFunding(msgspec.Struct, frozen=True, tag=True):
    """Give back what was funded, as far as the pool still has it: at most `most_minor`."""

    return_id: str
    target_account: str
    most_minor: int


class AddListen(msgspec.Struct, frozen=True, tag=True):
    """An eligible listen: its leaves join the epoch's tree, its artist gets the share at once.

    leaves: decimal, in the order of the session's stretches; none if it cannot be claimed.
    share_id: names the artist's credit without naming the session.
    """

    share_id: str
    leaves: tuple[str, ...]
    artist_id: str
    song_id: str
    played_ms: int
    tier: Tier
    boost_bps: int


class ClosePool(msgspec.Struct, frozen=True, tag=True):
    """Close the pool for good; what is left goes to `refund_account`."""

    refund_account: str


class GetPool(msgspec.Struct, frozen=True, tag=True):
    """Query: the pool as it stands."""


PoolCommand: TypeAlias = (
    OpenPool | FundPool | ReturnFunding | AddListen | PayClaims | ClosePool | GetPool
)


class PoolView(msgspec.Struct, frozen=True, tag=True):
    """A pool as it stands. `multiplier_bps` scales the base rate of a listen paid now."""

    pool_id: str
    name: str
    status: PoolStatus
    balance_minor: int
    epoch: int
    epoch_started_at_ms: int
    epoch_ms: int
    budget_minor: int
    spent_minor: int
    multiplier_bps: int


class RewardPoolOpened(msgspec.Struct, frozen=True, tag=True):
    """Public: a pool exists, still empty."""

    pool_id: str
    name: str
    epoch_ms: int
    at_ms: int


class PoolEpochStarted(msgspec.Struct, frozen=True, tag=True):
    """Journal only: a new epoch begins with the pool's balance as its budget."""

    pool_id: str
    epoch: int
    started_at_ms: int
    budget_minor: int


class RewardPoolFunded(msgspec.Struct, frozen=True, tag=True):
    """Public. `balance_minor` and `budget_minor` are as they stand afterwards."""

    pool_id: str
    funding_id: str
    amount_minor: int
    balance_minor: int
    budget_minor: int
    at_ms: int


class RewardPoolFundingReturned(msgspec.Struct, frozen=True, tag=True):
    """Public, and the answer: a part of the pool went back to who had funded it."""

    pool_id: str
    return_id: str
    amount_minor: int
    balance_minor: int
    budget_minor: int
    at_ms: int


class ListenAdded(msgspec.Struct, frozen=True, tag=True):
    """Journal only, and the answer: what an eligible listen brought.

    first_index: of its leaves in the epoch's tree, whose root is now `root` (decimal).
    share_minor: what its artist got; 0 where the pool could not pay it in full.
    """

    pool_id: str
    epoch: int
    first_index: int
    leaves: tuple[str, ...]
    root: str
    share_minor: int
    at_ms: int


class ArtistShareAccrued(msgspec.Struct, frozen=True, tag=True):
    """Public: the artist's share of an eligible listen, whoever listened and whether it is claimed.

    Facts from before proofs have no share id.
    """

    pool_id: str
    artist_id: str
    song_id: str
    share_minor: int
    at_ms: int
    share_id: str = ""


class PoolDrawn(msgspec.Struct, frozen=True, tag=True):
    """Public, and says nothing of who was paid: the pool after a payment."""

    pool_id: str
    amount_minor: int
    balance_minor: int
    spent_minor: int
    multiplier_bps: int
    at_ms: int


class RewardPoolDepleted(msgspec.Struct, frozen=True, tag=True):
    """Public: the pool could not pay a reward in full and stops paying until it is funded."""

    pool_id: str
    balance_minor: int
    at_ms: int


class RewardPoolClosed(msgspec.Struct, frozen=True, tag=True):
    """Public: the pool is closed and what was left returned."""

    pool_id: str
    returned_minor: int
    at_ms: int


PoolEvent: TypeAlias = (
    RewardPoolOpened
    | PoolEpochStarted
    | RewardPoolFunded
    | RewardPoolFundingReturned
    | ListenAdded
    | ArtistShareAccrued
    | ProofVerified
    | ProofRejected
    | RewardPaid
    | PoolDrawn
    | RewardPoolDepleted
    | RewardPoolClosed
    | ListenRewardRefused
)

PoolAnswer: TypeAlias = PoolView | ListenAdded | ClaimsDecided | RewardPoolFundingReturned
PUBLIC_POOL_EVENTS = frozenset(
    {
        RewardPoolOpened,
        RewardPoolFunded,
        RewardPoolFundingReturned,
        ArtistShareAccrued,
        ProofVerified,
        ProofRejected,
        RewardPaid,
        PoolDrawn,
        RewardPoolDepleted,
        RewardPoolClosed,
    }
)
