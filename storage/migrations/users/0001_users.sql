create table users.users (
    user_id uuid primary key,
    username text not null,
    username_key text not null unique,
    email text not null,
    email_key text not null unique,
    password_hash text not null,
    role text not null default 'user' check (role in ('user', 'artist', 'moderator', 'admin')),
    points bigint not null default 0 check (points >= 0),
    time_zone text not null,
    locale text not null,
    created_at_ms bigint not null
);
comment on table users.users is 'One row a user. The keys are the lower-case forms that no two users share.';
