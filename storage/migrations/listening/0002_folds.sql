create table listening.folds (
    session_id uuid primary key,
    user_id uuid not null,
    pool_id uuid not null,
    commitment text not null,
    entropy bytea not null,
    deltas bytea not null,
    leaves text[] not null
);
comment on table listening.folds is
    'What the witness of each claimable session is made of, for a listener whose player lost it.';
