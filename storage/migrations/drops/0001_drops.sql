create table drops.drops (
    drop_id uuid primary key,
    artist_user_id uuid not null,
    song_id uuid not null,
    name text not null,
    status text not null
        check (status in ('draft', 'active', 'paused', 'completed', 'cancelled')),
    currency text not null,
    price_minor bigint not null check (price_minor >= 0),
    supply integer not null check (supply > 0),
    cap integer not null check (cap > 0),
    days integer not null,
    reserved integer not null default 0 check (reserved >= 0),
    minted integer not null default 0 check (minted between 0 and supply - reserved),
    burned integer not null default 0 check (burned between 0 and minted),
    ends_at_ms bigint not null default 0,
    drafted_at_ms bigint not null
);
comment on table drops.drops is 'Read model, written with the facts by the drops'' owners.';
comment on column drops.drops.minted is 'Ever, with those that were burned since.';
create index drops_newest on drops.drops (drafted_at_ms desc, drop_id desc);
create index drops_song on drops.drops (song_id);
create index drops_artist on drops.drops (artist_user_id);

create table drops.purchases (
    reservation_id uuid primary key,
    drop_id uuid not null references drops.drops (drop_id),
    buyer_id uuid not null,
    count integer not null check (count > 0),
    first_token integer not null check (first_token > 0),
    currency text not null,
    paid_minor bigint not null,
    fee_minor bigint not null,
    purchased_at_ms bigint not null,
    returned_at_ms bigint,
    reason text not null default ''
);
comment on column drops.purchases.reason is 'Why the tokens were returned.';
create index purchases_drop on drops.purchases (drop_id, first_token);
create index purchases_buyer on drops.purchases (buyer_id, purchased_at_ms desc, reservation_id desc);

create table drops.tokens (
    drop_id uuid not null references drops.drops (drop_id),
    token integer not null check (token > 0),
    owner_id uuid not null,
    reservation_id uuid not null references drops.purchases (reservation_id),
    minted_at_ms bigint not null,
    burned_at_ms bigint,
    primary key (drop_id, token)
);
comment on table drops.tokens is 'Every token that was ever minted. The key is the promise that no number is given twice.';
create index tokens_owner on drops.tokens (owner_id, minted_at_ms desc, drop_id desc, token desc)
    where burned_at_ms is null;
create index tokens_reservation on drops.tokens (reservation_id);
