"""The audit log: its entries, its seals, what may be wrong with them."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from messages.errors import NotFound


class AuditEntry(msgspec.Struct, frozen=True):
    """Who did what to whom. `xid` is the transaction that did it."""

    entry_id: int
    xid: int
    at_ms: int
    action: str
    actor: str
    subject: str
    detail: dict[str, str | int]


class Seal(msgspec.Struct, frozen=True):
    """The place of an entry in the chain. `number` counts from 1."""

    number: int
    xid: int
    entry_id: int
    hash: bytes


class Fault(StrEnum):
    """What is wrong with the log at a place."""

    CHANGED = "changed"  # the entry is not what was sealed, or its seal is not its seal
    REMOVED = "removed"  # a seal has no entry
    INSERTED = "inserted"  # an entry stands before the last seal and has none
    MISSING = "missing"  # a number of the chain is skipped
    MOVED = "moved"  # a seal stands where its entry was not settled
    REWRITTEN = "rewritten"  # the chain is whole, and another than the one that was pinned


class AuditFault(msgspec.Struct, frozen=True):
    """One fault: of the entry `entry_id`, or of the chain's `number`."""

    kind: Fault
    number: int
    entry_id: int


class ChainEmpty(NotFound):
    """Nothing of the audit log has been sealed yet."""

    code = "audit-chain-empty"
