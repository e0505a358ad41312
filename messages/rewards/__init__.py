"""Rewards: pools that pay, listeners who are paid within limits, payees who accrue, streaks.

Amounts are minor units of VIBES. `day` is a date's proleptic ordinal (`date.toordinal`) in the
listener's own time zone.
"""

from __future__ import annotations

from typing import TypeAlias

from messages.rewards.accounts import (
    CURRENCY,
    PURPOSE_FUNDING,
    PURPOSE_PAYOUT,
    PURPOSE_RETURN,
    PURPOSE_REWARD,
    STREAM,
    TREASURY,
    PayeeKind,
    accrued_account,
    available_account,
    earnings_channel,
    payee_channel,
    payee_id,
    pool_account,
    pool_channel,
)
from messages.rewards.errors import (
    BadAmount,
    BadListen,
    BadPool,
    ListenKnown,
    ListenUnknown,
    PoolClosed,
    PoolExists,
    PoolNotFound,
)
from messages.rewards.listeners import (
    PUBLIC_LISTENER_EVENTS,
    AdmitListen,
    CheckStreak,
    GetStreak,
    ListenAdmitted,
    ListenerAnswer,
    ListenerCommand,
    ListenerEvent,
    ListenNotAdmitted,
    ListenReleased,
    ListenSettled,
    ReleaseListen,
    SettleListen,
    StreakBroken,
    StreakExtended,
    StreakView,
)
from messages.rewards.payees import (
    PUBLIC_PAYEE_EVENTS,
    CreditPayee,
    GetPayee,
    PayeeCommand,
    PayeeCredited,
    PayeeEvent,
    PayeeView,
    RewardPaidOut,
)
from messages.rewards.pools import (
    PUBLIC_POOL_EVENTS,
    ArtistShareAccrued,
    ClosePool,
    FundPool,
    GetPool,
    ListenRewardRefused,
    OpenPool,
    PayListen,
    PoolAnswer,
    PoolCommand,
    PoolDrawn,
    PoolEpochStarted,
    PoolEvent,
    PoolStatus,
    PoolView,
    RewardPaid,
    RewardPoolClosed,
    RewardPoolDepleted,
    RewardPoolFunded,
    RewardPoolOpened,
)

PublicRewardEvent: TypeAlias = (
    RewardPoolOpened
    | RewardPoolFunded
    | RewardPaid
    | ArtistShareAccrued
    | PoolDrawn
    | ListenRewardRefused
    | RewardPoolDepleted
    | RewardPoolClosed
    | ListenAdmitted
    | ListenNotAdmitted
    | StreakExtended
    | StreakBroken
    | RewardPaidOut
)

__all__ = [
    "CURRENCY",
    "PUBLIC_LISTENER_EVENTS",
    "PUBLIC_PAYEE_EVENTS",
    "PUBLIC_POOL_EVENTS",
    "PURPOSE_FUNDING",
    "PURPOSE_PAYOUT",
    "PURPOSE_RETURN",
    "PURPOSE_REWARD",
    "STREAM",
    "TREASURY",
    "AdmitListen",
    "ArtistShareAccrued",
    "BadAmount",
    "BadListen",
    "BadPool",
    "CheckStreak",
    "ClosePool",
    "CreditPayee",
    "FundPool",
    "GetPayee",
    "GetPool",
    "GetStreak",
    "ListenAdmitted",
    "ListenKnown",
    "ListenNotAdmitted",
    "ListenReleased",
    "ListenRewardRefused",
    "ListenSettled",
    "ListenUnknown",
    "ListenerAnswer",
    "ListenerCommand",
    "ListenerEvent",
    "OpenPool",
    "PayListen",
    "PayeeCommand",
    "PayeeCredited",
    "PayeeEvent",
    "PayeeKind",
    "PayeeView",
    "PoolAnswer",
    "PoolClosed",
    "PoolCommand",
    "PoolDrawn",
    "PoolEpochStarted",
    "PoolEvent",
    "PoolExists",
    "PoolNotFound",
    "PoolStatus",
    "PoolView",
    "PublicRewardEvent",
    "ReleaseListen",
    "RewardPaid",
    "RewardPaidOut",
    "RewardPoolClosed",
    "RewardPoolDepleted",
    "RewardPoolFunded",
    "RewardPoolOpened",
    "SettleListen",
    "StreakBroken",
    "StreakExtended",
    "StreakView",
    "accrued_account",
    "available_account",
    "earnings_channel",
    "payee_channel",
    "payee_id",
    "pool_account",
    "pool_channel",
]
