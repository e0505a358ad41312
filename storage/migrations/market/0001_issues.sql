create table market.issues (
    issue_id uuid primary key,
    song_id uuid not null,
    generation integer not null,
    artist_user_id uuid not null,
    status text not null
        check (status in ('draft', 'active', 'paused', 'sold_out', 'terminated')),
    voided boolean not null default false,
    currency text not null,
    shares integer not null check (shares > 0),
    retained integer not null check (retained between 0 and shares),
    sold integer not null default 0 check (sold between 0 and shares - retained),
    price_minor bigint not null,
    minimum integer not null,
    cap_bps integer not null,
    tick_minor bigint not null,
    revenue_minor bigint not null default 0 check (revenue_minor >= 0),
    drafted_at_ms bigint not null,
    activated_at_ms bigint,
    unique (song_id, generation)
);
comment on table market.issues is 'Read model, written with the facts by the issues'' owners.';
comment on column market.issues.revenue_minor is 'What waits to be distributed.';
create unique index issues_live on market.issues (song_id) where not voided;
create index issues_newest on market.issues (drafted_at_ms desc, issue_id desc);

create table market.holdings (
    issue_id uuid not null,
    user_id uuid not null,
    available integer not null check (available >= 0),
    held integer not null check (held >= 0),
    locked integer not null check (locked >= 0),
    cost_minor bigint not null,
    realised_minor bigint not null,
    changed_at_ms bigint not null,
    primary key (user_id, issue_id)
);
comment on table market.holdings is 'What each user has of each issue, as its owner last said.';

create table market.purchases (
    purchase_id uuid primary key,
    issue_id uuid not null,
    user_id uuid not null,
    shares integer not null check (shares > 0),
    price_minor bigint not null,
    paid_minor bigint not null,
    fee_minor bigint not null,
    at_ms bigint not null
);
comment on table market.purchases is 'Of offered shares. The key is the promise that it is once.';
create index purchases_newest on market.purchases (user_id, at_ms desc, purchase_id desc);

create table market.locks (
    lock_id uuid primary key,
    issue_id uuid not null,
    user_id uuid not null,
    shares integer not null check (shares > 0),
    until_ms bigint not null,
    reason text not null,
    locked_at_ms bigint not null,
    unlocked_at_ms bigint
);
create index locks_standing on market.locks (user_id, issue_id) where unlocked_at_ms is null;

create table market.receipts (
    revenue_id uuid primary key,
    issue_id uuid not null,
    amount_minor bigint not null check (amount_minor > 0),
    at_ms bigint not null
);
comment on table market.receipts is 'Revenue as it came. The key is the promise that it is once.';

create table market.distributions (
    distribution_id uuid primary key,
    issue_id uuid not null,
    currency text not null,
    amount_minor bigint not null check (amount_minor = fee_minor + artist_minor + holders_minor),
    fee_minor bigint not null,
    artist_minor bigint not null,
    holders_minor bigint not null,
    holders integer not null,
    parts integer not null,
    root text not null,
    fee_salt text not null,
    at_ms bigint not null
);
create index distributions_newest
    on market.distributions (issue_id, at_ms desc, distribution_id desc);

create table market.payments (
    distribution_id uuid not null,
    index integer not null check (index > 0),
    user_id uuid not null,
    issue_id uuid not null,
    currency text not null,
    shares integer not null,
    amount_minor bigint not null,
    salt text not null,
    at_ms bigint not null,
    primary key (distribution_id, index)
);
comment on table market.payments is
    'The parts of distributions, but the platform''s: with the salts of their leaves, which are each owner''s secret.';
create index payments_newest on market.payments (user_id, at_ms desc, distribution_id desc);
