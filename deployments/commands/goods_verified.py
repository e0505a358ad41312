"""Drops and ventures derived again: tokens and escrow against the ledger."""

from __future__ import annotations

import typer

from storage import drops_audit, ventures_audit
from storage.database import Connection

AS_SAID = "Every token is somebody's, and every escrow is what was invested."


def tell(found: list[str]) -> None:
    """Print differences, or that there are none."""
    for what in found:
        typer.echo(what)
    typer.echo(f"{len(found)} differences of drops and ventures." if found else AS_SAID)


async def differences(connection: Connection) -> list[str]:
    """What is wrong, in words, on one snapshot. Everything goes on meanwhile."""
    found: list[str] = []
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute("set local statement_timeout = 0")
        for code, tokens, balance in await drops_audit.account_differences(connection):
            found.append(f"{code}: {tokens} tokens are listed, the account has {balance}")
        for drop_id, said, listed in await drops_audit.token_differences(connection):
            found.append(
                f"drop {drop_id}: {said[0]} minted and {said[1]} burned; listed are {listed[0]} "
                f"up to number {listed[1]}, {listed[2]} of them burned"
            )
        for code, invested, said_minor, kept in await ventures_audit.escrow_differences(connection):
            found.append(
                f"{code}: {invested} stand invested, the venture says {said_minor}, "
                f"the account has {kept}"
            )
        for venture_id, told, summed in await ventures_audit.raised_differences(connection):
            found.append(
                f"venture {venture_id}: {told[0]} of {told[1]} investors raised; "
                f"its investments make {summed[0]} of {summed[1]}"
            )
    return found
