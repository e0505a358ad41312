create table payments.payout_methods (
    method_id uuid primary key,
    user_id uuid not null,
    provider text not null check (provider in ('stripe', 'paypal')),
    account text,
    sealed bytea,
    digest bytea not null check (octet_length(digest) = 32),
    label text not null,
    state text not null check (state in ('pending', 'ready', 'restricted')),
    is_default boolean not null default false,
    added_at_ms bigint not null,
    changed_at_ms bigint not null,
    check ((provider = 'stripe') = (account is not null)),
    check ((provider = 'stripe') = (sealed is null)),
    unique (user_id, provider, digest)
);
comment on table payments.payout_methods is 'Where users'' money may go.';
comment on column payments.payout_methods.account is 'The provider''s id of an account that it opened for the user.';
comment on column payments.payout_methods.sealed is 'An address, sealed with the vault at payout-address:<user id>.';
comment on column payments.payout_methods.digest is 'A keyed digest of account or address, to know it again.';
comment on column payments.payout_methods.label is 'What is shown of it: never all of an address.';
create unique index payout_methods_default on payments.payout_methods (user_id) where is_default;
create unique index payout_methods_account on payments.payout_methods (provider, account)
    where account is not null;

create table payments.payouts (
    payout_id uuid primary key,
    user_id uuid not null,
    method_id uuid not null,
    provider text not null,
    status text not null check (status in
        ('requested', 'on_hold', 'sending', 'paid', 'failed', 'returned', 'cancelled')),
    amount_minor numeric(38, 0) not null check (amount_minor > 0),
    charged_minor numeric(38, 0) not null check (charged_minor >= 0),
    fee_minor numeric(38, 0) not null default 0,
    owed_minor numeric(38, 0) not null default 0,
    currency text not null,
    ref text not null default '',
    failure text not null default '',
    verdict text not null,
    reasons text[] not null,
    created_at_ms bigint not null,
    changed_at_ms bigint not null
);
comment on table payments.payouts is 'Read model, written with the facts by the payouts'' owners.';
create index payouts_user on payments.payouts (user_id, created_at_ms desc, payout_id desc);
create index payouts_newest on payments.payouts (created_at_ms desc, payout_id desc);
create index payouts_status on payments.payouts (status, created_at_ms desc, payout_id desc);
create index payouts_method on payments.payouts (method_id, status);
create index payouts_ref on payments.payouts (provider, ref) where ref <> '';

create table payments.payout_transitions (
    payout_id uuid not null references payments.payouts (payout_id),
    number bigint not null,
    status_before text not null,
    status text not null,
    fee_minor numeric(38, 0) not null,
    owed_minor numeric(38, 0) not null,
    ref text not null,
    failure text not null,
    at_ms bigint not null,
    primary key (payout_id, number)
);
comment on table payments.payout_transitions is 'Every move of a payout. Never updated, never deleted.';
create trigger append_only before update or delete or truncate on payments.payout_transitions
    for each statement execute function payments.refuse_change();

create table payments.payout_calls (
    call_id uuid primary key,
    payout_id uuid not null references payments.payouts (payout_id),
    kind text not null,
    key text not null,
    tries integer not null default 0,
    due_at_ms bigint not null,
    code text not null default '',
    made_at_ms bigint not null,
    ended_at_ms bigint
);
comment on table payments.payout_calls is 'What providers were asked for, and whether they have answered.';
create index payout_calls_payout on payments.payout_calls (payout_id, made_at_ms);
