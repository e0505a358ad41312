create table ventures.ventures (
    venture_id uuid primary key,
    artist_user_id uuid not null,
    song_id uuid,
    name text not null,
    pitch text not null,
    status text not null
        check (status in ('draft', 'open', 'funded', 'failed', 'cancelled')),
    currency text not null,
    goal_minor bigint not null check (goal_minor between 1 and cap_minor),
    cap_minor bigint not null,
    least_minor bigint not null check (least_minor between 1 and most_minor),
    most_minor bigint not null,
    deadline_ms bigint not null,
    tiers jsonb not null,
    raised_minor bigint not null default 0 check (raised_minor between 0 and cap_minor),
    escrow_minor bigint not null default 0 check (escrow_minor between 0 and raised_minor),
    fee_minor bigint not null default 0,
    investors integer not null default 0,
    drafted_at_ms bigint not null
);
comment on table ventures.ventures is 'Read model, written with the facts by the ventures'' owners.';
comment on column ventures.ventures.raised_minor is 'What stands invested, or did when the round closed.';
create index ventures_newest on ventures.ventures (drafted_at_ms desc, venture_id desc);
create index ventures_artist on ventures.ventures (artist_user_id);

create table ventures.investments (
    investment_id uuid primary key,
    venture_id uuid not null references ventures.ventures (venture_id),
    investor_id uuid not null,
    currency text not null,
    amount_minor bigint not null check (amount_minor > 0),
    status text not null check (status in ('open', 'withdrawn', 'returned', 'funded')),
    made_at_ms bigint not null,
    ended_at_ms bigint,
    reason text not null default ''
);
comment on column ventures.investments.reason is 'Why it was withdrawn.';
create index investments_venture on ventures.investments (venture_id, investor_id);
create index investments_investor
    on ventures.investments (investor_id, made_at_ms desc, investment_id desc);

create table ventures.deliveries (
    venture_id uuid not null references ventures.ventures (venture_id),
    investor_id uuid not null,
    benefit_id text not null,
    status text not null check (status in ('delivered', 'confirmed', 'contested')),
    reason text not null default '',
    changed_at_ms bigint not null,
    primary key (venture_id, investor_id, benefit_id)
);
comment on table ventures.deliveries is 'How far benefits are that are not merely due.';
comment on column ventures.deliveries.reason is 'Why it is contested.';
