create table payments.payments (
    payment_id uuid primary key,
    payer_id uuid not null,
    purpose text not null,
    status text not null check (status in ('pending', 'requires_action', 'processing', 'completed',
        'partially_refunded', 'refunded', 'failed', 'cancelled', 'on_hold', 'disputed')),
    amount_minor numeric(38, 0) not null check (amount_minor > 0),
    currency text not null,
    method text not null,
    gateway text not null,
    received_minor numeric(38, 0) not null default 0,
    returned_minor numeric(38, 0) not null default 0,
    subject text not null,
    failure text not null default '',
    verdict text not null,
    score integer not null,
    reasons text[] not null,
    created_at_ms bigint not null,
    changed_at_ms bigint not null
);
comment on table payments.payments is 'Read model, written with the facts by the payments'' owners.';
create index payments_payer on payments.payments (payer_id, created_at_ms desc, payment_id desc);
create index payments_newest on payments.payments (created_at_ms desc, payment_id desc);
create index payments_status on payments.payments (status, created_at_ms desc, payment_id desc);

create table payments.charges (
    gateway text not null,
    ref text not null,
    payment_id uuid not null references payments.payments (payment_id),
    attempt integer not null,
    primary key (gateway, ref)
);
comment on table payments.charges is 'Which payment a provider''s charge belongs to.';
create index charges_payment on payments.charges (payment_id);

create table payments.calls (
    call_id uuid primary key,
    payment_id uuid not null references payments.payments (payment_id),
    kind text not null,
    gateway text not null,
    key text not null,
    tries integer not null default 0,
    due_at_ms bigint not null,
    code text not null default '',
    made_at_ms bigint not null,
    ended_at_ms bigint
);
comment on table payments.calls is 'What providers were asked for, and whether they have answered.';
create index calls_payment on payments.calls (payment_id, made_at_ms);
create index calls_open on payments.calls (due_at_ms) where ended_at_ms is null;

create table payments.transitions (
    payment_id uuid not null references payments.payments (payment_id),
    number bigint not null,
    status_before text not null,
    status text not null,
    received_minor numeric(38, 0) not null,
    returned_minor numeric(38, 0) not null,
    failure text not null,
    at_ms bigint not null,
    primary key (payment_id, number)
);
comment on table payments.transitions is 'Every move of a payment. Never updated, never deleted.';
create function payments.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'this record of payments is append-only';
end $$;
create trigger append_only before update or delete or truncate on payments.transitions
    for each statement execute function payments.refuse_change();
