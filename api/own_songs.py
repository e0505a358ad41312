"""Whose a song is."""

from __future__ import annotations

from api.services import Services
from integrations.tokens import Claims
from messages.market import NotYourSong
from messages.music import SongNotFound
from storage import music as storage


async def check_own_song(services: Services, subject: Claims, song_id: str) -> None:
    """Only the artist of a song sells what is the song's. Raises SongNotFound, NotYourSong."""
    song = await storage.get_song(services.pool, song_id)
    if song is None:
        raise SongNotFound
    artist = await storage.artist_of_user(services.pool, subject.user_id)
    if artist is None or artist.artist_id != song.artist_id:
        raise NotYourSong(song_id=song_id)
