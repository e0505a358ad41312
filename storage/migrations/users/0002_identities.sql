create table users.identities (
    user_id uuid primary key references users.users (user_id),
    commitment text not null,
    number integer not null check (number > 0),
    registered_at_ms bigint not null
);
comment on table users.identities is
    'The commitment that sessions start with. Earlier ones live on in the sessions that started with them.';
comment on column users.identities.commitment is 'Decimal: Poseidon(secret), an element of the BN254 scalar field.';
comment on column users.identities.number is 'How many commitments the user has registered, this one included.';
