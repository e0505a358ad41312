create table rewards.pools (
    pool_id uuid primary key,
    name text not null,
    status text not null check (status in ('open', 'depleted', 'closed')),
    balance_minor bigint not null check (balance_minor >= 0),
    epoch bigint not null,
    epoch_started_at_ms bigint not null,
    epoch_ms bigint not null check (epoch_ms > 0),
    budget_minor bigint not null,
    spent_minor bigint not null,
    opened_at_ms bigint not null
);
comment on table rewards.pools is 'Read model, written with the facts by the pools'' owners.';
create index pools_oldest_open on rewards.pools (opened_at_ms, pool_id) where status = 'open';
create index pools_newest on rewards.pools (opened_at_ms desc, pool_id desc);

create table rewards.credits (
    payee_id text not null,
    session_id uuid not null,
    pool_id uuid not null,
    song_id uuid not null,
    amount_minor bigint not null check (amount_minor > 0),
    at_ms bigint not null,
    payout bigint,
    paid_at_ms bigint,
    primary key (payee_id, session_id)
);
comment on table rewards.credits is 'What each listen brought its listener and its artist.';
comment on column rewards.credits.payee_id is 'user:<id> or artist:<id>';
comment on column rewards.credits.payout is 'The number of the payee''s payout it is part of.';
create index credits_newest on rewards.credits (payee_id, at_ms desc, session_id desc);
create index credits_unpaid on rewards.credits (payee_id, payout) where paid_at_ms is null;

create table rewards.streaks (
    user_id uuid primary key,
    days integer not null check (days >= 0),
    longest_days integer not null check (longest_days >= days),
    last_day integer not null
);
comment on column rewards.streaks.last_day is 'Proleptic ordinal of the last day with a reward.';
