create table users.registrations (
    registration_id uuid primary key,
    token_hash bytea not null unique check (octet_length(token_hash) = 32),
    username text not null,
    username_key text not null,
    email text,
    email_key text,
    password_hash text,
    time_zone text not null,
    locale text not null,
    letters integer not null default 1 check (letters > 0),
    last_letter_at_ms bigint not null,
    created_at_ms bigint not null,
    expires_at_ms bigint not null,
    user_id uuid,
    completed_at_ms bigint,
    check ((user_id is null) = (completed_at_ms is null)),
    check ((user_id is null) = (email is not null and email_key is not null and password_hash is not null))
);
comment on table users.registrations is 'Registrations whose address is not confirmed yet, kept a day. They reserve their username.';
comment on column users.registrations.token_hash is 'SHA-256 of the token that was mailed, or of one that nobody has where the address is an account''s already.';
comment on column users.registrations.user_id is 'The account that it became; address and password leave with that.';
create unique index registrations_username on users.registrations (username_key) where user_id is null;
create index registrations_expired on users.registrations (expires_at_ms);
create index registrations_email on users.registrations (email_key) where email_key is not null;

create table users.mail_tokens (
    token_hash bytea primary key check (octet_length(token_hash) = 32),
    user_id uuid not null references users.users (user_id) on delete cascade,
    purpose text not null check (purpose in ('password-reset', 'email-change')),
    email text,
    created_at_ms bigint not null,
    expires_at_ms bigint not null,
    check ((purpose = 'email-change') = (email is not null)),
    unique (user_id, purpose)
);
comment on table users.mail_tokens is 'What was mailed to prove that a mailbox is read: the last of each purpose, until it is used or late.';
comment on column users.mail_tokens.email is 'The address that an account is to have.';
create index mail_tokens_expired on users.mail_tokens (expires_at_ms);

create table users.retired_usernames (
    name_hash bytea primary key check (octet_length(name_hash) = 32),
    user_id uuid,
    until_ms bigint not null
);
comment on table users.retired_usernames is 'Names that were given up. Nobody else may take one for a while, so that nobody is taken for who had it.';
comment on column users.retired_usernames.name_hash is 'SHA-256 of the lower-case name.';
comment on column users.retired_usernames.user_id is 'Who may have it back; null once the account is deleted.';
create index retired_usernames_until on users.retired_usernames (until_ms);

alter table users.users add column email_verified_at_ms bigint;
comment on column users.users.email_verified_at_ms is 'When its owner last showed to read the mailbox; null where nobody has asked yet.';
