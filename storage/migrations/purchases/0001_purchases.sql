create schema if not exists purchases;

create table purchases.purchases (
    purchase_id uuid primary key,
    buyer_id uuid not null,
    purpose text not null,
    subject_id text not null,
    status text not null,
    amount_minor numeric(38, 0) not null check (amount_minor > 0),
    currency text not null,
    quantity bigint not null,
    is_paid_in boolean not null,
    returned_minor numeric(38, 0) not null default 0,
    failure text not null default '',
    created_at_ms bigint not null,
    changed_at_ms bigint not null
);
comment on table purchases.purchases is
    'Read model, written with the facts by the purchases'' owners. is_paid_in: by a payment.';
create index purchases_buyer on purchases.purchases
    (buyer_id, created_at_ms desc, purchase_id desc);
create index purchases_newest on purchases.purchases (created_at_ms desc, purchase_id desc);
create index purchases_status on purchases.purchases
    (status, created_at_ms desc, purchase_id desc);
create index purchases_subject on purchases.purchases
    (subject_id, created_at_ms desc, purchase_id desc);

create table purchases.steps (
    purchase_id uuid not null references purchases.purchases (purchase_id),
    number bigint not null,
    step text not null,
    outcome text not null check (outcome in ('wanted', 'done', 'refused')),
    code text not null default '',
    at_ms bigint not null,
    primary key (purchase_id, number, step, outcome)
);
comment on table purchases.steps is 'What a purchase had somebody asked for, and what came of it.';
