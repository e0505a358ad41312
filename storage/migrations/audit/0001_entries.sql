create table audit.entries (
    entry_id bigint generated always as identity primary key,
    xid bigint not null default pg_current_xact_id()::text::bigint,
    at_ms bigint not null,
    action text not null,
    actor text not null,
    subject text not null,
    detail jsonb not null
);
comment on table audit.entries is 'Who did what to whom, written in the transaction of what was done. Never updated, never deleted.';
comment on column audit.entries.actor is 'A user id, service:<name> or platform.';
comment on column audit.entries.subject is 'What it was done to: user:<id>, session:<id>, song:<id>, …';
create index entries_subject on audit.entries (subject, entry_id);
create index entries_actor on audit.entries (actor, entry_id);
create function audit.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'audit entries are append-only';
end $$;
create trigger append_only before update or delete or truncate on audit.entries
    for each statement execute function audit.refuse_change();
