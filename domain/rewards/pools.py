"""Reward pools: funded through the ledger, pay on an epoch's schedule, never below zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import replace

from domain.decision import Decision
from domain.policy import RewardPolicy
from domain.rewards import formula
from messages.keys import derive_key, is_id
from messages.ledger import LedgerTransaction, Posting, transfer
from messages.rewards import (
    CURRENCY,
    PURPOSE_FUNDING,
    PURPOSE_RETURN,
    PURPOSE_REWARD,
    ArtistShareAccrued,
    BadAmount,
    BadPool,
    ClosePool,
    FundPool,
    GetPool,
    ListenRewardRefused,
    OpenPool,
    PayeeKind,
    PayListen,
    PoolClosed,
    PoolCommand,
    PoolDrawn,
    PoolEpochStarted,
    PoolEvent,
    PoolExists,
    PoolNotFound,
    PoolStatus,
    PoolView,
    RewardPaid,
    RewardPoolClosed,
    RewardPoolDepleted,
    RewardPoolFunded,
    RewardPoolOpened,
    accrued_account,
    payee_id,
    pool_account,
)

Outcome: TypeAlias = Decision[PoolEvent]


class Pool(msgspec.Struct, frozen=True):
    """A pool. `balance_minor` is what its ledger account holds; nothing else moves that account.

    budget_minor: what the epoch began with, and what was added since.  spent_minor: in this epoch.
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


def initial(entity_id: str) -> Pool:
    """A pool that was not opened yet."""
    return Pool(entity_id)


def decide(policy: RewardPolicy, state: Pool, command: PoolCommand, now_ms: int) -> Outcome:
    """What a command does. Raises the Refusals of `messages.rewards`."""
    return _DECIDERS[type(command)](policy, state, command, now_ms)


def reserve(state: Pool, command: PoolCommand) -> tuple[LedgerTransaction, ...]:
    """A funding is the one thing that takes money from elsewhere: the ledger decides first."""
    if not isinstance(command, FundPool) or command.amount_minor <= 0:
        return ()
    if not _is_other(state, command.source_account):
        return ()
    target = pool_account(state.pool_id)
    key = derive_key("pool-funding", state.pool_id, command.funding_id)
    cause = f"pool-funding:{command.funding_id}"
    return (
        transfer(
            key,
            command.source_account,
            target,
            command.amount_minor,
            cause=cause,
            purpose=PURPOSE_FUNDING,
        ),
    )


def evolve(state: Pool, event: PoolEvent) -> Pool:
    """The pool after a fact."""
    return _CHANGES[type(event)](state, event)


def view(policy: RewardPolicy, state: Pool, now_ms: int) -> PoolView:
    """The pool as it stands at a moment, in the epoch of that moment."""
    for event in _next_epoch(state, now_ms):
        state = evolve(state, event)
    return PoolView(
        state.pool_id,
        state.name,
        state.status,
        state.balance_minor,
        state.epoch,
        state.epoch_started_at_ms,
        state.epoch_ms,
        state.budget_minor,
        state.spent_minor,
        _multiplier(policy, state, now_ms),
    )


def _open(policy: RewardPolicy, state: Pool, command: OpenPool, now_ms: int) -> Outcome:
    if state.status is not PoolStatus.NONE:
        raise PoolExists(pool_id=state.pool_id)
    name = command.name.strip()
    if not 1 <= len(name) <= policy.max_name_length:
        raise BadPool("the name is empty or too long", field="name")
    if not policy.min_epoch_ms <= command.epoch_ms <= policy.max_epoch_ms:
        raise BadPool("the epoch's length is out of range", field="epoch_ms")
    if command.pool_id != state.pool_id or not is_id(state.pool_id):
        raise BadPool("this is not the entity's id", field="pool_id")
    event = RewardPoolOpened(state.pool_id, name, command.epoch_ms, now_ms)
    return Decision((event,), view(policy, evolve(state, event), now_ms))


def _fund(policy: RewardPolicy, state: Pool, command: FundPool, now_ms: int) -> Outcome:
    _require_usable(state)
    if not 0 < command.amount_minor <= policy.max_funding_minor:
        raise BadAmount(limit_minor=policy.max_funding_minor)
    if not _is_other(state, command.source_account):
        raise BadAmount("the source is not another account of the reward currency")
    # Money that arrives in a pool that could not pay starts the clock: otherwise the time in which
    # there was nothing to spend would count as thrift.
    fresh = state.balance_minor == 0 or state.status is PoolStatus.DEPLETED
    before = _start_epoch(state, now_ms) if fresh else _next_epoch(state, now_ms)
    state = _after(state, before)
    funded = RewardPoolFunded(
        state.pool_id,
        command.funding_id,
        command.amount_minor,
        state.balance_minor + command.amount_minor,
        state.budget_minor + command.amount_minor,
        now_ms,
    )
    return Decision((*before, funded), view(policy, evolve(state, funded), now_ms))


def _pay(policy: RewardPolicy, state: Pool, command: PayListen, now_ms: int) -> Outcome:
    if state.status is not PoolStatus.OPEN:
        return _refused(state, command, "pool-not-open", now_ms)
    before = _next_epoch(state, now_ms)
    state = _after(state, before)
    by = formula.factors(
        policy,
        played_ms=command.played_ms,
        tier=command.tier,
        boost_bps=command.boost_bps,
        multiplier_bps=_multiplier(policy, state, now_ms),
    )
    earned = formula.reward_minor(policy, command.played_ms, by)
    reward = min(earned, command.allowance_minor)
    if reward <= 0:
        return _refused(state, command, "nothing-to-pay", now_ms, before)
    share = formula.artist_share_minor(policy, reward)
    if reward + share > state.balance_minor:
        depleted = RewardPoolDepleted(state.pool_id, state.balance_minor, now_ms)
        return _refused(state, command, "pool-depleted", now_ms, (*before, depleted))
    paid = RewardPaid(
        pool_id=state.pool_id,
        session_id=command.session_id,
        user_id=command.user_id,
        device_id=command.device_id,
        song_id=command.song_id,
        reward_minor=reward,
        played_ms=command.played_ms,
        multiplier_bps=by.multiplier_bps,
        tier_bps=by.tier_bps,
        long_bps=by.long_bps,
        boost_bps=by.boost_bps,
        capped=reward < earned,
        policy_version=policy.version,
        at_ms=now_ms,
    )
    drawn = _drawn(policy, state, reward + share, now_ms)
    shares = (_share(state, command, share, now_ms),) if share else ()
    moved = _payment(state, command, reward, share)
    return Decision((*before, paid, *shares, drawn), paid, transactions=(moved,))


def _share(state: Pool, command: PayListen, share: int, now_ms: int) -> ArtistShareAccrued:
    return ArtistShareAccrued(
        state.pool_id, command.session_id, command.artist_id, command.song_id, share, now_ms
    )


def _drawn(policy: RewardPolicy, state: Pool, amount: int, now_ms: int) -> PoolDrawn:
    balance, spent = state.balance_minor - amount, state.spent_minor + amount
    assert balance >= 0, "a pool never pays what it does not hold"
    after = replace(state, balance_minor=balance, spent_minor=spent)
    return PoolDrawn(
        state.pool_id, amount, balance, spent, _multiplier(policy, after, now_ms), now_ms
    )


def _payment(state: Pool, command: PayListen, reward: int, share: int) -> LedgerTransaction:
    listener = accrued_account(payee_id(PayeeKind.USER, command.user_id))
    artist = accrued_account(payee_id(PayeeKind.ARTIST, command.artist_id))
    lines = [Posting(pool_account(state.pool_id), -(reward + share)), Posting(listener, reward)]
    if share:
        lines.append(Posting(artist, share))
    return LedgerTransaction(
        derive_key(PURPOSE_REWARD, command.session_id),
        f"reward:{command.session_id}",
        PURPOSE_REWARD,
        tuple(lines),
    )


def _refused(
    state: Pool,
    command: PayListen,
    reason: str,
    now_ms: int,
    before: tuple[PoolEvent, ...] = (),
) -> Outcome:
    event = ListenRewardRefused(state.pool_id, command.session_id, command.user_id, reason, now_ms)
    return Decision((*before, event), event)


def _close(policy: RewardPolicy, state: Pool, command: ClosePool, now_ms: int) -> Outcome:
    _require_usable(state)
    source = pool_account(state.pool_id)
    if not _is_other(state, command.refund_account):
        raise BadPool("what is left needs another account", field="refund_account")
    event = RewardPoolClosed(state.pool_id, state.balance_minor, now_ms)
    back: tuple[LedgerTransaction, ...] = ()
    if state.balance_minor:
        key = derive_key("pool-return", state.pool_id)
        cause = f"pool-return:{state.pool_id}"
        back = (
            transfer(
                key,
                source,
                command.refund_account,
                state.balance_minor,
                cause=cause,
                purpose=PURPOSE_RETURN,
            ),
        )
    return Decision((event,), view(policy, evolve(state, event), now_ms), transactions=back)


def _get(policy: RewardPolicy, state: Pool, _command: GetPool, now_ms: int) -> Outcome:
    if state.status is PoolStatus.NONE:
        raise PoolNotFound(pool_id=state.pool_id)
    return Decision(answer=view(policy, state, now_ms))


def _require_usable(state: Pool) -> None:
    if state.status is PoolStatus.NONE:
        raise PoolNotFound(pool_id=state.pool_id)
    if state.status is PoolStatus.CLOSED:
        raise PoolClosed(pool_id=state.pool_id)


def _is_other(state: Pool, account_code: str) -> bool:
    """Whether the code names another account of the reward currency."""
    head, _, currency = account_code.partition("/")
    another = account_code != pool_account(state.pool_id)
    return another and currency == CURRENCY and head.count(":") == 2


def _multiplier(policy: RewardPolicy, state: Pool, now_ms: int) -> int:
    return formula.multiplier_bps(
        policy,
        budget_minor=state.budget_minor,
        spent_minor=state.spent_minor,
        elapsed_ms=now_ms - state.epoch_started_at_ms,
        epoch_ms=state.epoch_ms,
    )


def _next_epoch(state: Pool, now_ms: int) -> tuple[PoolEvent, ...]:
    """The epoch that `now_ms` is in, if it is a later one. Epochs without a command are skipped."""
    passed = (now_ms - state.epoch_started_at_ms) // state.epoch_ms
    if passed <= 0 or state.status is not PoolStatus.OPEN:
        return ()
    started = state.epoch_started_at_ms + passed * state.epoch_ms
    return (PoolEpochStarted(state.pool_id, state.epoch + passed, started, state.balance_minor),)


def _start_epoch(state: Pool, now_ms: int) -> tuple[PoolEvent, ...]:
    return (PoolEpochStarted(state.pool_id, state.epoch + 1, now_ms, state.balance_minor),)


def _after(state: Pool, events: tuple[PoolEvent, ...]) -> Pool:
    for event in events:
        state = evolve(state, event)
    return state


# --- facts --------------------------------------------------------------------------------------


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
    )


def _funded(state: Pool, event: RewardPoolFunded) -> Pool:
    return replace(
        state,
        status=PoolStatus.OPEN,
        balance_minor=event.balance_minor,
        budget_minor=event.budget_minor,
    )


def _was_drawn(state: Pool, event: PoolDrawn) -> Pool:
    return replace(state, balance_minor=event.balance_minor, spent_minor=event.spent_minor)


def _depleted(state: Pool, _event: RewardPoolDepleted) -> Pool:
    return replace(state, status=PoolStatus.DEPLETED)


def _closed(state: Pool, _event: RewardPoolClosed) -> Pool:
    return replace(state, status=PoolStatus.CLOSED, balance_minor=0)


def _unchanged(state: Pool, _event: PoolEvent) -> Pool:
    return state


_DECIDERS: dict[type, Callable[[RewardPolicy, Pool, Any, int], Outcome]] = {
    OpenPool: _open,
    FundPool: _fund,
    PayListen: _pay,
    ClosePool: _close,
    GetPool: _get,
}
_CHANGES: dict[type, Callable[[Pool, Any], Pool]] = {
    RewardPoolOpened: _opened,
    PoolEpochStarted: _epoch_started,
    RewardPoolFunded: _funded,
    RewardPaid: _unchanged,
    ArtistShareAccrued: _unchanged,
    PoolDrawn: _was_drawn,
    ListenRewardRefused: _unchanged,
    RewardPoolDepleted: _depleted,
    RewardPoolClosed: _closed,
}
