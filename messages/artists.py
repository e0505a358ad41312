"""Artists' profiles: who an artist is, and who says so. Errors and facts."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

from messages.errors import Conflict, Forbidden, NotFound


class RequestKind(StrEnum):
    """What is asked for."""

    CLAIM = "claim"  # an artist of the catalogue, by whoever is that artist
    VERIFICATION = "verification"  # the badge, by an artist's owner


class RequestStatus(StrEnum):
    """open → approved | rejected."""

    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"


# --- errors -------------------------------------------------------------------------------------


class NotYourArtist(Forbidden):
    """This artist is another user's, or nobody's."""

    code = "artist-not-yours"


class ArtistIsClaimed(Conflict):
    """This artist is a user's already."""

    code = "artist-claimed"


class ArtistIsVerified(Conflict):
    """This artist is verified already."""

    code = "artist-verified"


class ArtistNameVerified(Conflict):
    """A verified artist's name stays: the badge is for that name."""

    code = "artist-name-verified"


class ArtistRequestExists(Conflict):
    """You asked for this already; a moderator will look at it."""

    code = "artist-request-exists"


class ArtistRequestNotFound(NotFound):
    """There is no such request."""

    code = "artist-request-not-found"


class ArtistRequestDecidedBefore(Conflict):
    """This request is decided."""

    code = "artist-request-decided"


# --- events -------------------------------------------------------------------------------------


class ArtistProfileUpdated(msgspec.Struct, frozen=True, tag=True):
    """Public: an artist's profile shows something else now. `changed`: the names of the fields."""

    artist_id: str
    changed: tuple[str, ...]
    at_ms: int


class ArtistClaimed(msgspec.Struct, frozen=True, tag=True):
    """Public: an artist of the catalogue is a user's now."""

    artist_id: str
    user_id: str
    at_ms: int


class ArtistVerified(msgspec.Struct, frozen=True, tag=True):
    """Public: a moderator saw that the artist is who they say."""

    artist_id: str
    at_ms: int


ArtistEvent: TypeAlias = ArtistProfileUpdated | ArtistClaimed | ArtistVerified
