"""Events about a user: numbered without a gap, in the order in which they become visible.

Many routes change a user, so the order comes from a lock: whoever changes a user and tells of it
locks the user first, before its transaction writes anything (see `storage/outbox.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from messages.envelope import event_of_fact
from messages.keys import derive_id
from messages.users import STREAM, UserRegistered, user_channel
from storage import outbox
from storage.database import Connection

# An advisory lock, because waiting for a row would give the transaction its number too early.
_LOCK = "select pg_advisory_xact_lock(hashtextextended('user:' || $1::text, 0))"
_NUMBER = """
update users.users set events = events + $2 where user_id = $1 returning events"""


async def lock(connection: Connection, user_id: str) -> None:
    """Be the only one to change this user until the transaction ends. Before its first write."""
    await connection.execute(_LOCK, user_id)


async def lock_all(connection: Connection, user_ids: Iterable[str]) -> None:
    """Lock several users. In one order everywhere, so that no two transactions wait in a circle."""
    for user_id in sorted(set(user_ids)):
        await lock(connection, user_id)


async def tell_registered(connection: Connection, fact: UserRegistered) -> None:
    """Write a new user's first event, which the row of the user counts already."""
    event = event_of_fact(
        fact,
        event_id=derive_id("user-registered", fact.user_id),
        stream=STREAM,
        entity_id=fact.user_id,
        sequence=1,
        at_ms=fact.at_ms,
        channels=(user_channel(fact.user_id),),
    )
    await outbox.append(connection, [event])


async def tell(
    connection: Connection, user_id: str, facts: Sequence[msgspec.Struct], at_ms: int
) -> None:
    """Write events about a locked user, shown on the user's own channel."""
    last = await connection.fetchval(_NUMBER, user_id, len(facts))
    assert last is not None, "a locked user exists"
    first = last - len(facts) + 1
    events = [
        event_of_fact(
            fact,
            event_id=derive_id("user-event", user_id, number),
            stream=STREAM,
            entity_id=user_id,
            sequence=number,
            at_ms=at_ms,
            channels=(user_channel(user_id),),
        )
        for number, fact in enumerate(facts, first)
    ]
    await outbox.append(connection, events)
