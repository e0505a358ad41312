create table rewards.epochs (
    pool_id uuid not null,
    epoch bigint not null,
    started_at_ms bigint not null,
    ended_at_ms bigint,
    primary key (pool_id, epoch)
);
comment on table rewards.epochs is 'The epochs that a pool had. One ends when the next begins.';
insert into rewards.epochs (pool_id, epoch, started_at_ms)
select pool_id, epoch, epoch_started_at_ms from rewards.pools;

create table rewards.leaves (
    pool_id uuid not null,
    epoch bigint not null,
    index integer not null check (index >= 0),
    leaf text not null,
    primary key (pool_id, epoch, index)
);
comment on table rewards.leaves is
    'The leaves of each epoch''s tree, for anyone to make their own path of. Decimal.';

create table rewards.roots (
    pool_id uuid not null,
    epoch bigint not null,
    leaves integer not null check (leaves > 0),
    root text not null,
    primary key (pool_id, epoch, leaves)
);
comment on table rewards.roots is 'Every root that a tree had, and after how many leaves. Decimal.';
create index roots_known on rewards.roots (pool_id, epoch, root);

create table rewards.nullifiers (
    nullifier text primary key,
    pool_id uuid not null,
    payment_id uuid not null
);
comment on table rewards.nullifiers is 'What was claimed. The key is the promise that it is once.';

alter table rewards.credits rename column session_id to credit_id;
alter table rewards.credits alter column song_id drop not null;
alter table rewards.credits add column claims integer not null default 0 check (claims >= 0);
comment on table rewards.credits is
    'What each payment of claims brought its claimer, and each eligible listen its artist.';
comment on column rewards.credits.song_id is 'Of an artist''s share. A claim does not tell it.';
comment on column rewards.credits.claims is 'How many claims were paid together; 0 for a share.';
