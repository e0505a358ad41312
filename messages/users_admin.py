"""What admins may not do to users."""

from __future__ import annotations

from messages.errors import Conflict


class LastAdmin(Conflict):
    """The platform keeps at least one active admin."""

    code = "last-admin"


class RoleNotAssignable(Conflict):
    """A service stays one, and nobody becomes one."""

    code = "role-not-assignable"
