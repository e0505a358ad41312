"""`vibestream users …`: what only an operator may give."""

from __future__ import annotations

from typing import Annotated

import typer

from deployments.commands.access import ask
from deployments.composition.common import now_ms
from deployments.settings import Settings
from messages.users import Role
from storage import audit
from storage.database import Connection
from storage.users import grant_points, grant_role
from storage.users_sessions import sign_out

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


@app.command("sign-out")
def sign_out_command(
    name: Annotated[str | None, typer.Argument(help="The username.")] = None,
    everyone: Annotated[bool, typer.Option("--everyone", help="All users.")] = False,
) -> None:
    """End every session of a user, or of all users, within a second."""
    if (name is None) != everyone:
        raise typer.BadParameter("name a user, or --everyone")
    ended = ask(Settings(), lambda connection: sign_out(connection, name, now_ms()))
    if ended is None:
        _unknown(name or "")
    typer.echo(f"{ended} sessions ended.")


def _unknown(name: str) -> None:
    typer.echo(f"error: there is no user {name}", err=True)
    raise typer.Exit(1)
