"""Reward pools: funded through the ledger, pay on an epoch's schedule, never below zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from domain.decision import Decision
from domain.policy import RewardPolicy
from domain.rewards import claims, pool_listens
from domain.rewards.claims import PreparedClaims
from domain.rewards.pool_money import multiplier
from domain.rewards.pool_state import Pool, after, evolve, next_epoch, start_epoch
from messages.keys import derive_key, is_id
from messages.ledger import LedgerTransaction, transfer
from messages.rewards import (
    CURRENCY,
    PURPOSE_FUNDING,
    PURPOSE_RETURN,
    AddListen,
    BadAmount,
    BadPool,
    ClosePool,
    FundPool,
    GetPool,
    NothingToReturn,
    OpenPool,
    PoolClosed,
    PoolCommand,
    PoolEvent,
    PoolExists,
    PoolNotFound,
    PoolStatus,
    PoolView,
    ReturnFunding,
    RewardPoolClosed,
    RewardPoolFunded,
    RewardPoolFundingReturned,
    RewardPoolOpened,
    pool_account,
)

__all__ = ["Pool", "decide", "evolve", "initial", "reserve", "view"]

Outcome: TypeAlias = Decision[PoolEvent]


def initial(entity_id: str) -> Pool:
    """A pool that was not opened yet."""
    return Pool(entity_id)


def decide(
    policy: RewardPolicy, state: Pool, command: PoolCommand | PreparedClaims, now_ms: int
) -> Outcome:
    """What a command does. Raises the Refusals of `messages.rewards`.

    Claims are decided once they are prepared: `PayClaims` itself is not.
    """
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


def view(policy: RewardPolicy, state: Pool, now_ms: int) -> PoolView:
    """The pool as it stands at a moment, in the epoch of that moment."""
    for event in next_epoch(state, now_ms):
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
        multiplier(policy, state, now_ms),
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
    before = start_epoch(state, now_ms) if fresh else next_epoch(state, now_ms)
    state = after(state, before)
    funded = RewardPoolFunded(
        state.pool_id,
        command.funding_id,
        command.amount_minor,
        state.balance_minor + command.amount_minor,
        state.budget_minor + command.amount_minor,
        now_ms,
    )
    return Decision((*before, funded), view(policy, evolve(state, funded), now_ms))


def _return(policy: RewardPolicy, state: Pool, command: ReturnFunding, now_ms: int) -> Outcome:
    """What is left is nobody's in particular: whoever asks first gets all that is due to them."""
    _require_usable(state)
    if command.most_minor <= 0 or not _is_other(state, command.target_account):
        raise BadAmount(limit_minor=policy.max_funding_minor)
    amount = min(command.most_minor, state.balance_minor)
    if not amount:
        raise NothingToReturn(pool_id=state.pool_id)
    before = next_epoch(state, now_ms)
    state = after(state, before)
    event = RewardPoolFundingReturned(
        state.pool_id,
        command.return_id,
        amount,
        state.balance_minor - amount,
        max(state.spent_minor, state.budget_minor - amount),
        now_ms,
    )
    back = transfer(
        derive_key("pool-funding-return", state.pool_id, command.return_id),
        pool_account(state.pool_id),
        command.target_account,
        amount,
        cause=f"pool-funding-return:{command.return_id}",
        purpose=PURPOSE_RETURN,
    )
    return Decision((*before, event), event, transactions=(back,))


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


_DECIDERS: dict[type, Callable[[RewardPolicy, Pool, Any, int], Outcome]] = {
    OpenPool: _open,
    FundPool: _fund,
    ReturnFunding: _return,
    AddListen: pool_listens.add,
    PreparedClaims: claims.pay,
    ClosePool: _close,
    GetPool: _get,
}
