"""The operator's command, `./vibestream`."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from deployments.commands import audit, events, keys, market, payments, proof, users
from deployments.launcher.server import LaunchError
from deployments.settings import Settings

app = typer.Typer(help="VibeStream's operator command.", no_args_is_help=True)
app.add_typer(events.app, name="events")
app.add_typer(users.app, name="users")
app.add_typer(keys.app, name="keys")
app.add_typer(proof.app, name="proof")
app.add_typer(market.app, name="market")
app.add_typer(audit.app, name="audit")
app.add_typer(payments.app, name="payments")


@app.command()
def run() -> None:
    """Start everything on this machine and stay up until Ctrl-C."""
    from deployments.runner import run as run_all

    raise typer.Exit(run_all(Settings()))


@app.command()
def deploy() -> None:
    """Start everything on the Ray cluster at VIBESTREAM_RAY_ADDRESS, and leave it there."""
    from deployments.deploy import deploy as deploy_all

    try:
        deploy_all(Settings())
    except RuntimeError as error:  # what Serve says of an application that did not come up
        raise LaunchError(str(error).splitlines()[0]) from error


@app.command()
def demo(
    seconds: Annotated[
        float | None, typer.Option(min=1, help="How long to listen; the whole song if absent.")
    ] = None,
) -> None:
    """Tell the story of one rewarded listen on the running system, as it happens."""
    from demo.client import Refused
    from deployments.commands.access import running
    from deployments.demonstration import run_story

    places = running(Settings())
    if not places["letters_url"]:
        raise LaunchError("the story reads its letters, and VIBESTREAM_SMTP_URL sends them away")
    try:
        asyncio.run(run_story(places, typer.echo, seconds))
    except (Refused, TimeoutError) as error:
        raise LaunchError(f"the story broke off: {error or 'something took too long'}") from error


@app.command()
def verify() -> None:
    """Derive every balance, share issue, token and escrow again, match every order book again, hash
    the audit log again, and print any difference."""
    from deployments.commands import audit_files, books_verified, goods_verified, issues_verified
    from deployments.commands.access import ask
    from domain.ledger import DIFFERENCES, Difference
    from messages.audit import AuditFault
    from storage import audit_chain
    from storage.database import Connection
    from storage.ledger import verify as verify_ledger

    async def everything(
        connection: Connection,
    ) -> tuple[list[Difference], list[str], list[str], list[str], list[AuditFault]]:
        return (
            await verify_ledger(connection),
            await books_verified.differences(connection),
            await issues_verified.differences(connection),
            await goods_verified.differences(connection),
            await audit_chain.faults(connection),
        )

    found, books, issues, goods, faults = ask(Settings(), everything)
    for one in found:
        words = DIFFERENCES[one.kind]
        typer.echo(f"{one.subject}: {words}: expected {one.expected}, found {one.found}")
    typer.echo(f"{len(found)} differences." if found else "The ledger is in balance.")
    books_verified.tell(books)
    issues_verified.tell(issues)
    goods_verified.tell(goods)
    audit_files.tell(faults)
    raise typer.Exit(1 if found or books or issues or goods or faults else 0)


@app.command()
def migrate() -> None:
    """Apply the migrations that are missing."""
    from deployments.commands.access import postgres_url
    from deployments.runner import migrated

    with postgres_url(Settings()) as url:
        typer.echo(f"migrations {migrated(url)}")


@app.command()
def openapi(
    file: Path = Path("openapi.json"),
    matrix: Path = Path("docs/security/access.md"),
    realtime: Path = Path("asyncapi.json"),
) -> None:
    """Write the OpenAPI document, who may call what, and the AsyncAPI document."""
    from api.app import create_access_matrix, create_openapi
    from api.realtime import asyncapi

    realtime.write_text(asyncapi.text(), "utf-8")
    file.write_text(json.dumps(create_openapi(), indent=2, ensure_ascii=False) + "\n", "utf-8")
    matrix.parent.mkdir(parents=True, exist_ok=True)
    matrix.write_text(create_access_matrix(), "utf-8")


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="As `python -m benchmarks` lists them.")],
) -> None:
    """Run one benchmark."""
    from benchmarks.__main__ import run as run_benchmark

    raise typer.Exit(run_benchmark([name]))


def main() -> None:
    """Run the command; what an operator can mend is one line on stderr and exit status 1."""
    from integrations.secret_stores import SecretStoreError
    from storage.migrate import MigrationDrift

    try:
        app()
    except (LaunchError, MigrationDrift, SecretStoreError) as error:
        _fail(str(error))
    except ValidationError as error:
        # Its own text names the setting and may quote its value; these words do not.
        first = error.errors(include_input=False, include_url=False)[0]
        where = "_".join(str(part) for part in first["loc"]).upper()
        _fail(f"VIBESTREAM_{where}: {first['msg']}" if where else first["msg"])


def _fail(reason: str) -> None:
    typer.echo(f"error: {reason}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
