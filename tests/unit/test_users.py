"""The rules of accounts: who may register, what is guessed, what roles and points give."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import users
from domain.access import PERMISSIONS, Permission, permits
from domain.users import register, role_of_artist, tier_of
from domain.users_passwords import ASSESSED_CHARS, CONTEXT, guesses
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
    assert users.check_password("zorblattquu1234")
    with pytest.raises(GuessablePassword):
        register(*changed(username="zorblattquu", password="zorblattquu1234"))
    with pytest.raises(GuessablePassword):
        register(*changed(email="zorblattquu@example.org", password="Zorblattquu1234"))


@pytest.mark.parametrize("password", ["", "x" * 11, "é7" * 65])
def test_password_lengths_count_characters(password: str) -> None:
    with pytest.raises(BadPasswordLength):
        users.check_password(password)


def test_a_password_is_the_same_however_its_accents_are_typed() -> None:
    assert users.check_password("caf\u00e9 marmot 42") == users.check_password(
        "cafe\u0301 marmot 42"
    )


@given(st.text(max_size=140), st.lists(st.text(max_size=40), max_size=3))
def test_any_password_is_worth_at_least_a_guess(password: str, personal: list[str]) -> None:
    assert guesses(password, tuple(personal)) >= 1


@given(st.lists(st.sampled_from(CONTEXT), min_size=1, max_size=2))
def test_two_words_of_ours_are_guessed(words: list[str]) -> None:
    assert guesses("".join(words)) < users.POLICY.min_password_guesses


def test_a_strong_end_is_enough_and_length_alone_is_not() -> None:
    strong = "plinth marmot 42 quilt"
    assert users.check_password("a" * 40 + strong)
    assert users.check_password(strong + "a" * 40)
    for weak in ("a" * 128, "password" * 16, "0123456789" * 12):
        with pytest.raises(GuessablePassword):
            users.check_password(weak)


def test_what_is_assessed_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disguised letters take zxcvbn seconds at full length."""
    assessed: list[int] = []

    def spy(password: str, user_inputs: list[str]) -> dict[str, int]:
        assessed.append(len(password))
        return {"guesses": 1}

    monkeypatch.setattr("domain.users_passwords.zxcvbn", spy)
    guesses("4@8({[<36!1|0$5+7%2" * 6)
    assert assessed == [ASSESSED_CHARS] * 2


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
