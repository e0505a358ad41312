create table payments.webhooks (
    gateway text not null,
    event_id text not null,
    type text not null,
    ref text not null,
    payment_id text not null,
    body bytea not null,
    at_ms bigint not null,
    taken_at_ms bigint not null,
    state text not null default 'taken' check (state in ('taken', 'handled', 'unrelated')),
    handled_at_ms bigint,
    primary key (gateway, event_id)
);
comment on table payments.webhooks is 'Every webhook whose signature was good, once, whatever its type.';
create index webhooks_open on payments.webhooks (taken_at_ms) where state = 'taken';
create index webhooks_ref on payments.webhooks (gateway, ref);
