"""Facts that follow from several others."""

from __future__ import annotations

from domain.drops.policy import DropPolicy
from domain.drops.state import Drop
from messages.drops.drops import DropCompleted, MilestoneReached, SupplyChanged


def supply_changed(
    drop: Drop, now_ms: int, *, reserved: int = 0, minted: int = 0, burned: int = 0
) -> SupplyChanged:
    """What is left of a drop when so many more are reserved, minted, burned."""
    return SupplyChanged(
        drop.drop_id,
        drop.asked.supply,
        drop.reserved + reserved,
        drop.minted + minted,
        drop.burned + burned,
        drop.left - reserved - minted,
        now_ms,
    )


def milestones(
    policy: DropPolicy, drop: Drop, minted: int, now_ms: int
) -> tuple[MilestoneReached, ...]:
    """The milestones that are passed when `minted` tokens more are."""
    supply, after = drop.asked.supply, drop.minted + minted
    return tuple(
        MilestoneReached(drop.drop_id, drop.asked.artist_user_id, percent, after, now_ms)
        for percent in policy.milestones
        if drop.minted * 100 < percent * supply <= after * 100
    )


def completed(drop: Drop, now_ms: int, minted: int = 0) -> DropCompleted:
    """The end of the sale, `minted` tokens later."""
    after = drop.minted + minted
    return DropCompleted(drop.drop_id, after == drop.asked.supply, after, now_ms)
