"""`vibestream events dead …`: what consumer groups gave up on, listed, shown, replayed."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import msgspec
import typer

from deployments.commands.access import ask
from deployments.settings import Settings
from messages.bus import DeadLetter
from storage.dead_letters import list_dead, replay_dead, show_dead

app = typer.Typer(help="The event bus.", no_args_is_help=True)
dead = typer.Typer(help="Events that a consumer group gave up on.", no_args_is_help=True)
app.add_typer(dead, name="dead")

Ids = Annotated[list[int], typer.Argument(help="Letters, as `list` numbers them.")]


@dead.command("list")
def list_command(
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="At most so many.")] = 100,
) -> None:
    """Letters that are not done, oldest first."""
    letters = ask(Settings(), lambda connection: list_dead(connection, limit))
    for letter in letters:
        typer.echo(_line(letter))
    typer.echo(f"{len(letters)} dead letters." if letters else "No dead letters.")


@dead.command("show")
def show_command(letter_id: Annotated[int, typer.Argument(help="The letter.")]) -> None:
    """One letter: the event, whose it is, why the group gave up."""
    letter = ask(Settings(), lambda connection: show_dead(connection, letter_id))
    if letter is None:
        typer.echo(f"error: there is no letter {letter_id}", err=True)
        raise typer.Exit(1)
    typer.echo(msgspec.json.format(msgspec.json.encode(letter), indent=2).decode())


@dead.command("replay")
def replay_command(letter_ids: Ids) -> None:
    """Hand parked letters to their groups again. Each takes effect once, however often asked."""
    wanted = sorted(set(letter_ids))
    marked = ask(Settings(), lambda connection: replay_dead(connection, wanted))
    typer.echo(f"{marked} of {len(wanted)} handed to their groups again.")
    raise typer.Exit(0 if marked == len(wanted) else 1)


def _line(letter: DeadLetter) -> str:
    at = dt.datetime.fromtimestamp(letter.parked_at_ms / 1_000, dt.UTC)
    reason = (letter.error.strip().splitlines() or ["no reason"])[-1][:120]
    return (
        f"{letter.id}  {at:%Y-%m-%d %H:%M:%S}Z  {letter.group}  {letter.event.type}"
        f"  {letter.event.entity_id}  {letter.state}  {letter.attempts} attempts  {reason}"
    )
