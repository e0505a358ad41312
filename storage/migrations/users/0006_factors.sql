create table users.totp (
    user_id uuid primary key references users.users (user_id),
    secret bytea not null,
    added_at_ms bigint not null,
    confirmed_at_ms bigint,
    last_step bigint not null default 0
);
comment on table users.totp is 'One-time passwords (RFC 6238). Not a factor until a code of it was shown.';
comment on column users.totp.secret is 'Sealed: AES-GCM under a key of the installation, bound to the user.';
comment on column users.totp.last_step is 'The 30 seconds whose code was accepted last; no code of it or before it is accepted again.';

create table users.recovery_codes (
    user_id uuid not null references users.users (user_id),
    code_hash bytea not null,
    made_at_ms bigint not null,
    used_at_ms bigint,
    primary key (user_id, code_hash)
);
comment on table users.recovery_codes is 'Keyed digests of codes that each stand in once for a second factor.';

create table users.passkeys (
    passkey_id uuid primary key,
    user_id uuid not null references users.users (user_id),
    credential_id bytea not null unique,
    public_key bytea not null,
    sign_count bigint not null check (sign_count >= 0),
    name text not null,
    aaguid uuid not null,
    transports text[] not null,
    synced boolean not null,
    added_at_ms bigint not null,
    used_at_ms bigint,
    suspected_at_ms bigint
);
comment on table users.passkeys is 'WebAuthn credentials of users.';
comment on column users.passkeys.public_key is 'COSE_Key (RFC 9052), as the authenticator gave it.';
comment on column users.passkeys.synced is 'Whether it may be on more than one device (the backup-eligible flag).';
comment on column users.passkeys.suspected_at_ms is 'When its counter went back, which a copy of it explains; it opens nothing from then on.';
create index passkeys_user on users.passkeys (user_id, added_at_ms);

create table users.passkey_challenges (
    challenge_id uuid primary key,
    challenge bytea not null,
    purpose text not null check (purpose in ('register', 'sign-in', 'second-factor', 'step-up')),
    bound_to bytea not null,
    expires_at_ms bigint not null
);
comment on table users.passkey_challenges is 'Challenges that wait for an authenticator; taken once.';
comment on column users.passkey_challenges.bound_to is 'Digest of whom it was given to: a user, a session, a pending sign-in; empty if nobody is known yet.';
create index passkey_challenges_expiry on users.passkey_challenges (expires_at_ms);

create table users.pending_sign_ins (
    pending_hash bytea primary key,
    user_id uuid not null references users.users (user_id),
    method text not null,
    client bytea not null,
    attempts integer not null default 0,
    expires_at_ms bigint not null
);
comment on table users.pending_sign_ins is 'Sign-ins whose first factor was right and whose second is awaited.';
comment on column users.pending_sign_ins.client is 'Digest of what the client calls itself: another one cannot go on with it.';
create index pending_sign_ins_expiry on users.pending_sign_ins (expires_at_ms);

create table users.factor_failures (
    user_id uuid not null references users.users (user_id),
    method text not null check (method in ('otp', 'pwd')),
    failures integer not null check (failures > 0),
    last_at_ms bigint not null,
    primary key (user_id, method)
);
comment on table users.factor_failures is 'Wrong guesses in a row of what could be guessed; the wait before the next one follows from it.';
