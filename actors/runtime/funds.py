"""The ledger's part in a batch: what commands must be able to afford, and what they move.

A batch posts once, in the transaction that commits it, so that batches of any hosts cannot deadlock
on accounts. Reserves come first in that posting, hence no decision of the batch can pay for them.
"""

from __future__ import annotations

from collections.abc import Sequence
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

NOT_COVERED, NET_NOT_COVERED = "insufficient-funds", "net-insufficient-funds"


async def affordable(
    connection: Connection,
    kind: EntityKind[Any, Any, Any],
    live: LiveEntities,
    items: Sequence[Item],
    now_ms: int,
) -> Reserves:
    """The reserves of the commands; those that cannot be afforded now are settled as refused.

    Nothing is posted yet, so a command that is refused for another reason leaves no trace. The
    balances are read without a lock: `post` has the last word.
    """
    if type(kind).reserve is EntityKind.reserve:
        return {}
    asked: Reserves = {}
    for item in items:
        try:
            state = live.use(item.entity_id, now_ms).state
            if reserve := kind.reserve(state, item.command, now_ms):
                asked[id(item)] = reserve
        except Refusal as refusal:
            item.settle(error_answer(refusal))
    flat = [transaction for reserve in asked.values() for transaction in reserve]
    if not flat:
        return {}
    codes = {posting.account for transaction in flat for posting in transaction.postings}
    verdicts = settle(await ledger.balances(connection, codes), flat).verdicts
    by_item = [item for item in items for _ in asked.get(id(item), ())]
    for item, verdict in zip(by_item, verdicts, strict=True):
        if verdict is Verdict.INSUFFICIENT:
            item.settle(error_answer(InsufficientFunds()))
    return asked


async def post(connection: Connection, batch: Batch, netted: frozenset[str]) -> None:
    """Post what the batch moves, transfers of a purpose in `netted` as their sums.

    Raises Redo if something of it is refused, with that settled: NOT_COVERED, or NET_NOT_COVERED
    where nobody can say whose part of a sum it was, until they are posted one by one.
    """
    parts = [*batch.reserves, *batch.transactions]
    if not parts:
        return
    sums = _net(batch, [each for _, each in parts if each.purpose in netted]) if netted else []
    parts = [part for part in parts if part[1].purpose not in netted]
    transactions = sums + [transaction for _, transaction in parts]
    # Who sells what was bought in this batch needs the trade ahead of the hold, whose sum is first.
    verdicts = await ledger.post(connection, transactions, batch.at_ms, together=bool(sums))
    if Verdict.INSUFFICIENT not in verdicts:
        return
    if sums:
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
