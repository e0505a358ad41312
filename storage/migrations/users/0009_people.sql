create table users.profiles (
    user_id uuid primary key references users.users (user_id) on delete cascade,
    display_name text,
    bio text,
    avatar_url text,
    links text[] not null default '{}',
    updated_at_ms bigint not null
);
comment on table users.profiles is 'What a user shows of themselves; no row, nothing. Erased with the account.';

create table users.follows (
    follower_id uuid not null references users.users (user_id) on delete cascade,
    kind text collate "C" not null check (kind in ('user', 'artist')),
    target_id uuid not null,
    following boolean not null,
    since_ms bigint not null,
    primary key (follower_id, kind, target_id),
    check (kind <> 'user' or follower_id <> target_id)
);
comment on column users.follows.following is 'False once they stopped; the row stays, so that the first time is known.';
create index follows_of on users.follows (follower_id, since_ms desc, target_id desc) where following;
create index followers_of on users.follows (kind, target_id, since_ms desc, follower_id desc) where following;

create table users.follow_counts (
    kind text collate "C" not null,
    id uuid not null,
    followers bigint not null default 0 check (followers >= 0),
    following bigint not null default 0 check (following >= 0),
    primary key (kind, id)
);
comment on table users.follow_counts is 'Counted in the transaction of each follow; no row, nobody.';

create table users.blocks (
    user_id uuid not null references users.users (user_id) on delete cascade,
    blocked_id uuid not null references users.users (user_id) on delete cascade,
    at_ms bigint not null,
    primary key (user_id, blocked_id),
    check (user_id <> blocked_id)
);
create index blocks_newest on users.blocks (user_id, at_ms desc, blocked_id desc);

create table users.activity (
    user_id uuid not null,
    day integer not null,
    kind text collate "C" not null,
    count bigint not null check (count >= 0),
    amount bigint not null,
    points bigint not null default 0 check (points >= 0),
    primary key (user_id, day, kind)
);
comment on table users.activity is 'What each user did on each day (UTC), counted from events, and the points that it gave.';
comment on column users.activity.day is 'Proleptic ordinal.';
comment on column users.activity.amount is 'Of listens the milliseconds, of rewards the minor units, of investments the shares.';
create index activity_by_day on users.activity (day, kind, user_id);

create table users.stats (
    user_id uuid primary key,
    listens bigint not null default 0,
    played_ms bigint not null default 0,
    rewards bigint not null default 0,
    reward_minor bigint not null default 0,
    investments bigint not null default 0,
    shares bigint not null default 0,
    streak_days bigint not null default 0,
    longest_streak bigint not null default 0
);
comment on table users.stats is 'All that each user did, counted from the same events in the same transaction as users.activity.';
