create table music.artists (
    artist_id uuid primary key,
    user_id uuid not null unique,
    name text not null,
    songs integer not null default 0 check (songs >= 0),
    created_at_ms bigint not null
);
comment on column music.artists.songs is 'How many songs the artist has; the row is also the lock of that limit.';

create table music.songs (
    song_id uuid primary key,
    artist_id uuid not null references music.artists,
    title text not null,
    duration_ms integer not null check (duration_ms between 1000 and 3600000),
    audio_sha256 bytea not null check (octet_length(audio_sha256) = 32),
    audio_bytes bigint not null check (audio_bytes > 0),
    object_name text not null,
    content_type text not null,
    codec text not null,
    sample_rate integer not null,
    channels smallint not null,
    published_at_ms bigint not null,
    unique (artist_id, audio_sha256)
);
create index songs_newest on music.songs (published_at_ms desc, song_id desc);
create index songs_newest_of_artist on music.songs (artist_id, published_at_ms desc, song_id desc);
