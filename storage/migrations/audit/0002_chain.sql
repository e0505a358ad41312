create table audit.chain (
    number bigint primary key check (number > 0),
    xid bigint not null,
    entry_id bigint not null unique,
    hash bytea not null check (octet_length(hash) = 32)
);
comment on table audit.chain is
    'The entries in the order in which they were settled, each hash over the one before and the entry. Never updated, never deleted.';
comment on column audit.chain.xid is 'Of the entry, so that the place where sealing goes on outlives whatever happens to it.';
create trigger append_only before update or delete or truncate on audit.chain
    for each statement execute function audit.refuse_change();
create index entries_settled on audit.entries (xid, entry_id);
create index entries_action on audit.entries (action, entry_id);
