alter table users.users drop constraint users_role_check,
    add constraint users_role_check
        check (role in ('user', 'artist', 'moderator', 'admin', 'service'));
create table users.api_keys (
    key_id uuid primary key,
    user_id uuid not null references users.users (user_id),
    name text not null,
    digest bytea not null check (octet_length(digest) = 32),
    scopes text[] not null,
    created_at_ms bigint not null,
    expires_at_ms bigint not null,
    used_at_ms bigint,
    revoked_at_ms bigint
);
comment on table users.api_keys is 'Keys of programs. The secret is not here, only its SHA-256.';
create index api_keys_user on users.api_keys (user_id, created_at_ms desc, key_id desc);
