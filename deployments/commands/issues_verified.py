"""Share issues derived again: holdings against the ledger, distributions against their roots."""

from __future__ import annotations

import typer

from domain.market.statements import Part, leaf, root_of
from messages.market import PLATFORM
from storage import market_audit as storage
from storage.database import Connection
from storage.market_issues import DistributionRow, PaymentRow

AS_SAID = "Every share is somebody's, and every distribution is what its parts make."


def tell(found: list[str]) -> None:
    """Print differences, or that there are none."""
    for what in found:
        typer.echo(what)
    typer.echo(f"{len(found)} differences of share issues." if found else AS_SAID)


async def differences(connection: Connection) -> list[str]:
    """What is wrong with the issues, in words, on one snapshot. Everything goes on meanwhile."""
    found: list[str] = []
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute("set local statement_timeout = 0")
        for code, said, held in await storage.account_differences(connection):
            found.append(f"{code}: its owner says {said}, the account has {held}")
        for issue_id, shares, held in await storage.share_differences(connection):
            found.append(f"issue {issue_id}: of {shares} shares, {held} are somebody's")
        async for row, paid in storage.distributions(connection):
            if wrong := _wrong(row, paid):
                found.append(f"distribution {row.distribution_id}: {wrong}")
    return found


def _wrong(row: DistributionRow, paid: list[PaymentRow]) -> str:
    parts = [Part(PLATFORM, 0, row.fee_minor, row.fee_salt)]
    parts += [Part(p.user_id, p.shares, p.amount_minor, p.salt) for p in paid]
    if [p.index for p in paid] != list(range(1, row.parts)):
        return f"{row.parts} parts were published, {len(parts)} are stored"
    root = root_of([leaf(row.distribution_id, part) for part in parts])
    if root.sum_minor != row.amount_minor:
        return f"its parts make {root.sum_minor} of {row.amount_minor}"
    return "" if root.hash.hex() == row.root else "its parts make another root"
