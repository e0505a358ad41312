"""Who may be a user, which tier points give. Pure rules of DOMAIN, Users."""

from __future__ import annotations

import re
import unicodedata
import zoneinfo
from functools import cache

import msgspec

from domain.users_passwords import guesses
from messages.listening import Tier
from messages.users import (
    BadEmail,
    BadPasswordLength,
    BadUsername,
    GuessablePassword,
    Role,
    UnknownLocale,
    UnknownTimeZone,
)


class UserPolicy(msgspec.Struct, frozen=True):
    """DOMAIN's numbers. Raise `version` whenever one changes.

    min_password_guesses: what a guesser must try; zxcvbn calls this very unguessable.
    """

    version: int = 2
    min_password_chars: int = 12
    max_password_chars: int = 128
    min_password_guesses: int = 10**10
    max_email_chars: int = 254
    premium_points: int = 500
    vip_points: int = 1_000
    locales: tuple[str, ...] = ("en", "es")


POLICY = UserPolicy()
USERNAME = re.compile(r"(?!-)[A-Za-z0-9_-]{3,30}(?<!-)", re.ASCII)
# RFC 5321's usual form: a dot-atom local part of at most 64 and a dotted host name. Quoted local
# parts and address literals are valid mail but nobody's account.
EMAIL = re.compile(
    r"(?=.{1,64}@)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]{0,61}[A-Za-z0-9]",
    re.ASCII,
)


class Registration(msgspec.Struct, frozen=True):
    """What a new user asks for, checked and in normal form. Keys compare case-insensitively."""

    username: str
    email: str
    password: str
    time_zone: str
    locale: str

    @property
    def username_key(self) -> str:
        """What no two users share."""
        return self.username.lower()

    @property
    def email_key(self) -> str:
        """What no two users share."""
        return self.email.lower()


def role_of_artist(role: Role) -> Role:
    """The role after creating an artist profile: users become artists, others keep their role."""
    return Role.ARTIST if role is Role.USER else role


def tier_of(points: int, policy: UserPolicy = POLICY) -> Tier:
    """The account tier that `points` give."""
    if points >= policy.vip_points:
        return Tier.VIP
    return Tier.PREMIUM if points >= policy.premium_points else Tier.FREE


def register(
    username: str,
    email: str,
    password: str,
    time_zone: str,
    locale: str,
    policy: UserPolicy = POLICY,
) -> Registration:
    """Check a registration. Raises the Invalid leaf of the first rule that it breaks."""
    check_profile(username, email, time_zone, locale, policy)
    password = check_password(password, (username, email.partition("@")[0]), policy)
    return Registration(username, email, password, time_zone, locale)


def check_profile(
    username: str, email: str, time_zone: str, locale: str, policy: UserPolicy = POLICY
) -> None:
    """Check all of a registration but its password. Raises the leaf of the first broken rule."""
    check_username(username)
    check_email(email, policy)
    check_place(locale, time_zone, policy)


def check_email(email: str, policy: UserPolicy = POLICY) -> str:
    """The address as it was given, if mail can be sent to it. Raises BadEmail."""
    if len(email) > policy.max_email_chars or not EMAIL.fullmatch(email):
        raise BadEmail
    return email


def check_place(locale: str, time_zone: str, policy: UserPolicy = POLICY) -> None:
    """Check a language and a time zone. Raises UnknownLocale, UnknownTimeZone."""
    if time_zone not in _time_zones():
        raise UnknownTimeZone
    if locale not in policy.locales:
        raise UnknownLocale(supported=", ".join(policy.locales))


def check_username(username: str) -> str:
    """The username as it was given. Raises BadUsername."""
    if not USERNAME.fullmatch(username):
        raise BadUsername
    return username


def check_password(
    password: str, personal: tuple[str, ...] = (), policy: UserPolicy = POLICY
) -> str:
    """The password in normal form (NFC, RFC 8265), long enough and not easily guessed.

    personal: words that a guesser of this user's password would try first.
    """
    password = normal_password(password)
    shortest, longest = policy.min_password_chars, policy.max_password_chars
    if not shortest <= len(password) <= longest:
        raise BadPasswordLength(shortest=shortest, longest=longest)
    if guesses(password, personal) < policy.min_password_guesses:
        raise GuessablePassword
    return password


def normal_password(password: str) -> str:
    """Two keyboards may send the same letter in two ways; the hash must not notice."""
    return unicodedata.normalize("NFC", password)


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())
