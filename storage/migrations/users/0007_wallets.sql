create table users.wallets (
    wallet_id uuid primary key,
    user_id uuid not null references users.users (user_id),
    kind text not null check (kind in ('evm', 'solana')),
    address text not null,
    name text not null,
    linked_at_ms bigint not null,
    unique (kind, address)
);
comment on table users.wallets is 'Addresses whose keys users showed to hold. One user an address.';
comment on column users.wallets.address is 'In its one normal form: EIP-55 for evm, base58 for solana.';
create index wallets_user on users.wallets (user_id, linked_at_ms);

create table users.wallet_challenges (
    challenge_id uuid primary key,
    user_id uuid not null references users.users (user_id),
    kind text not null,
    address text not null,
    message text not null,
    expires_at_ms bigint not null
);
comment on table users.wallet_challenges is 'Messages that wait for a wallet''s signature; taken once.';
create index wallet_challenges_expiry on users.wallet_challenges (expires_at_ms);
create index wallet_challenges_user on users.wallet_challenges (user_id);
