"""The trees of reward epochs: leaves in order, for anyone to make their own path of.

No route gives the path of one leaf: who asked for it would tell which leaf is theirs.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from api.auth import public
from api.openapi import problems
from api.services import Services, ServicesDep
from domain.rewards.tree import CAPACITY, DEPTH
from messages.rewards import EpochNotFound
from storage import rewards_claims as storage

router = APIRouter(prefix="/api/v1/reward-pools", tags=["rewards"])

MAX_LEAVES = 4_096
MAX_EPOCH = 2**53 - 1

EpochPath = Annotated[int, Path(ge=0, le=MAX_EPOCH)]


class RewardEpoch(BaseModel):
    """An epoch of a pool, and its tree as it stands."""

    pool_id: UUID
    epoch: int
    started_at_ms: int
    ended_at_ms: int | None
    claimable_until_ms: int | None = Field(description="Null while the epoch goes on.")
    leaves: int
    depth: int
    root: str | None = Field(description="Decimal; null while there are no leaves.")


class Leaves(BaseModel):
    """Leaves in the order of the tree."""

    first: int = Field(description="The index of the first of them.")
    leaves: list[str] = Field(description="Decimal.")
    next_after: int | None = Field(description="Where to go on; null where the tree ends for now.")


@router.get("/{pool_id}/epochs/{epoch}", responses=problems(404))
@public
async def get_reward_epoch(pool_id: UUID, epoch: EpochPath, services: ServicesDep) -> RewardEpoch:
    """An epoch and its root. A claim may be made against this root or any earlier one."""
    row = await _epoch(services, pool_id, epoch)
    ended, window = row.ended_at_ms, services.reward_policy.claim_window_ms
    return RewardEpoch(
        pool_id=pool_id,
        epoch=row.epoch,
        started_at_ms=row.started_at_ms,
        ended_at_ms=ended,
        claimable_until_ms=None if ended is None else ended + window,
        leaves=row.leaves,
        depth=DEPTH,
        root=row.root,
    )


@router.get("/{pool_id}/epochs/{epoch}/leaves", responses=problems(404))
@public
async def list_reward_leaves(
    pool_id: UUID,
    epoch: EpochPath,
    services: ServicesDep,
    after: Annotated[int, Query(ge=0, le=CAPACITY, description="How many are known already.")] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_LEAVES)] = MAX_LEAVES,
) -> Leaves:
    """The leaves that follow the first `after`. Read all of them and keep them: they only grow."""
    await _epoch(services, pool_id, epoch)
    found = await storage.leaves_from(services.pool, str(pool_id), epoch, after, limit)
    following = after + len(found) if len(found) == limit else None
    return Leaves(first=after, leaves=found, next_after=following)


async def _epoch(services: Services, pool_id: UUID, epoch: int) -> storage.EpochRow:
    row = await storage.get_epoch(services.pool, str(pool_id), epoch)
    if row is None:
        raise EpochNotFound
    return row
