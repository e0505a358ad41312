"""The audit log: who did what to whom, in the transaction of what was done."""

from __future__ import annotations

import json
from collections.abc import Mapping

from storage.database import Connection

PLATFORM = "platform"  # the actor when nobody asked

_APPEND = """
insert into audit.entries (at_ms, action, actor, subject, detail) values ($1, $2, $3, $4, $5)"""


async def record(
    connection: Connection,
    action: str,
    *,
    actor: str,
    subject: str,
    at_ms: int,
    detail: Mapping[str, str | int] | None = None,
) -> None:
    """Append an entry. `action` is a dotted verb (`session.revoked`); no secrets in `detail`."""
    text = json.dumps(dict(detail or {}), sort_keys=True)
    await connection.execute(_APPEND, at_ms, action, actor, subject, text)
