"""`vibestream payments …`: providers' books compared with ours."""

from __future__ import annotations

import asyncio
import time
import uuid
from datetime import UTC, datetime
from typing import Annotated

import typer

from messages.payments.gateways import GatewayName
from messages.payments.reconciliations import KeptDifference, Report, RunState
from storage.database import Connection

app = typer.Typer(help="Payments.", no_args_is_help=True)
POLL_S = 0.2
MOST = 1_000


@app.callback()
def payments() -> None:
    """Payments and their providers."""


@app.command("reconcile")
def reconcile_command(
    provider: Annotated[GatewayName, typer.Option(help="Whose books.")],
    day: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Of which day, UTC.")],
    wait_s: Annotated[int, typer.Option(min=1, help="How long the worker may take.")] = 600,
) -> None:
    """Have the running system compare a day and print the report. Status 1 if anything differs."""
    from deployments.commands.access import ask
    from deployments.launcher.server import LaunchError
    from deployments.settings import Settings

    since_ms = int(day.replace(tzinfo=UTC).timestamp()) * 1_000

    async def compare(connection: Connection) -> tuple[Report | None, list[KeptDifference]]:
        return await _compare(connection, provider, since_ms, wait_s)

    report, found = ask(Settings(), compare)
    if report is None:
        raise LaunchError(f"no report after {wait_s} s: is a worker running, and {provider} there?")
    _tell(report, found)
    raise typer.Exit(1 if found else 0)


async def _compare(
    connection: Connection, provider: GatewayName, since_ms: int, wait_s: int
) -> tuple[Report | None, list[KeptDifference]]:
    from domain.payments.policy import DAY_MS
    from domain.payments.reconciling import wanted
    from storage import payments_differences, payments_reconciliations
    from storage.rows import OLDEST

    now_ms = time.time_ns() // 1_000_000
    key = str(uuid.uuid4())
    run = wanted(provider, since_ms, since_ms + DAY_MS, "operator", now_ms, key)
    await payments_reconciliations.ask(connection, run)
    for _ in range(int(wait_s / POLL_S)):
        now = await payments_reconciliations.find(connection, run.run_id)
        if now is not None and now.state in {RunState.DONE, RunState.FAILED}:
            break
        await asyncio.sleep(POLL_S)
    report = await payments_reconciliations.report(connection, run.run_id)
    return report, await payments_differences.of_run(connection, run.run_id, OLDEST, MOST)


def _tell(report: Report, found: list[KeptDifference]) -> None:
    typer.echo(
        f"{report.gateway}: {report.entries} entries, {report.charges} charges, "
        f"{report.duration_ms} ms"
    )
    for currency, (ours, theirs) in sorted(report.totals.items()):
        typer.echo(f"  ours {ours} {currency}, theirs {theirs} {currency}, in minor units")
    for one in found:
        what = one.found
        typer.echo(
            f"  {what.kind} {what.entry_kind} {what.charge_ref}: ours {what.ours_minor} "
            f"{what.our_currency or '-'}, theirs {what.theirs_minor} {what.their_currency or '-'}"
            f" ({one.state})"
        )
    typer.echo("The two are the same." if not found else f"Differences: {len(found)}.")
