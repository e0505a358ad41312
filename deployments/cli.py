"""The operator's command, `./vibestream`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import asyncpg
import typer

from deployments.settings import Settings

app = typer.Typer(help="VibeStream's operator command.", no_args_is_help=True)
Url = Annotated[str, typer.Option("--postgres-url", envvar="VIBESTREAM_POSTGRES_URL")]


@app.command()
def run() -> None:
    """Start everything on this machine and stay up until Ctrl-C."""
    from deployments.runner import run as run_all

    raise typer.Exit(run_all(Settings()))


@app.command()
def verify(postgres_url: Url = "") -> None:
    """Derive every balance of the ledger again and print any difference."""
    from contextlib import nullcontext

    from deployments.launcher.postgres import EmbeddedPostgres
    from deployments.runner import is_running
    from domain.ledger import DIFFERENCES
    from storage.ledger import verify as verify_ledger

    folder = Settings().folder
    embedded = EmbeddedPostgres(folder / "postgres")
    # A running system's data folder is never touched: its server is asked where it is.
    if not postgres_url and is_running(folder):
        postgres_url = embedded.running_url()
    server = nullcontext() if postgres_url else embedded

    async def differences(url: str) -> int:
        connection = await asyncpg.connect(url)
        found = await verify_ledger(connection)
        await connection.close()
        for one in found:
            words = DIFFERENCES[one.kind]
            typer.echo(f"{one.subject}: {words}: expected {one.expected}, found {one.found}")
        return len(found)

    with server as started:
        count = asyncio.run(differences(postgres_url or started.url))  # type: ignore[union-attr]
    typer.echo("The ledger is in balance." if count == 0 else f"{count} differences.")
    raise typer.Exit(1 if count else 0)


@app.command()
def openapi(file: Path = Path("openapi.json")) -> None:
    """Write the OpenAPI document."""
    from api.app import create_openapi

    file.write_text(json.dumps(create_openapi(), indent=2, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    app()
