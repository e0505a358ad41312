alter table music.artists
    alter column user_id drop not null,
    add column bio text,
    add column avatar_url text,
    add column links text[] not null default '{}',
    add column verified_at_ms bigint,
    add column events bigint not null default 1 check (events >= 0);
comment on column music.artists.user_id is 'Null for an artist of the catalogue whom nobody has claimed.';
comment on column music.artists.events is 'The sequence number of the last event on the stream music about this artist.';

create table music.artist_requests (
    request_id uuid primary key,
    artist_id uuid not null references music.artists,
    user_id uuid not null,
    kind text not null check (kind in ('claim', 'verification')),
    evidence text not null,
    links text[] not null,
    status text not null default 'open' check (status in ('open', 'approved', 'rejected')),
    at_ms bigint not null,
    decided_by uuid,
    decided_at_ms bigint,
    explanation text,
    check ((status = 'open') = (decided_by is null)),
    check (decided_by is null or decided_by <> user_id)
);
comment on table music.artist_requests is 'To be given an artist of the catalogue, or the badge that says who an artist is; with the evidence.';
create unique index artist_requests_open on music.artist_requests (artist_id, user_id) where status = 'open';
create index artist_requests_oldest on music.artist_requests (status, at_ms, request_id);
create index artist_requests_of_user on music.artist_requests (user_id, at_ms desc, request_id desc);
