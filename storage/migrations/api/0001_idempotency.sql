create table api.idempotency (
    key bytea primary key check (octet_length(key) = 16),
    fingerprint bytea not null,
    status smallint,
    body bytea,
    at_ms bigint not null
);
create index idempotency_oldest on api.idempotency (at_ms);
comment on table api.idempotency is 'The recorded answer of each request that changed something, written with the change.';
