"""Which roles an admin may give. Pure."""

from __future__ import annotations

from messages.users import Role
from messages.users_admin import LastAdmin, RoleNotAssignable


def check_role_change(was: Role, role: Role, other_admins: int) -> None:
    """Whether a user may get another role. other_admins: active ones beside this user.

    Raises RoleNotAssignable, LastAdmin.
    """
    if Role.SERVICE in {was, role}:
        raise RoleNotAssignable
    if was is Role.ADMIN and role is not Role.ADMIN and other_admins == 0:
        raise LastAdmin
