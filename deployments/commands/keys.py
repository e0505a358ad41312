"""`vibestream keys …`: the keys that sign access tokens. No process is restarted for any of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from deployments.composition.common import now_ms
from deployments.settings import Settings
from domain import signing_keys as domain
from integrations.signing_keys import SigningKey, add_signing_key, key_files, load_signing_keys

app = typer.Typer(help="Keys of access tokens.", no_args_is_help=True)

OVER = "over"


@app.command("list")
def list_command() -> None:
    """List the keys and what each is for at the moment."""
    load_signing_keys(Settings().keys_folder)  # makes the first one
    for file, key, state in _states(now_ms()):
        typer.echo(f"{key.key_id}  {state}  {file.name}")


@app.command("rotate")
def rotate_command(
    at_once: Annotated[
        bool, typer.Option("--at-once", help="Sign as soon as every replica has seen the key.")
    ] = False,
) -> None:
    """Add a key. It is published now and signs in ten minutes; older ones verify on until the last
    token that they signed has expired."""
    folder, moment = Settings().keys_folder, now_ms()
    keys = load_signing_keys(folder)
    waiting = [key for key in keys if key.signs_from_ms > moment]
    if waiting and not at_once:
        _fail(f"{waiting[0].key_id} waits already, and signs from {_time(waiting[0])}")
    ahead_ms = domain.POLICY.at_once_ms if at_once else domain.POLICY.publish_ms
    key = add_signing_key(folder, moment + ahead_ms)
    typer.echo(f"{key.key_id} signs from {_time(key)}.")


@app.command("retire")
def retire_command(
    key_id: Annotated[
        str | None,
        typer.Argument(help="A key that others may know: void at once, with all its tokens."),
    ] = None,
) -> None:
    """Remove the keys that have nothing left to verify; or one key, whatever it is needed for."""
    folder, moment = Settings().keys_folder, now_ms()
    load_signing_keys(folder)
    found = _states(moment)
    if key_id is None:
        gone = [(file, key) for file, key, state in found if state == OVER]
    else:
        gone = [(file, key) for file, key, _ in found if key.key_id.startswith(key_id)]
        if len(gone) != 1:
            _fail(f"{len(gone)} keys begin with {key_id}")
        if len(found) == 1:
            _fail("it is the only key: rotate --at-once first")
    for file, key in gone:
        file.unlink()
        typer.echo(f"{key.key_id} is retired.")
    if not gone:
        typer.echo("Every key is still needed.")


def _states(moment: int) -> list[tuple[Path, SigningKey, str]]:
    files = key_files(Settings().keys_folder)
    moments = [key.signs_from_ms for _, key in files]
    return [(file, key, _state(moments, index, moment)) for index, (file, key) in enumerate(files)]


def _state(moments: list[int], index: int, moment: int) -> str:
    if index == domain.signer(moments, moment):
        return "signs"
    if moments[index] > moment:
        return f"signs from {_said(moments[index])}"
    until = domain.good_until_ms(moments, index)
    if until is None or moment < until:
        return f"verifies until {_said(until)}" if until else "verifies"
    return OVER


def _time(key: SigningKey) -> str:
    return _said(key.signs_from_ms)


def _said(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _fail(reason: str) -> NoReturn:
    typer.echo(f"error: {reason}", err=True)
    raise typer.Exit(1)
