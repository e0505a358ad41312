"""`vibestream audit …`: the audit log checked and exported."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The audit log.", no_args_is_help=True)
BAD_FILE = 2

Pins = Annotated[
    list[str] | None,
    typer.Option("--pin", help="NUMBER:HASH as GET /api/v1/audit/head told it before."),
]


@app.command("verify")
def verify_command(
    file: Annotated[Path | None, typer.Option(help="An export, instead of the database.")] = None,
    pin: Pins = None,
) -> None:
    """Hash the audit log again and print what is not as it was sealed. Status 1 if anything is."""
    from deployments.commands.access import ask
    from deployments.commands.audit_files import NotAnExportError, faults, pin_of, tell
    from deployments.settings import Settings
    from storage import audit_chain

    try:
        pins = [pin_of(one) for one in pin or ()]
    except ValueError:
        raise typer.BadParameter("a pin is NUMBER:HASH") from None
    if file is None:
        found = ask(Settings(), lambda connection: audit_chain.faults(connection, pins))
    else:
        try:
            found, last = faults(file, pins)
        except (NotAnExportError, OSError) as error:
            typer.echo(f"error: {file}: {error}", err=True)
            raise typer.Exit(BAD_FILE) from None
        typer.echo(f"{last.number} entries, {last.hash.hex()}")
    tell(found)
    raise typer.Exit(1 if found else 0)


@app.command("export")
def export_command(
    out: Annotated[Path | None, typer.Option(help="Where to; standard output if absent.")] = None,
) -> None:
    """Write the sealed log, a JSON line an entry, with which anybody can check the chain."""
    from deployments.commands.access import ask
    from deployments.commands.audit_files import exported
    from deployments.settings import Settings
    from storage.database import Connection

    sink = sys.stdout.buffer if out is None else out.open("wb")

    async def write(connection: Connection) -> int:
        number = 0
        async for line in exported(connection):
            sink.write(line)
            number += 1
        return number

    number = ask(Settings(), write)
    sink.flush()
    if out is not None:
        sink.close()
    typer.echo(f"{number} entries.", err=True)
