"""`vibestream users …`: what only an operator may give."""

from __future__ import annotations

from typing import Annotated

import typer

from deployments.commands.access import ask
from deployments.settings import Settings
from messages.users import Role
from storage import audit
from storage.database import Connection
from storage.users import grant_points, grant_role

app = typer.Typer(help="Users.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The username.")]


@app.command("role")
def role_command(name: Name, role: Role) -> None:
    """Give a user a role. It counts from the next sign-in."""
    from deployments.composition.common import now_ms

    async def grant(connection: Connection) -> str | None:
        async with connection.transaction():
            user_id = await grant_role(connection, name, role)
            if user_id is not None:
                await audit.record(
                    connection,
                    "user.role-changed",
                    actor=audit.PLATFORM,
                    subject=f"user:{user_id}",
                    at_ms=now_ms(),
                    detail={"role": role.value},
                )
        return user_id

    if ask(Settings(), grant) is None:
        _unknown(name)
    typer.echo(f"{name} is {role.value} from the next sign-in on.")


@app.command("points")
def points_command(name: Name, points: Annotated[int, typer.Argument(min=1)]) -> None:
    """Add to a user's points, which give the account tier."""
    total = ask(Settings(), lambda connection: grant_points(connection, name, points))
    if total is None:
        _unknown(name)
    typer.echo(f"{name} has {total} points.")


def _unknown(name: str) -> None:
    typer.echo(f"error: there is no user {name}", err=True)
    raise typer.Exit(1)
