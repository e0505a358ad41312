create table listening.sessions (
    session_id uuid primary key,
    user_id uuid not null,
    device_id text not null,
    song_id uuid not null,
    artist_id uuid not null,
    pool_id uuid not null,
    phase text not null check (phase in ('active', 'ended', 'eligible', 'rejected', 'claimed')),
    started_at_ms bigint not null,
    ended_at_ms bigint,
    end_reason text check (end_reason in ('ended', 'stale', 'superseded', 'limit')),
    played_ms integer not null default 0 check (played_ms >= 0),
    beats integer not null default 0 check (beats >= 0),
    counted boolean not null default false,
    score_bps integer check (score_bps between 0 and 10000),
    reasons text[] not null default '{}'
);
comment on table listening.sessions is
    'Read model, written with the facts by the sessions'' owners. The journal is what counts.';
create index sessions_of_user on listening.sessions (user_id, started_at_ms desc, session_id desc);
