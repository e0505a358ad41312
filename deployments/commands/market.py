"""`vibestream market …`: order commands from a file, or every book's own, matched again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The market.", no_args_is_help=True)
BAD_FILE = 2


@app.command("verify")
def verify_command(
    journal: Annotated[
        Path | None,
        typer.Option(help="Pages of GET /api/v1/books/{id}/journal, one after the other."),
    ] = None,
) -> None:
    """Match every book's journal again: answers, hashes, open orders, trades, held balances.

    With --journal, match an exported one: it needs nothing but the file.
    """
    from deployments.commands import books_verified
    from deployments.commands.access import ask
    from deployments.settings import Settings

    if journal is None:
        found = ask(Settings(), books_verified.differences)
        books_verified.tell(found)
        raise typer.Exit(1 if found else 0)
    try:
        again = books_verified.exported(journal.read_bytes())
    except (books_verified.NotAJournalError, OSError) as error:
        typer.echo(f"error: {journal}: {error}", err=True)
        raise typer.Exit(BAD_FILE) from None
    if again.wrong:
        typer.echo(f"{journal}: {again.wrong}")
        raise typer.Exit(1)
    typer.echo(f"{again.number} entries, {again.totals.trades} trades, {again.chain.hex()}")


@app.command("replay")
def replay_command(
    file: Annotated[Path, typer.Argument(help="CSV of commands, as docs/contexts say.")],
    out: Annotated[Path | None, typer.Option(help="Where to; standard output if absent.")] = None,
) -> None:
    """Match the commands of FILE; print the events, and the hash of what rests at the end.

    Status 2 where the file cannot be read or a line is not a command: then nothing is printed.
    """
    from deployments.commands.replay_files import BadLineError, read, replay
    from kernels.compile import cache_folder, is_cold

    if is_cold(cache_folder("matching")):
        typer.echo("compiling the matching kernel: half a minute or so, once", err=True)
    try:
        with file.open("rb") as source:
            commands = read(source)
    except (BadLineError, OSError) as error:
        typer.echo(f"error: {file}: {error}", err=True)
        raise typer.Exit(BAD_FILE) from None
    if out is None:
        replay(commands, sys.stdout.buffer.write)
        sys.stdout.buffer.flush()
    else:
        with out.open("wb") as sink:
            replay(commands, sink.write)
