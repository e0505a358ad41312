create table users.sessions (
    session_id uuid primary key,
    user_id uuid not null references users.users (user_id) on delete cascade,
    created_at_ms bigint not null,
    last_used_at_ms bigint not null,
    expires_at_ms bigint not null,
    methods text[] not null,
    authenticated_at_ms bigint not null,
    device text not null,
    address text not null,
    place text not null,
    ended_at_ms bigint,
    ended_because text,
    check ((ended_at_ms is null) = (ended_because is null))
);
comment on table users.sessions is 'One row a sign-in. A session that ended is kept a while: its refresh tokens may still be shown.';
comment on column users.sessions.methods is 'How the user proved who they are: the claim amr of its access tokens.';
comment on column users.sessions.authenticated_at_ms is 'When they did so last, at sign-in or at a step-up: the claim auth_time.';
comment on column users.sessions.expires_at_ms is 'The session ends here whatever happens.';
create index sessions_of_user on users.sessions (user_id, created_at_ms);
create index sessions_ended on users.sessions (ended_at_ms) where ended_at_ms is not null;

create table users.refresh_tokens (
    token_hash bytea primary key check (octet_length(token_hash) = 32),
    session_id uuid not null references users.sessions (session_id) on delete cascade,
    number integer not null check (number >= 0),
    issued_at_ms bigint not null,
    used_at_ms bigint,
    seed bytea,
    unique (session_id, number),
    check ((used_at_ms is null) = (seed is null))
);
comment on table users.refresh_tokens is 'The tokens of a session in order, each only as its SHA-256. The one that is not used is the live one.';
comment on column users.refresh_tokens.seed is 'With the token itself and a secret of the server it gives the next token, and only so.';
create unique index refresh_tokens_live on users.refresh_tokens (session_id) where used_at_ms is null;
