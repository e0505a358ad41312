"""The inbox of webhooks: each event of a provider once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from messages.envelope import Event, event_of_fact
from messages.keys import derive_id
from messages.payments.gateways import GatewayName
from messages.payments.webhooks import STREAM, WebhookEvent, WebhookState, WebhookTaken
from storage import outbox
from storage.database import Connection, Pool

TAKE = """
insert into payments.webhooks
    (gateway, event_id, type, ref, payment_id, body, at_ms, taken_at_ms)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[],
    $7::bigint[], $8::bigint[])
on conflict do nothing
returning gateway, event_id"""
HANDLED = """
update payments.webhooks w set state = h.state, handled_at_ms = h.at_ms
from unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
    as h (gateway, event_id, state, at_ms)
where w.gateway = h.gateway and w.event_id = h.event_id"""

# A ring: what is turned away a thousand seconds later takes the place of what was now.
REJECT = """
insert into payments.rejected_webhooks as r
    (gateway, slot, reason, rejected, body_bytes, body_sha256, at_ms)
values ($1, ($6::bigint / 1000) % 1000, $2, $3, $4, $5, $6)
on conflict (gateway, slot) do update
set reason = excluded.reason, body_bytes = excluded.body_bytes,
    body_sha256 = excluded.body_sha256, at_ms = excluded.at_ms,
    rejected = excluded.rejected
        + case when r.at_ms / 1000 = excluded.at_ms / 1000 then r.rejected else 0 end"""


class Arrived(msgspec.Struct, frozen=True):
    """A webhook at the door."""

    gateway: GatewayName
    event: WebhookEvent
    body: bytes
    at_ms: int


async def take(connection: Connection, arrived: Sequence[Arrived]) -> None:
    """Keep webhooks and have them looked at; those that are kept already change nothing."""
    by_id = {(one.gateway.value, one.event.event_id): one for one in arrived}
    rows = list(by_id.values())
    found = await connection.fetch(
        TAKE,
        [one.gateway.value for one in rows],
        [one.event.event_id for one in rows],
        [one.event.type for one in rows],
        [one.event.ref for one in rows],
        [one.event.payment_id for one in rows],
        [one.body for one in rows],
        [one.event.at_ms for one in rows],
        [one.at_ms for one in rows],
    )
    await outbox.append(
        connection, [_told(by_id[row["gateway"], row["event_id"]]) for row in found]
    )


async def reject(
    pool: Pool, gateway: GatewayName, reason: str, rejected: int, body: bytes, at_ms: int
) -> None:
    """Keep a sample of what was turned away, and how many were since the last."""
    digest = hashlib.sha256(body).digest()
    await pool.execute(REJECT, gateway.value, reason, rejected, len(body), digest, at_ms)


async def mark(
    connection: Connection | Pool,
    handled: Sequence[tuple[GatewayName, str, WebhookState]],
    at_ms: int,
) -> None:
    """Note what became of webhooks."""
    rows = [(gateway.value, event_id, state.value, at_ms) for gateway, event_id, state in handled]
    if rows:
        await connection.execute(HANDLED, *map(list, zip(*rows, strict=True)))


def _told(one: Arrived) -> Event:
    event = one.event
    fact = WebhookTaken(
        one.gateway,
        event.event_id,
        event.type,
        event.ref,
        event.payment_id,
        one.at_ms,
        event.snapshot,
        event.about,
    )
    return event_of_fact(
        fact,
        event_id=derive_id("webhook", one.gateway.value, event.event_id),
        stream=STREAM,
        entity_id=f"{one.gateway.value}:{event.event_id}"[:128],
        sequence=1,
        at_ms=one.at_ms,
        channels=(),
    )
