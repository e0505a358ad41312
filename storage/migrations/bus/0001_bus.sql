-- The event bus. What PostgreSQL knows of it is the truth; Redis holds a copy that may be lost.
-- docs/decisions/0003-event-positions.md says why positions are what they are.

-- One row per event, written in the transaction of the change that it tells of. Its position (xid, id)
-- is (the transaction, the order within it); rows are published once every transaction below is over.
create table bus.outbox (
    stream text collate "C" not null,
    xid bigint not null default pg_current_xact_id()::text::bigint,
    id bigint generated always as identity,
    event_id uuid not null,
    type text collate "C" not null,
    entity_id text collate "C" not null,
    sequence bigint not null,
    at_ms bigint not null,
    channels text[] collate "C" not null,
    body text not null,
    primary key (stream, xid, id)
) with (autovacuum_vacuum_insert_scale_factor = 0.05);

-- For listeners that come back and ask what they missed: the channel by one, the recent by the other.
-- (An index on event_id would cost as much as both; nothing looks an event up by it.)
create index outbox_channels on bus.outbox using gin (channels);
create index outbox_recent on bus.outbox using brin (xid) with (pages_per_range = 16, autosummarize = on);

-- The registered consumer groups and, for each, how far its effects are committed. A group's position
-- moves in the transaction of its effects, and only forward from the position its consumer believed
-- in: an event at or below it is never handled again, a consumer that was replaced cannot commit.
create table bus.inbox (
    group_name text collate "C" not null,
    stream text collate "C" not null,
    xid bigint not null,
    id bigint not null,
    handled bigint not null default 0,
    registered_at_ms bigint not null,
    moved_at_ms bigint not null,
    primary key (group_name, stream)
) with (fillfactor = 20, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);

-- Events that a group gave up on. Whole copies: the outbox row may be trimmed before the operator looks.
create table bus.dead_letters (
    id bigint generated always as identity primary key,
    group_name text collate "C" not null,
    stream text collate "C" not null,
    xid bigint not null,
    row_id bigint not null,
    event_id uuid not null,
    type text not null,
    entity_id text not null,
    sequence bigint not null,
    at_ms bigint not null,
    channels text[] not null,
    body text not null,
    error text not null,
    attempts integer not null,
    parked_at_ms bigint not null,
    -- parked: waits for an operator.  replay: to be handed to its group again.  done: handled at last.
    state text collate "C" not null default 'parked' check (state in ('parked', 'replay', 'done')),
    unique (group_name, stream, xid, row_id)
);
create index dead_letters_replay on bus.dead_letters (group_name, stream, xid, row_id)
    where state = 'replay';
create index dead_letters_open on bus.dead_letters (id) where state <> 'done';
