"""Whom an identity of Google or Apple signs in, and where a browser may be sent. Pure rules."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from domain.users import EMAIL, POLICY, Registration, check_profile
from messages.users_external import (
    ExternalEmailTaken,
    ExternalEmailUnverified,
    LastWayToSignIn,
    Provider,
    ReturnUrlNotAllowed,
    TooManyExternalIdentities,
)

LOOPBACK = ("127.0.0.1", "::1")
NAME_CHARS = 8


class ExternalPolicy(msgspec.Struct, frozen=True):
    """How long a sign-in may take at the provider, then at the page; what an account may link."""

    authorization_ms: int = 600_000
    completion_ms: int = 600_000
    max_identities: int = 10
    max_subject_chars: int = 255


EXTERNAL_POLICY = ExternalPolicy()


class ProvenIdentity(msgspec.Struct, frozen=True):
    """What a provider vouches for. `subject` never changes; addresses do.

    is_email_authoritative: whether the provider runs the mailbox (or its company's), so that the
    address is the person's now and not only when it was looked at.
    """

    provider: Provider
    subject: str
    email: str | None
    is_email_verified: bool
    is_email_authoritative: bool


def check_return_url(url: str, allowed: Iterable[str]) -> str:
    """The address, if it is one of the allowed to the letter. Raises ReturnUrlNotAllowed.

    Where an allowed address is on a loopback IP, any port is (RFC 8252, 7.3): a native program
    listens on the one that it gets.
    """
    for one in allowed:
        if url == one or _differs_in_loopback_port(url, one):
            return url
    raise ReturnUrlNotAllowed


def _differs_in_loopback_port(url: str, allowed: str) -> bool:
    try:
        given, wanted = urlsplit(url), urlsplit(allowed)
        port, host = given.port, given.hostname
    except ValueError:
        return False
    if wanted.scheme != "http" or wanted.hostname not in LOOPBACK or host != wanted.hostname:
        return False
    literal = f"[{host}]" if ":" in host else host
    return port is not None and url == urlunsplit(wanted._replace(netloc=f"{literal}:{port}"))


def with_parameters(url: str, **parameters: str) -> str:
    """An allowed address with the answer in its query, behind what it has of its own."""
    parts = urlsplit(url)
    query = [*parse_qsl(parts.query, keep_blank_values=True), *parameters.items()]
    return urlunsplit(parts._replace(query=urlencode(query)))


def generated_username(user_id: str) -> str:
    """A name that tells nothing of the person: no part of the address, no part of their name."""
    digest = hashlib.blake2b(user_id.encode(), digest_size=16, person=b"username")
    return f"listener-{digest.hexdigest()[:NAME_CHARS]}"


def check_newcomer(proven: ProvenIdentity, is_email_known: bool) -> str:
    """The address of the account that a first sign-in makes.

    Raises ExternalEmailUnverified, or ExternalEmailTaken: an account is never handed over to who
    has its address at a provider; its owner links by signing in.
    """
    address = proven.email
    if address is None or not proven.is_email_verified:
        raise ExternalEmailUnverified
    if len(address) > POLICY.max_email_chars or not EMAIL.fullmatch(address):
        raise ExternalEmailUnverified
    if is_email_known:
        raise ExternalEmailTaken
    return address


def register_newcomer(
    email: str, user_id: str, username: str | None, time_zone: str, locale: str
) -> Registration:
    """A registration without a password. Raises the Invalid leaf of the first broken rule."""
    name = generated_username(user_id) if username is None else username
    check_profile(name, email, time_zone, locale)
    return Registration(name, email, "", time_zone, locale)


def check_link(linked: int, policy: ExternalPolicy = EXTERNAL_POLICY) -> None:
    """Raises TooManyExternalIdentities if an account with so many may have no further."""
    if linked >= policy.max_identities:
        raise TooManyExternalIdentities(limit=policy.max_identities)


def check_unlink(has_password: bool, other_identities: int) -> None:
    """Raises LastWayToSignIn if nothing would be left to sign in with.

    A passkey is no reason to unlink the rest: it may be removed, and lost, without a question.
    """
    if not has_password and not other_identities:
        raise LastWayToSignIn
