"""The audit log outside of the database: exported as lines, and checked from them alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import typer

from domain.audit import Check
from messages.audit import AuditEntry, AuditFault, Fault, Seal
from storage.audit_chain import whole
from storage.database import Connection

AS_SAID = "The audit log is as it was sealed."
WORDS = {
    Fault.CHANGED: "is not what was sealed",
    Fault.REMOVED: "was sealed and is gone",
    Fault.INSERTED: "stands before the last seal and was never sealed",
    Fault.MISSING: "is missing in the chain",
    Fault.MOVED: "is sealed at another place than its own",
    Fault.REWRITTEN: "does not have the hash that was pinned",
}


class NotAnExportError(Exception):
    """A line of the file is not one of an export."""


class Line(msgspec.Struct, frozen=True):
    """A seal and its entry, as `vibestream audit export` writes them. `hash` is hexadecimal."""

    number: int
    xid: int
    entry_id: int
    hash: str
    entry: AuditEntry | None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode


async def exported(connection: Connection) -> AsyncIterator[bytes]:
    """The whole chain, a line each, on one snapshot."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute("set local statement_timeout = 0")
        async for seal, entry in whole(connection):
            line = Line(seal.number, seal.xid, seal.entry_id, seal.hash.hex(), entry)
            yield _encode(line) + b"\n"


def faults(path: Path, pins: Iterable[Seal]) -> tuple[list[AuditFault], Seal]:
    """What is wrong with an export, and its last seal. Raises NotAnExportError, OSError."""
    check, noted = Check(), {pin.number: pin.hash for pin in pins}
    last = Seal(0, 0, 0, check.hash)
    for line in _lines(path):
        last = Seal(line.number, line.xid, line.entry_id, bytes.fromhex(line.hash))
        check.take(last, line.entry)
        if last.number in noted:
            check.pinned(last.number, noted.pop(last.number))
    return [*check.faults, *(AuditFault(Fault.REWRITTEN, n, 0) for n in sorted(noted))], last


def pin_of(text: str) -> Seal:
    """A pin written NUMBER:HASH, as `GET /api/v1/audit/head` tells them. Raises ValueError."""
    number, _, digest = text.partition(":")
    return Seal(int(number), 0, 0, bytes.fromhex(digest))


def tell(found: list[AuditFault]) -> None:
    """Print faults, or that there are none."""
    for fault in found:
        what = f"entry {fault.entry_id}" if fault.entry_id else f"number {fault.number}"
        typer.echo(f"audit {what} {WORDS[fault.kind]}")
    typer.echo(f"{len(found)} faults of the audit log." if found else AS_SAID)


def _lines(path: Path) -> Iterator[Line]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            try:
                line: Any = _decode(raw)
                bytes.fromhex(line.hash)
            except (msgspec.MsgspecError, ValueError) as error:
                raise NotAnExportError(f"line {number}: {error}") from None
            yield line
