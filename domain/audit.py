"""The hash chain over the audit log: what an entry's hash covers, and how a chain is checked.

hash(n) = SHA-256(hash(n - 1) ‖ canonical(entry n)), hash(0) = 32 zero bytes. Whoever changes,
removes or inserts an entry has to make every later hash anew, and then the last one is no longer
the one that others have pinned (B. Schneier, J. Kelsey, "Secure Audit Logs to Support Computer
Forensics", 1999).
"""

from __future__ import annotations

import hashlib
import json

from messages.audit import AuditEntry, AuditFault, Fault, Seal

GENESIS = bytes(32)


def canonical(entry: AuditEntry) -> bytes:
    """The bytes that stand for an entry: a JSON list, keys sorted, no spaces, UTF-8."""
    e = entry
    fields = [e.entry_id, e.xid, e.at_ms, e.action, e.actor, e.subject, e.detail]
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def link(previous: bytes, entry: AuditEntry) -> bytes:
    """The hash of an entry that follows `previous`."""
    return hashlib.sha256(previous + canonical(entry)).digest()


def seal(head: Seal | None, entries: list[AuditEntry]) -> list[Seal]:
    """The seals of entries that follow the head, in order."""
    last, previous = (head.number, head.hash) if head else (0, GENESIS)
    sealed: list[Seal] = []
    for number, entry in enumerate(entries, last + 1):
        previous = link(previous, entry)
        sealed.append(Seal(number, entry.xid, entry.entry_id, previous))
    return sealed


class Check:
    """Reads a chain from its first seal on and notes what is wrong with it.

    Hashes are compared to what follows from the seal before as it is stored, so that one fault is
    told once and not at every seal after it.
    """

    def __init__(self) -> None:
        self.number = 0
        self.hash = GENESIS
        self._place = (0, 0)
        self.faults: list[AuditFault] = []

    def take(self, sealed: Seal, entry: AuditEntry | None) -> None:
        """The next seal, with the entry of its id if there is one."""
        if sealed.number != self.number + 1:
            self._note(Fault.MISSING, self.number + 1, 0)
        if (sealed.xid, sealed.entry_id) <= self._place:
            self._note(Fault.MOVED, sealed.number, sealed.entry_id)
        if entry is None:
            self._note(Fault.REMOVED, sealed.number, sealed.entry_id)
        elif sealed.number == self.number + 1 and link(self.hash, entry) != sealed.hash:
            self._note(Fault.CHANGED, sealed.number, sealed.entry_id)
        self.number, self.hash = sealed.number, sealed.hash
        self._place = max(self._place, (sealed.xid, sealed.entry_id))

    def pinned(self, number: int, digest: bytes) -> None:
        """At `number`, the hash must be what somebody noted down before."""
        if self.number == number and self.hash != digest:
            self._note(Fault.REWRITTEN, number, 0)

    def inserted(self, entry_id: int) -> None:
        """An entry that stands before the last seal and has none of its own."""
        self._note(Fault.INSERTED, 0, entry_id)

    def _note(self, kind: Fault, number: int, entry_id: int) -> None:
        self.faults.append(AuditFault(kind, number, entry_id))
