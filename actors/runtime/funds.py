"""The ledger's part in a batch: what commands must be able to afford, and what they move.

A batch posts once, in the transaction that commits it, so that batches of any hosts cannot deadlock
on accounts. Reserves come first in that posting, hence no decision of the batch can pay for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from actors.runtime.batch import Batch, Redo, Reserves
from actors.runtime.codec import error_answer
from actors.runtime.entities import LiveEntities
from actors.runtime.kind import EntityKind
from actors.runtime.mail import Item
from domain.ledger import Verdict, net, settle
from messages.errors import InsufficientFunds, Refusal
from messages.ledger import LedgerTransaction
from storage import ledger
from storage.database import Connection

logger = structlog.get_logger(__name__)

_NOTHING = ("", 0)
NOT_COVERED, NET_NOT_COVERED = "insufficient-funds", "net-insufficient-funds"


async def affordable(
    connection: Connection,
    kind: EntityKind[Any, Any, Any],
    live: LiveEntities,
    items: Sequence[Item],
    batch: Batch,
    ahead: Batch | None,
) -> Reserves:
    """The reserves of the commands; those that cannot be afforded now are refused.

    Nothing is posted yet, so a command that is refused for another reason leaves no trace. The
    balances are read without a lock: `post` has the last word. What gathered commands need is part
    of what they come to: it is only seen to here. What the batch ahead moves counts as moved.
    """
    if type(kind).reserve is EntityKind.reserve:
        return {}
    asked: Reserves = {}
    needed: dict[int, tuple[str, int]] = {}
    for item in items:
        try:
            state = live.use(item.entity_id, batch.at_ms).state
            if type(item.command) in batch.gathered:
                if need := kind.needs(state, item.prepared or item.command):
                    needed[id(item)] = need
            elif reserve := kind.reserve(state, item.command, batch.at_ms):
                asked[id(item)] = reserve
        except Refusal as refusal:
            batch.refuse(item, refusal)
    codes = {posting.account for each in asked.values() for one in each for posting in one.postings}
    codes.update([account for account, _ in needed.values()])
    if codes:
        balances = await ledger.balances(connection, codes)
        if ahead is not None:
            _move(balances, ahead)
        for item in _unaffordable(balances, items, asked, needed):
            batch.refuse(item, InsufficientFunds())
    return asked


def _move(balances: dict[str, int], ahead: Batch) -> None:
    """What a batch that is about to be posted makes of balances, as far as they are asked for."""
    for _, transaction in (*ahead.reserves, *ahead.transactions):
        for posting in transaction.postings:
            if posting.account in balances:
                balances[posting.account] += posting.amount_minor


def _unaffordable(
    balances: dict[str, int],
    items: Sequence[Item],
    asked: Reserves,
    needed: Mapping[int, tuple[str, int]],
) -> list[Item]:
    """Those that what is asked before them leaves too little for. Changes the balances."""
    refused = []
    flat = [transaction for reserve in asked.values() for transaction in reserve]
    settlement = settle(balances, flat)
    by_item = [item for item in items for _ in asked.get(id(item), ())]
    for item, verdict in zip(by_item, settlement.verdicts, strict=True):
        if verdict is Verdict.INSUFFICIENT:
            refused.append(item)
    for account, gain in settlement.deltas.items():
        balances[account] += gain
    for item in items if needed else ():
        account, amount = needed.get(id(item), _NOTHING)
        if amount > balances.get(account, 0):
            refused.append(item)
        elif amount:
            balances[account] -= amount
    return refused


async def post(connection: Connection, batch: Batch) -> None:
    """Post what the batch moves, transfers of its `netted` purposes as their sums.

    Raises Redo if something of it is refused, with that settled: NOT_COVERED, or NET_NOT_COVERED
    where nobody can say whose part of a sum it was, until they are posted one by one.
    """
    parts, netted = [*batch.reserves, *batch.transactions], batch.netted
    if not parts:
        return
    sums = _net(batch, [each for _, each in parts if each.purpose in netted]) if netted else []
    parts = [part for part in parts if part[1].purpose not in netted]
    transactions = sums + [transaction for _, transaction in parts]
    # Who sells what was bought in this batch needs the trade ahead of the hold, whose sum is first.
    verdicts = await ledger.post(connection, transactions, batch.at_ms, together=bool(netted))
    if Verdict.INSUFFICIENT not in verdicts:
        return
    if netted:
        raise Redo(NET_NOT_COVERED)
    refused = [
        item
        for (item, _), verdict in zip(parts, verdicts, strict=True)
        if verdict is Verdict.INSUFFICIENT
    ]
    reserving = {id(item) for item, _ in batch.reserves}
    if not _settle_refused([item for item in refused if id(item) in reserving]):
        _settle_refused(_first_of_each_entity(refused))
    raise Redo(NOT_COVERED)


def _net(batch: Batch, transfers: Sequence[LedgerTransaction]) -> list[LedgerTransaction]:
    if not transfers:
        return []
    first = batch.writes.journal[0].key
    return net(transfers, first, f"batch:{first.hex()}")


def _settle_refused(items: Sequence[Item]) -> bool:
    for item in items:
        item.settle(error_answer(InsufficientFunds()))
    return bool(items)


def _first_of_each_entity(items: Sequence[Item]) -> list[Item]:
    """What came after the first may only have been refused because the first was not."""
    first: dict[str, Item] = {}
    for item in items:
        if item.entity_id not in first:
            first[item.entity_id] = item
            logger.error(
                "decision_not_covered",
                entity_id=item.entity_id,
                command=type(item.command).__name__,
                key=item.key.hex(),
            )
    return list(first.values())
