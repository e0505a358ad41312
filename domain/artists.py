"""Who may change an artist's profile, claim an artist, be verified. Pure."""

from __future__ import annotations

import msgspec

from messages.artists import (
    ArtistIsClaimed,
    ArtistIsVerified,
    ArtistNameVerified,
    ArtistRequestDecidedBefore,
    NotYourArtist,
    RequestKind,
    RequestStatus,
)
from messages.moderation import SelfModeration


class Standing(msgspec.Struct, frozen=True):
    """Whose an artist is, if anybody's, and whether they are verified."""

    user_id: str | None
    is_verified: bool


def check_owner(artist: Standing, user_id: str) -> None:
    """Only an artist's owner edits. Raises NotYourArtist."""
    if artist.user_id != user_id:
        raise NotYourArtist


def check_rename(artist: Standing, was: str, name: str) -> None:
    """The badge is for a name. Raises ArtistNameVerified."""
    if artist.is_verified and name != was:
        raise ArtistNameVerified


def check_request(artist: Standing, user_id: str, kind: RequestKind) -> None:
    """Whether a user may ask. Raises ArtistIsClaimed, NotYourArtist, ArtistIsVerified."""
    if kind is RequestKind.CLAIM:
        if artist.user_id is not None:
            raise ArtistIsClaimed
        return
    check_owner(artist, user_id)
    if artist.is_verified:
        raise ArtistIsVerified


def check_decision(status: RequestStatus, user_id: str, moderator_id: str) -> None:
    """Whether a moderator may decide. Raises ArtistRequestDecidedBefore, SelfModeration."""
    if status is not RequestStatus.OPEN:
        raise ArtistRequestDecidedBefore
    if user_id == moderator_id:
        raise SelfModeration
