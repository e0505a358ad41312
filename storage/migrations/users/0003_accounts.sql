alter table users.users
    alter column email drop not null,
    alter column email_key drop not null,
    alter column password_hash drop not null,
    add column status text not null default 'active'
        check (status in ('active', 'suspended', 'deactivated', 'deleted')),
    add column events bigint not null default 1 check (events > 0);
comment on column users.users.email is 'Null once the account is deleted.';
comment on column users.users.password_hash is 'Null if the user signs in by other means, or is deleted.';
comment on column users.users.events is 'The sequence number of the last event on the stream users about this user.';
update users.users u set events = 1 + i.number from users.identities i where i.user_id = u.user_id;
