"""What the runtime itself may answer instead of a result."""

from __future__ import annotations

from messages.errors import Invalid, Transient


class NotOwner(Transient):
    """The partition belongs to another host. Handles look the placement up and ask there."""

    code = "not-owner"


class MalformedCommand(Invalid):
    """The command cannot be decoded, or its key, entity id or size is out of bounds."""

    code = "malformed-command"
