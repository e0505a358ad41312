"""Music: artists and songs as the other contexts know them, what may be refused, what happened."""

from __future__ import annotations

import msgspec

from messages.errors import Conflict, Forbidden, Invalid, NotFound

STREAM = "music"


# --- errors -------------------------------------------------------------------------------------


class BadArtistName(Invalid):
    """An artist's name has 1 to 80 visible characters."""

    code = "artist-name-invalid"


class BadTitle(Invalid):
    """A title has 1 to 200 visible characters."""

    code = "title-invalid"


class ArtistExists(Conflict):
    """You have an artist profile already."""

    code = "artist-exists"


class ArtistRequired(Forbidden):
    """Only an artist may do this; create an artist profile first."""

    code = "artist-required"


class ArtistNotFound(NotFound):
    """There is no such artist."""

    code = "artist-not-found"


class SongNotFound(NotFound):
    """There is no such song."""

    code = "song-not-found"


class SongLimitReached(Conflict):
    """This artist has as many songs as an artist may have."""

    code = "song-limit-reached"


class DuplicateAudio(Conflict):
    """You have published this audio before; `song_id` says as which song."""

    code = "duplicate-audio"


class AudioRefused(Invalid):
    """The audio cannot be published."""

    code = "audio-refused"


class EmptyAudio(AudioRefused):
    """The file is empty."""

    code = "empty-audio"


class UnreadableAudio(AudioRefused):
    """The file is not audio, or it is damaged beyond reading."""

    code = "unreadable-audio"


class UnsupportedAudio(AudioRefused):
    """This format is not accepted; send FLAC, WAV, MP3, AAC or ALAC in MP4, Opus or Vorbis."""

    code = "unsupported-audio"


class CorruptAudio(AudioRefused):
    """Parts of the audio are damaged."""

    code = "corrupt-audio"


class TruncatedAudio(AudioRefused):
    """The audio ends before the length that the file promises."""

    code = "truncated-audio"


class SilentAudio(AudioRefused):
    """There is nothing to hear in the audio."""

    code = "silent-audio"


class AudioTooShort(AudioRefused):
    """A song lasts at least one second."""

    code = "audio-too-short"


class AudioTooLong(AudioRefused):
    """A song lasts at most one hour."""

    code = "audio-too-long"


class AudioTooComplex(AudioRefused):
    """Decoding the audio takes more time or memory than any song needs."""

    code = "audio-too-complex"


class UploadTooLarge(Invalid):
    """The file is larger than an upload may be."""

    code = "upload-too-large"


class UploadMalformed(Invalid):
    """The upload is not a well-formed form with one file and its fields."""

    code = "upload-malformed"


class UploadTooSlow(Invalid):
    """The upload took too long to arrive."""

    code = "upload-too-slow"


# --- events -------------------------------------------------------------------------------------


class ArtistRegistered(msgspec.Struct, frozen=True, tag=True):
    """Public: a user became an artist."""

    artist_id: str
    user_id: str
    name: str
    at_ms: int


class SongPublished(msgspec.Struct, frozen=True, tag=True):
    """Public: a song can be listened to."""

    song_id: str
    artist_id: str
    title: str
    duration_ms: int
    at_ms: int


def song_channel(song_id: str) -> str:
    """The realtime channel of what everyone may know of one song."""
    return f"song:{song_id}"


def artist_channel(artist_id: str) -> str:
    """The realtime channel of what everyone may know of one artist."""
    return f"artist:{artist_id}"
