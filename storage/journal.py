"""The runtime's journal: recorded answers, entities' histories, writes guarded by the fence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from storage.database import Connection, Pool
from storage.rows import integers

# How long a command may be sent again and still get its recorded answer.
KEY_RETENTION_MS = 7 * 24 * 3_600_000
TRIM_CHUNK = 5_000

# Look-ups are lateral joins on whole unique keys, so that no statistics, or lack of them, can talk
# the planner into reading all rows of a kind (measured: 30 times slower until the first ANALYZE).

# Partitions that are no longer owned (their key is null), then what is recorded for the keys.
LOOK_UP = """
select null::bytea as key, f.partition::bigint as fingerprint, null::bytea as answer
from unnest($2::integer[], $3::bigint[]) as f (partition, epoch)
where not exists (
    select from runtime.partitions p
    where p.kind = $1 and p.partition = f.partition and p.epoch = f.epoch
)
union all
select j.key, j.fingerprint, j.answer
from unnest($4::bytea[]) as k (key)
cross join lateral (
    select key, fingerprint, answer from runtime.journal
    where kind = $1 and key = k.key
    limit 1
) j"""

SNAPSHOTS = """
select s.entity_id, s.sequence, s.state
from unnest($2::text[]) as e (entity_id)
cross join lateral (
    select entity_id, sequence, state from runtime.snapshots
    where kind = $1 and entity_id = e.entity_id
    limit 1
) s"""

HISTORIES = """
select e.entity_id, j.sequence, j.events
from unnest($2::text[], $3::bigint[]) as e (entity_id, after)
cross join lateral (
    select sequence, events from runtime.journal
    where kind = $1 and entity_id = e.entity_id and sequence > e.after
    order by sequence
) j"""

# One statement, so that a batch that touches nothing but the runtime's tables is one round trip.
# The rows are locked in the order of their partitions, as everything that changes them does. FOR
# SHARE waits for whoever is raising an epoch, then sees the new one; the count tells that none is
# missing.
WRITE = """
with fence as materialized (
    select p.partition
    from runtime.partitions p
    join unnest($2::integer[], $3::bigint[]) as f (partition, epoch)
        on f.partition = p.partition and f.epoch = p.epoch
    where p.kind = $1
    order by p.partition
    for share of p
),
held as materialized (select count(*) = cardinality($2::integer[]) as ok from fence),
journalled as (
    insert into runtime.journal
        (kind, entity_id, sequence, partition, at_ms, fingerprint, key, answer, events)
    select $1, j.entity_id, j.sequence, j.partition, $4, j.fingerprint, j.key, j.answer, j.events
    from unnest($5::text[], $6::text::bigint[], $7::text::integer[], $8::text::bigint[],
            $9::bytea[], $10::bytea[], $11::bytea[])
        as j (entity_id, sequence, partition, fingerprint, key, answer, events)
    where (select ok from held)
),
snapped as (
    insert into runtime.snapshots as s (kind, entity_id, sequence, at_ms, state)
    select $1, n.entity_id, n.sequence, $4, n.state
    from unnest($12::text[], $13::bigint[], $14::bytea[]) as n (entity_id, sequence, state)
    where (select ok from held)
    on conflict (kind, entity_id) do update
    set sequence = excluded.sequence, at_ms = excluded.at_ms, state = excluded.state
    where s.sequence < excluded.sequence
),
reminded as (
    insert into runtime.reminders (kind, entity_id, name, partition, due_at_ms, not_before_ms)
    select $1, r.entity_id, r.name, r.partition, r.due_at_ms, r.due_at_ms
    from unnest($15::text[], $16::text[], $17::integer[], $18::bigint[])
        as r (entity_id, name, partition, due_at_ms)
    where (select ok from held)
    on conflict (kind, entity_id, name) do update
    set due_at_ms = excluded.due_at_ms, not_before_ms = excluded.not_before_ms, failures = 0
),
found as materialized (
    select r.ctid
    from unnest($19::text[], $20::text[], $21::bigint[]) as f (entity_id, name, due_at_ms)
    cross join lateral (
        select ctid from runtime.reminders
        where kind = $1 and entity_id = f.entity_id and name = f.name
            and (f.due_at_ms is null or due_at_ms = f.due_at_ms)
        limit 1
        for update
    ) r
    where (select ok from held)
),
forgotten as (
    delete from runtime.reminders where ctid = any (array(select ctid from found)) returning 1
)
select ok, (select count(*) from found) = (select count(*) from forgotten) as forgot from held"""

# For timers that were postponed while they were being forgotten: their rows have moved, and the
# statement before does not see where to. The rows are locked by now.
FORGET = """
delete from runtime.reminders r
using unnest($2::text[], $3::text[], $4::bigint[]) as f (entity_id, name, due_at_ms)
where r.kind = $1 and r.entity_id = f.entity_id and r.name = f.name
    and (f.due_at_ms is null or r.due_at_ms = f.due_at_ms)"""

# Only rows that a snapshot covers: recovery never needs them again.
TRIM = """
with old as (
    select j.kind, j.entity_id, j.sequence
    from runtime.journal j join runtime.snapshots s using (kind, entity_id)
    where j.at_ms < $1 and j.sequence <= s.sequence
    limit $2
)
delete from runtime.journal j using old
where j.kind = old.kind and j.entity_id = old.entity_id and j.sequence = old.sequence"""


class Recorded(NamedTuple):
    """What a key stands for: the command's fingerprint and its answer (msgpack)."""

    fingerprint: int
    answer: bytes


class Found(NamedTuple):
    """Partitions of ours that another took, and the recorded answers by key."""

    lost: list[int]
    recorded: dict[bytes, Recorded]


class History(NamedTuple):
    """What an entity is rebuilt from: a snapshot (`state` None: no snapshot) and later rows."""

    sequence: int
    state: bytes | None
    rows: list[tuple[int, bytes]]


class JournalRow(NamedTuple):
    """A command that changed something. `sequence` is the number of the first of its `events`."""

    entity_id: str
    sequence: int
    partition: int
    fingerprint: int
    key: bytes
    answer: bytes
    events: bytes


class SnapshotRow(NamedTuple):
    """The state of an entity after event number `sequence`."""

    entity_id: str
    sequence: int
    state: bytes


@dataclass(slots=True)
class Writes:
    """What a batch writes to the runtime's tables.

    remind: (entity, timer name) → (partition, due at ms).  forget: (entity, timer name) → the due
    time at which it is to be deleted, None for whatever it is. No timer is in both.
    """

    journal: list[JournalRow] = field(default_factory=list)
    snapshots: list[SnapshotRow] = field(default_factory=list)
    remind: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    forget: dict[tuple[str, str], int | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.journal or self.snapshots or self.remind or self.forget)


async def look_up(
    connection: Connection, kind: str, epochs: Mapping[int, int], keys: Sequence[bytes]
) -> Found:
    """Whether `epochs` (partition → epoch) still stand, and what is recorded for `keys`."""
    rows = await connection.fetch(LOOK_UP, kind, list(epochs), list(epochs.values()), keys)
    found = Found([], {})
    for key, fingerprint, answer in rows:
        if key is None:
            found.lost.append(fingerprint)
        else:
            found.recorded[key] = Recorded(fingerprint, answer)
    return found


async def load(connection: Connection, kind: str, entity_ids: Sequence[str]) -> dict[str, History]:
    """The histories of entities, two statements whatever their number. All that were asked for."""
    snapshots = await connection.fetch(SNAPSHOTS, kind, entity_ids)
    found = {entity_id: History(0, None, []) for entity_id in entity_ids}
    for entity_id, sequence, state in snapshots:
        found[entity_id] = History(sequence, state, [])
    after = [history.sequence for history in found.values()]
    for entity_id, sequence, events in await connection.fetch(HISTORIES, kind, list(found), after):
        found[entity_id].rows.append((sequence, events))
    return found


async def write(
    connection: Connection, kind: str, epochs: Mapping[int, int], at_ms: int, writes: Writes
) -> bool:
    """Write a batch if all `epochs` stand; False, and nothing written, if one does not.

    Atomic on its own, outside a transaction too, but for timers that are postponed meanwhile.
    Raises UniqueViolationError (schema `runtime`) if a key is recorded already, or the journal
    holds more than the writer knows.
    """
    columns = zip(*writes.journal, strict=True) if writes.journal else ((),) * 7
    entity_ids, sequences, partitions, fingerprints, *answered = columns
    snapshots = zip(*writes.snapshots, strict=True) if writes.snapshots else ((),) * 3
    forget = (
        [entity_id for entity_id, _ in writes.forget],
        [name for _, name in writes.forget],
        list(writes.forget.values()),
    )
    row = await connection.fetchrow(
        WRITE,
        kind,
        list(epochs),
        list(epochs.values()),
        at_ms,
        entity_ids,
        integers(sequences),
        integers(partitions),
        integers(fingerprints),
        *answered,
        *snapshots,
        [entity_id for entity_id, _ in writes.remind],
        [name for _, name in writes.remind],
        [partition for partition, _ in writes.remind.values()],
        [due_at_ms for _, due_at_ms in writes.remind.values()],
        *forget,
    )
    assert row is not None, "a statement without a source has one row"
    if not row["forgot"]:
        await connection.execute(FORGET, kind, *forget)
    return bool(row["ok"])


async def trim_journal(pool: Pool, now_ms: int, *, chunk: int = TRIM_CHUNK) -> int:
    """Delete what neither recovery nor a retry needs any more. How many rows; chunk by chunk.

    A row may go once it is older than KEY_RETENTION_MS and covered by its entity's snapshot.
    """
    trimmed = 0
    while True:
        status = await pool.execute(TRIM, now_ms - KEY_RETENTION_MS, chunk)
        deleted = int(status.rsplit(" ", 1)[1])
        trimmed += deleted
        if deleted < chunk:
            return trimmed
