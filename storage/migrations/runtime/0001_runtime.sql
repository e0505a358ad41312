-- What the actor runtime keeps (docs/decisions/0001-actor-runtime.md says why).

-- Who is called under a name now. A host process that starts raises its name's incarnation, and with
-- that retires whichever process used the name before, should it still be alive.
create table runtime.hosts (
    name text collate "C" primary key,
    incarnation bigint not null,
    started_at_ms bigint not null
);

-- Placement and fence in one: where a partition belongs, and the epoch that its owner's writes must
-- name. Whoever takes a partition, and whoever moves it, raises the epoch; the owner before cannot
-- commit from that moment on. Every commit share-locks its partitions' rows.
create table runtime.partitions (
    kind text collate "C" not null,
    partition integer not null,
    host text collate "C" not null,
    epoch bigint not null default 0,
    incarnation bigint not null default 0,
    changed_at_ms bigint not null default 0,
    primary key (kind, partition)
) with (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);

-- One row per command that changed something. It is the entity's history (`events`, in order from
-- number `sequence`) and the command's idempotency record (`key`, `fingerprint`, `answer`).
create table runtime.journal (
    kind text collate "C" not null,
    entity_id text collate "C" not null,
    sequence bigint not null,
    partition integer not null,
    at_ms bigint not null,
    fingerprint bigint not null,
    key bytea not null,
    answer bytea not null,
    events bytea not null,
    primary key (kind, entity_id, sequence),
    constraint journal_key unique (kind, key)
) with (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);
create index journal_age on runtime.journal using brin (at_ms)
    with (pages_per_range = 32, autosummarize = on);

-- The state of an entity after its event number `sequence`.
create table runtime.snapshots (
    kind text collate "C" not null,
    entity_id text collate "C" not null,
    sequence bigint not null,
    at_ms bigint not null,
    state bytea not null,
    primary key (kind, entity_id)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

-- Durable timers. `not_before_ms` is `due_at_ms`, or later after the entity failed to take it.
create table runtime.reminders (
    kind text collate "C" not null,
    entity_id text collate "C" not null,
    name text collate "C" not null,
    partition integer not null,
    due_at_ms bigint not null,
    not_before_ms bigint not null,
    failures integer not null default 0,
    primary key (kind, entity_id, name)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
create index reminders_due on runtime.reminders (kind, not_before_ms);

-- What the supervisor saw and did, for the operator.
create table runtime.incidents (
    id bigint generated always as identity primary key,
    at_ms bigint not null,
    host text collate "C" not null,
    what text collate "C" not null,
    partitions_moved integer not null,
    detail text not null default ''
);
create index incidents_recent on runtime.incidents (at_ms desc);
