create table users.external_identities (
    identity_id uuid primary key,
    user_id uuid not null references users.users (user_id),
    provider text not null check (provider in ('google', 'apple')),
    subject text not null check (length(subject) between 1 and 255),
    email text,
    linked_at_ms bigint not null,
    used_at_ms bigint not null,
    constraint external_identities_subject unique (provider, subject)
);
comment on table users.external_identities is 'Who signs in to an account by way of Google or Apple. Gone when unlinked or when the account is deleted.';
comment on column users.external_identities.subject is 'The provider''s name for the person. Addresses change, this does not.';
comment on column users.external_identities.email is 'What the provider called their address when the identity was linked; shown to the user, never matched.';
create index external_identities_user on users.external_identities (user_id);

create table users.external_authorizations (
    state_hash bytea primary key check (octet_length(state_hash) = 32),
    provider text not null check (provider in ('google', 'apple')),
    browser_hash bytea check (octet_length(browser_hash) = 32),
    handle_hash bytea not null check (octet_length(handle_hash) = 32),
    nonce text not null,
    verifier text not null,
    return_url text not null,
    expires_at_ms bigint not null
);
comment on table users.external_authorizations is 'Browsers that are at a provider. Taken once, when they come back.';
comment on column users.external_authorizations.browser_hash is 'SHA-256 of the cookie of the browser that began. Null for native programs, which hold the handle alone.';
create index external_authorizations_expired on users.external_authorizations (expires_at_ms);

create table users.external_completions (
    code_hash bytea primary key check (octet_length(code_hash) = 32),
    handle_hash bytea not null check (octet_length(handle_hash) = 32),
    provider text not null check (provider in ('google', 'apple')),
    subject text not null,
    email text,
    is_email_verified boolean not null,
    is_email_authoritative boolean not null,
    expires_at_ms bigint not null
);
comment on table users.external_completions is 'Whom a provider vouched for, until the page that began brings the code and the handle. Taken once.';
create index external_completions_expired on users.external_completions (expires_at_ms);

create table users.external_notices (
    notice_hash bytea primary key check (octet_length(notice_hash) = 32),
    expires_at_ms bigint not null
);
comment on table users.external_notices is 'Notices of providers that were acted on, as long as one could be replayed.';
create index external_notices_expired on users.external_notices (expires_at_ms);
