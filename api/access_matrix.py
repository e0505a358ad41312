"""Who may call what, as a page: every role by every route and realtime operation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from api.access import RouteAccess
from domain.access import PERMISSIONS, Permission, permits
from messages.users import Role

HEAD = """\
# Who may call what

Written by `make openapi` from the code; a test compares it, and another asks every route as every
role. Whether the *thing* asked for is the caller's own is the route's policy on top of this table
(`domain/access.py: decide`). Keys have at most the permissions of who made them, and never
`account:self`, `platform:operate` or `users:manage`.
"""
YES, NO = "●", "·"


def render(
    routes: Iterable[RouteAccess], operations: Iterable[tuple[str, Permission | None]]
) -> str:
    """The page as Markdown."""
    lines = [HEAD, "## Permissions of roles", "", *_header("permission")]
    lines += (_row(f"`{p.value}`", (p in PERMISSIONS[role] for role in Role)) for p in Permission)
    lines += ["", "## Routes", "", *_header("route", "permission")]
    lines += (_access_row(f"`{r.method} {r.path}`", r.permission) for r in routes)
    lines += ["", "## Realtime operations", "", *_header("operation", "permission")]
    lines += (_access_row(f"`{name}`", permission) for name, permission in operations)
    return "\n".join(lines) + "\n"


def _header(*names: str) -> Iterator[str]:
    roles = [role.value for role in Role]
    yield "| " + " | ".join([*names, *roles]) + " |"
    yield "|" + "---|" * len(names) + ":-:|" * len(roles)


def _access_row(name: str, permission: Permission | None) -> str:
    if permission is None:
        return _row(f"{name} | public", (True for _ in Role))
    return _row(f"{name} | `{permission.value}`", (permits((role,), permission) for role in Role))


def _row(name: str, allowed: Iterable[bool]) -> str:
    return f"| {name} | " + " | ".join(YES if one else NO for one in allowed) + " |"
