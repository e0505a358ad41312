"""Songs and artists: names, lengths, when a listen counts. Pure rules of DOMAIN, Music."""

from __future__ import annotations

import msgspec

from domain.text import clean_line
from messages.music import BadArtistName, BadTitle, SongLimitReached


class MusicPolicy(msgspec.Struct, frozen=True):
    """DOMAIN's numbers. Raise `version` whenever one changes.

    silence_peak_db, silence_rms_db: below either, in dB of full scale, nothing can be heard.
    """

    version: int = 1
    min_song_ms: int = 1_000
    max_song_ms: int = 3_600_000
    max_title_chars: int = 200
    max_artist_name_chars: int = 80
    max_songs_per_artist: int = 1_000
    max_channels: int = 8
    min_sample_rate: int = 8_000
    max_sample_rate: int = 192_000
    silence_peak_db: int = -60
    silence_rms_db: int = -70


POLICY = MusicPolicy()


def clean_title(raw: str, policy: MusicPolicy = POLICY) -> str:
    """A song's title in normal form. Raises BadTitle."""
    title = clean_line(raw, policy.max_title_chars)
    if title is None:
        raise BadTitle(longest=policy.max_title_chars)
    return title


def clean_artist_name(raw: str, policy: MusicPolicy = POLICY) -> str:
    """An artist's name in normal form. Raises BadArtistName."""
    name = clean_line(raw, policy.max_artist_name_chars)
    if name is None:
        raise BadArtistName(longest=policy.max_artist_name_chars)
    return name


def check_song_count(published: int, policy: MusicPolicy = POLICY) -> None:
    """Whether an artist with `published` songs may publish another. Raises SongLimitReached."""
    if published >= policy.max_songs_per_artist:
        raise SongLimitReached(limit=policy.max_songs_per_artist)
