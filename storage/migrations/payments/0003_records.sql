-- What providers were asked and said, what their books say, and how the two compare.

create table payments.exchanges (
    exchange_id uuid primary key,
    gateway text not null,
    payment_id uuid,
    payout_id text,
    call_id uuid,
    source text not null check (source in ('call', 'webhook', 'reconciliation')),
    kind text not null,
    tries integer not null,
    key text not null,
    method text not null,
    path text not null,
    request json,
    status smallint,
    answer json,
    request_ref text not null,
    started_at_ms bigint not null,
    duration_ms integer not null,
    outcome text not null check (outcome in ('answered', 'declined', 'not-sent', 'unknown')),
    error text not null,
    -- Only an answer has a status, and nothing that was not sent has one.
    check (status is not null or outcome in ('not-sent', 'unknown')),
    check (status is not null or answer is null)
);
comment on table payments.exchanges is
    'Every request to a provider and its answer, without what is secret. Never updated, never deleted.';
create index exchanges_payment on payments.exchanges (payment_id, started_at_ms)
    where payment_id is not null;
create index exchanges_started on payments.exchanges using brin (started_at_ms);
create trigger append_only before update or delete or truncate on payments.exchanges
    for each statement execute function payments.refuse_change();

create table payments.decisions (
    payment_id uuid not null,
    number bigint not null,
    type text not null,
    by text not null,
    detail jsonb not null,
    at_ms bigint not null,
    primary key (payment_id, number)
);
comment on table payments.decisions is
    'What was decided about payments beyond taking them: by whom, and why. Never updated, never deleted.';
create trigger append_only before update or delete or truncate on payments.decisions
    for each statement execute function payments.refuse_change();

-- A webhook is a fact; what became of it is the only thing about it that changes.
create function payments.keep_webhook() returns trigger language plpgsql as $$
begin
    if (old.gateway, old.event_id, old.type, old.ref, old.payment_id, old.body, old.at_ms,
            old.taken_at_ms)
        is distinct from (new.gateway, new.event_id, new.type, new.ref, new.payment_id, new.body,
            new.at_ms, new.taken_at_ms)
    then
        raise exception 'this record of payments is append-only';
    end if;
    return new;
end $$;
create trigger facts_stay before update on payments.webhooks
    for each row execute function payments.keep_webhook();
create trigger append_only before delete or truncate on payments.webhooks
    for each statement execute function payments.refuse_change();

create table payments.rejected_webhooks (
    gateway text not null,
    slot integer not null check (slot between 0 and 999),
    reason text not null,
    rejected bigint not null,
    body_bytes integer not null,
    body_sha256 bytea not null,
    at_ms bigint not null,
    primary key (gateway, slot)
);
comment on table payments.rejected_webhooks is
    'A sample of what was turned away at the door, in a ring of a thousand a provider.';

create table payments.movements (
    gateway text not null,
    charge_ref text not null,
    kind text not null check (kind in ('capture', 'refund', 'dispute')),
    ref text not null,
    payment_id uuid not null,
    amount_minor numeric(38, 0) not null,
    status text not null,
    place smallint not null,
    told_at_ms bigint not null,
    seen_at_ms bigint not null,
    primary key (gateway, charge_ref, kind, ref)
);
comment on table payments.movements is
    'What moved at providers as far as we know: the snapshots of payments, joined, a row a movement.';
create index movements_payment on payments.movements (payment_id);
create index movements_seen on payments.movements using brin (seen_at_ms);
create trigger append_only before delete or truncate on payments.movements
    for each statement execute function payments.refuse_change();
-- Payments that were taken before this table was.
insert into payments.movements
select c.gateway, c.ref, 'capture', '', p.payment_id, p.received_minor, 'captured', 0,
    p.changed_at_ms, p.changed_at_ms
from payments.payments p
cross join lateral (
    select gateway, ref from payments.charges where payment_id = p.payment_id
    order by attempt desc limit 1
) c
where p.received_minor > 0;

create table payments.provider_entries (
    gateway text not null,
    ref text not null,
    kind text not null,
    charge_ref text not null,
    amount_minor numeric(38, 0) not null,
    currency text not null,
    fee_minor numeric(38, 0) not null,
    our_id text not null,
    at_ms bigint not null,
    run_id uuid not null,
    read_at_ms bigint not null,
    primary key (gateway, ref)
);
comment on table payments.provider_entries is
    'The providers'' own books as they were read. Never updated, never deleted.';
create index provider_entries_charge on payments.provider_entries (gateway, charge_ref);
create index provider_entries_at on payments.provider_entries (gateway, at_ms);
create trigger append_only before update or delete or truncate on payments.provider_entries
    for each statement execute function payments.refuse_change();

create table payments.reconciliation_runs (
    run_id uuid primary key,
    gateway text not null,
    since_ms bigint not null,
    until_ms bigint not null check (until_ms > since_ms),
    asked_by text not null,
    asked_at_ms bigint not null,
    state text not null default 'waiting'
        check (state in ('waiting', 'reading', 'comparing', 'done', 'failed')),
    started_at_ms bigint,
    ended_at_ms bigint,
    entries bigint not null default 0,
    charges bigint not null default 0,
    after text not null default '',
    totals jsonb not null default '{}',
    failures integer not null default 0,
    not_before_ms bigint not null default 0,
    error text not null default ''
);
comment on table payments.reconciliation_runs is 'How far each comparison with a provider''s books is.';
create index reconciliation_runs_open on payments.reconciliation_runs (asked_at_ms)
    where state not in ('done', 'failed');

create table payments.reconciliations (
    run_id uuid primary key references payments.reconciliation_runs (run_id),
    gateway text not null,
    since_ms bigint not null,
    until_ms bigint not null,
    asked_by text not null,
    entries bigint not null,
    charges bigint not null,
    totals jsonb not null,
    counts jsonb not null,
    started_at_ms bigint not null,
    duration_ms bigint not null,
    at_ms bigint not null
);
comment on table payments.reconciliations is
    'The reports of comparisons that ended, once each. Never updated, never deleted.';
create index reconciliations_newest on payments.reconciliations (at_ms desc, run_id desc);
create trigger append_only before update or delete or truncate on payments.reconciliations
    for each statement execute function payments.refuse_change();

create table payments.differences (
    difference_id uuid primary key,
    run_id uuid not null references payments.reconciliation_runs (run_id),
    gateway text not null,
    kind text not null,
    entry_kind text not null,
    charge_ref text not null,
    payment_id uuid,
    ref text not null,
    ours_minor numeric(38, 0) not null,
    our_currency text not null,
    theirs_minor numeric(38, 0) not null,
    their_currency text not null,
    at_ms bigint not null,
    found_at_ms bigint not null,
    state text not null default 'open' check (state in ('open', 'healed', 'resolved', 'explained'))
);
comment on table payments.differences is 'Where a provider''s books and ours do not say the same.';
create index differences_open on payments.differences (gateway, charge_ref) where state = 'open';
create index differences_run on payments.differences (run_id);
create function payments.keep_difference() returns trigger language plpgsql as $$
begin
    if (to_jsonb(old) - 'state') is distinct from (to_jsonb(new) - 'state') then
        raise exception 'this record of payments is append-only';
    end if;
    return new;
end $$;
create trigger facts_stay before update on payments.differences
    for each row execute function payments.keep_difference();
create trigger append_only before delete or truncate on payments.differences
    for each statement execute function payments.refuse_change();

create table payments.difference_moves (
    move_id bigint generated always as identity primary key,
    difference_id uuid not null references payments.differences (difference_id),
    state text not null,
    by text not null,
    reason text not null,
    at_ms bigint not null
);
comment on table payments.difference_moves is
    'What became of differences, by whom and why. Never updated, never deleted.';
create index difference_moves_of on payments.difference_moves (difference_id, move_id);
create trigger append_only before update or delete or truncate on payments.difference_moves
    for each statement execute function payments.refuse_change();

create table payments.run_differences (
    run_id uuid not null references payments.reconciliation_runs (run_id),
    difference_id uuid not null references payments.differences (difference_id),
    primary key (run_id, difference_id)
);
comment on table payments.run_differences is 'Which comparison found what. Never updated, never deleted.';
create trigger append_only before update or delete or truncate on payments.run_differences
    for each statement execute function payments.refuse_change();
