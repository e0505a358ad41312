"""Locks: shares that may not be sold before a moment, and come free by a durable timer. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TypeAlias

from domain.decision import Decision, Remind
from domain.market.holders import Holding
from domain.market.state import Changes, Deciders, Lock, Market, Timers
from domain.market.status import require_shares
from domain.market.views import after, changed, holding_view
from domain.policy import MarketPolicy
from messages.keys import derive_id, derive_key, is_id
from messages.ledger import LedgerTransaction, transfer
from messages.market import (
    BadLock,
    InsufficientShares,
    LockExists,
    LockShares,
    LockView,
    MarketEvent,
    SharesLocked,
    SharesUnlocked,
    SharesWereLocked,
    TooManyLocks,
    UnlockShares,
)
from messages.market.accounts import (
    PURPOSE_LOCK,
    PURPOSE_UNLOCK,
    available,
    locked,
    share_currency,
)

Outcome: TypeAlias = Decision[MarketEvent]
TIMER = "unlock"


def retained_lock_id(issue_id: str) -> str:
    """The id of the lock of an artist's retained shares."""
    return derive_id("retained-lock", issue_id)


def check_free(market: Market, user_id: str, shares: int) -> None:
    """Refuse a user who has not so many shares that may be sold now."""
    holding = market.holding(user_id)
    if shares <= holding.available:
        return
    if shares <= holding.available + holding.locked:
        raise SharesLocked(available=holding.available, locked=holding.locked)
    raise InsufficientShares(available=holding.available)


def next_timer(market: Market, *events: MarketEvent) -> tuple[Remind, ...]:
    """The timer of the earliest lock of those there are, and of those that facts are to add."""
    return _timer(
        [
            *(lock.until_ms for lock in market.locks.values()),
            *(event.until_ms for event in events if isinstance(event, SharesWereLocked)),
        ]
    )


def _timer(moments: Iterable[int]) -> tuple[Remind, ...]:
    earliest = min(moments, default=None)
    return () if earliest is None else (Remind(TIMER, earliest),)


def _lock(policy: MarketPolicy, market: Market, command: LockShares, now_ms: int) -> Outcome:
    require_shares(market)
    _check(policy, market, command, now_ms)
    user_id, shares, lock_id = command.user_id, command.shares, command.lock_id
    event = SharesWereLocked(
        market.issue_id, lock_id, user_id, shares, command.until_ms, command.reason, now_ms
    )
    owned = after(market, user_id, lambda h: h.lock(shares))
    answer = LockView(
        lock_id, shares, command.until_ms, command.reason, holding_view(market, user_id, owned)
    )
    currency = share_currency(market.issue_id)
    moved = transfer(
        derive_key("share-lock", market.issue_id, lock_id),
        available(user_id, currency),
        locked(user_id, currency),
        shares,
        cause=f"share-lock:{lock_id}",
        purpose=PURPOSE_LOCK,
    )
    return Decision(
        (event, changed(market.issue_id, user_id, owned, now_ms)),
        answer,
        transactions=(moved,),
        timers=next_timer(market, event),
    )


def _check(policy: MarketPolicy, market: Market, command: LockShares, now_ms: int) -> None:
    if not (is_id(command.lock_id) and is_id(command.user_id)):
        raise BadLock("an id is none", field="lock_id")
    if command.shares <= 0:
        raise BadLock("the number of shares is out of range", field="shares")
    if not now_ms < command.until_ms <= now_ms + policy.max_lock_ms:
        raise BadLock("the moment is past or too far", field="until_ms")
    if command.lock_id in market.locks:
        raise LockExists(lock_id=command.lock_id)
    if len(market.locks) >= policy.max_locks:
        raise TooManyLocks(limit=policy.max_locks)
    check_free(market, command.user_id, command.shares)


def _unlock(policy: MarketPolicy, market: Market, command: UnlockShares, now_ms: int) -> Outcome:
    due = {i: lock for i, lock in market.locks.items() if lock.until_ms <= now_ms}
    left = [lock.until_ms for lock_id, lock in market.locks.items() if lock_id not in due]
    events: list[MarketEvent] = []
    freed: dict[str, int] = {}
    for lock_id, lock in due.items():
        events.append(SharesUnlocked(market.issue_id, lock_id, lock.user_id, lock.shares, now_ms))
        freed[lock.user_id] = freed.get(lock.user_id, 0) + lock.shares
    for user_id, shares in freed.items():
        owned = after(market, user_id, partial(Holding.lock, shares=-shares))
        events.append(changed(market.issue_id, user_id, owned, now_ms))
    moved = tuple(_freed(market, lock_id, lock) for lock_id, lock in due.items())
    return Decision(tuple(events), transactions=moved, timers=_timer(left))


def _freed(market: Market, lock_id: str, lock: Lock) -> LedgerTransaction:
    currency = share_currency(market.issue_id)
    return transfer(
        derive_key("share-unlock", market.issue_id, lock_id),
        locked(lock.user_id, currency),
        available(lock.user_id, currency),
        lock.shares,
        cause=f"share-unlock:{lock_id}",
        purpose=PURPOSE_UNLOCK,
    )


def _locked(market: Market, event: SharesWereLocked) -> None:
    market.locks[event.lock_id] = Lock(event.user_id, event.shares, event.until_ms)
    market.owned_by(event.user_id).lock(event.shares)


def _unlocked(market: Market, event: SharesUnlocked) -> None:
    del market.locks[event.lock_id]
    market.owned_by(event.user_id).lock(-event.shares)


DECIDERS: Deciders = {LockShares: _lock, UnlockShares: _unlock}
CHANGES: Changes = {SharesWereLocked: _locked, SharesUnlocked: _unlocked}
TIMERS: Timers = {TIMER: UnlockShares}
