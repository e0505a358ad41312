create table payments.customers (
    user_id uuid primary key,
    gateway text not null,
    ref text not null unique,
    made_at_ms bigint not null
);
comment on table payments.customers is 'Whom a provider knows a user as, for the methods that they saved.';

create table payments.saved_methods (
    method_id uuid primary key,
    user_id uuid not null references payments.customers (user_id),
    setup_ref text not null unique,
    method_ref text not null default '',
    status text not null check (status in ('pending', 'active')),
    brand text not null default '',
    last4 text not null default '' check (last4 ~ '^[0-9]{0,4}$'),
    expires_month smallint not null default 0,
    expires_year smallint not null default 0,
    is_default boolean not null default false,
    made_at_ms bigint not null,
    look_at_ms bigint not null,
    check ((status = 'active') = (method_ref <> ''))
);
comment on table payments.saved_methods is 'Cards that users saved at the provider: names of them, never their numbers.';
create index saved_methods_user on payments.saved_methods (user_id, made_at_ms, method_id);
create unique index saved_methods_default on payments.saved_methods (user_id) where is_default;
create index saved_methods_pending on payments.saved_methods (look_at_ms) where status = 'pending';

create table payments.to_forget (
    ref text primary key,
    kind text not null check (kind in ('customer', 'method')),
    look_at_ms bigint not null
);
comment on table payments.to_forget is 'What a provider is still to forget: asked until it has.';
create index to_forget_due on payments.to_forget (look_at_ms);
