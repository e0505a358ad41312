"""The rules of accounts: who may register, what is guessed, what roles and points give."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import users
from domain.access import PERMISSIONS, Permission, permits
from domain.users import register, role_of_artist, tier_of
from domain.users_passwords import COMMON_WORDS, guesses_needed
from messages.errors import Invalid
from messages.listening import Tier
from messages.users import BadEmail, BadPasswordLength, BadUsername, GuessablePassword, Role

GOOD = ("mira", "mira@example.org", "plinth marmot 42 quilt", "UTC", "en")


def changed(**fields: str) -> tuple[str, str, str, str, str]:
    names = ("username", "email", "password", "time_zone", "locale")
    a, b, c, d, e = (fields.get(name, good) for name, good in zip(names, GOOD, strict=True))
    return a, b, c, d, e


@pytest.mark.parametrize("name", ["abc", "A_b-9", "a" * 30, "_a_", "x-y-z"])
def test_usernames_that_are_fine(name: str) -> None:
    assert register(*changed(username=name)).username == name


@pytest.mark.parametrize("name", ["", "ab", "a" * 31, "-ab", "ab-", "a b", "a.b", "é" * 4, "ab\n"])
def test_usernames_that_are_not(name: str) -> None:
    with pytest.raises(BadUsername):
        register(*changed(username=name))


@pytest.mark.parametrize("email", ["a@b.co", "a.b+c@x-y.example.org", "o'hara@example.ie"])
def test_addresses_that_are_fine(email: str) -> None:
    assert register(*changed(email=email)).email_key == email.lower()


@pytest.mark.parametrize(
    "email",
    ["", "@", "a@", "@b.co", "a@b", "a b@c.de", "a@b..co", "a.@b.co", ".a@b.co", "a@-b.co",
     "a@b.co\n", "a@b.c0\x00", "a@[127.0.0.1]", "x" * 65 + "@b.co", "a@" + "b" * 250 + ".co"],
)  # fmt: skip
def test_addresses_that_are_not(email: str) -> None:
    with pytest.raises(BadEmail):
        register(*changed(email=email))


_LIST = """
password1234 Password1234! P@ssw0rd1234 qwertyuiop12 123456789012 abcdefghijkl aaaaaaaaaaaa
abcabcabcabc iloveyou2024 iloveyouforever letmeinletmein qazwsxedcrfv 111111222222 lkjhgfdsaqwe
welcome2welcome admin1234567 sunshine2023! correcthorsebatterystaple vibestream2026
"""
GUESSABLE = _LIST.split()


@pytest.mark.parametrize("password", GUESSABLE)
def test_passwords_that_are_guessed_first(password: str) -> None:
    with pytest.raises(GuessablePassword):
        users.check_password(password)


@pytest.mark.parametrize(
    "password", ["plinth marmot 42", "tZ8#kq!vR2mx", "ojalá que llueva café", "kumquat-veranda-7"]
)
def test_passwords_that_are_not(password: str) -> None:
    assert users.check_password(password) == password


def test_the_users_own_name_makes_a_password_guessable() -> None:
    assert users.check_password("zorblatt1234")
    with pytest.raises(GuessablePassword):
        register(*changed(username="zorblatt", password="zorblatt1234"))
    with pytest.raises(GuessablePassword):
        register(*changed(email="zorblatt@example.org", password="Zorblatt1234"))


@pytest.mark.parametrize("password", ["", "x" * 11, "é7" * 65])
def test_password_lengths_count_characters(password: str) -> None:
    with pytest.raises(BadPasswordLength):
        users.check_password(password)


def test_a_password_is_the_same_however_its_accents_are_typed() -> None:
    assert users.check_password("caf\u00e9 marmot 42") == users.check_password(
        "cafe\u0301 marmot 42"
    )


@given(st.text(max_size=140))
def test_guesses_are_never_more_than_characters(password: str) -> None:
    assert guesses_needed(password) <= len(password.lower())
    assert (guesses_needed(password) == 0) == (not password)


@given(st.lists(st.sampled_from(sorted(COMMON_WORDS)), min_size=1, max_size=4))
def test_up_to_four_common_words_are_at_most_as_many_guesses(words: list[str]) -> None:
    # Greedy cutting may end a word late; that costs a guess or two, never hides a word.
    assert guesses_needed("".join(words)) <= 3 * len(words)


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=140), st.text(max_size=30))
def test_any_input_is_registered_or_refused(
    name: str, email: str, password: str, zone: str
) -> None:
    try:
        made = register(name, email, password, zone, "en")
    except Invalid:
        return
    assert made.username == name


@pytest.mark.parametrize(
    ("points", "tier"),
    [(0, Tier.FREE), (499, Tier.FREE), (500, Tier.PREMIUM), (999, Tier.PREMIUM), (1_000, Tier.VIP)],
)
def test_tiers(points: int, tier: Tier) -> None:
    assert tier_of(points) is tier


def test_roles() -> None:
    assert not permits((Role.USER,), Permission.PUBLISH_SONG)
    assert permits((Role.ARTIST,), Permission.PUBLISH_SONG)
    assert all(permits((Role.ADMIN,), permission) for permission in Permission)
    assert not permits((), Permission.LISTEN)
    assert set(PERMISSIONS) == set(Role)
    assert [role_of_artist(role) for role in Role] == [
        Role.ARTIST, Role.ARTIST, Role.MODERATOR, Role.ADMIN, Role.SERVICE,
    ]  # fmt: skip
