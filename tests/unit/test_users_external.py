"""Whom an external identity signs in, and where browsers may go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.users import USERNAME
from domain.users_external import (
    ProvenIdentity,
    check_link,
    check_newcomer,
    check_return_url,
    check_unlink,
    generated_username,
    register_newcomer,
    with_parameters,
)
from messages.errors import VibeStreamError
from messages.users import BadUsername, UnknownLocale
from messages.users_external import (
    ExternalEmailTaken,
    ExternalEmailUnverified,
    LastWayToSignIn,
    Provider,
    ReturnUrlNotAllowed,
    TooManyExternalIdentities,
)

ALLOWED = (
    "https://vibestream.example/signed-in",
    "https://vibestream.example/signed-in?from=app",
    "com.vibestream.player:/signed-in",
    "http://127.0.0.1/signed-in",
    "http://[::1]/signed-in",
)


@pytest.mark.parametrize(
    "url", [*ALLOWED, "http://127.0.0.1:51004/signed-in", "http://[::1]:51004/signed-in"]
)
def test_allowed_addresses_pass(url: str) -> None:
    assert check_return_url(url, ALLOWED) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://vibestream.example",
        "https://vibestream.example/signed-in/",
        "https://vibestream.example/signed-in#x",
        "https://vibestream.example/signed-in?x=1",
        "https://vibestream.example/signed-in/../other",
        "https://vibestream.example:444/signed-in",
        "https://vibestream.example@evil.example/signed-in",
        "https://vibestream.example.evil.example/signed-in",
        "https://evil.example/?https://vibestream.example/signed-in",
        "HTTPS://vibestream.example/signed-in",
        "http://vibestream.example/signed-in",
        "//evil.example/signed-in",
        "https:/\\evil.example/signed-in",
        "https://vibestream.example/signed-in\n",
        "javascript:alert(1)",
        "com.vibestream.player:/signed-in2",
        "http://localhost/signed-in",
        "http://localhost:80/signed-in",
        "http://127.0.0.2:80/signed-in",
        "http://127.0.0.1:80/other",
        "http://127.0.0.1:080/signed-in",
        "http://127.0.0.1:80/signed-in?x=1",
        "http://127.0.0.1:80/signed-in#x",
        "http://user@127.0.0.1:80/signed-in",
        "http://127.0.0.1:99999/signed-in",
        "http://127.0.0.1:x/signed-in",
        "http://127.0.0.1:80@evil.example/signed-in",
        "http://[::1",
        "https://127.0.0.1:80/signed-in",
    ],
)
def test_all_others_do_not(url: str) -> None:
    with pytest.raises(ReturnUrlNotAllowed):
        check_return_url(url, ALLOWED)


@given(st.text(max_size=80), st.sampled_from(ALLOWED))
def test_nothing_can_be_added_to_an_allowed_address(extra: str, url: str) -> None:
    for near in (url + extra, extra + url):
        if near not in ALLOWED:
            with pytest.raises(ReturnUrlNotAllowed):
                check_return_url(near, ALLOWED)


def test_the_answer_joins_the_query() -> None:
    assert with_parameters("https://a.example/x", code="1&2") == "https://a.example/x?code=1%262"
    assert with_parameters("https://a.example/x?y=&z=1", code="c").endswith("/x?y=&z=1&code=c")
    assert with_parameters("com.app:/back", error="e") == "com.app:/back?error=e"


@given(st.uuids())
def test_generated_names_are_usernames(user_id: object) -> None:
    assert USERNAME.fullmatch(generated_username(str(user_id)))


def test_generated_names_differ() -> None:
    assert len({generated_username(str(n)) for n in range(100)}) == 100


def proven(email: str | None = "mira@gmail.com", verified: bool = True) -> ProvenIdentity:
    return ProvenIdentity(Provider.GOOGLE, "1", email, verified, True)


def test_a_newcomer_has_a_verified_free_address() -> None:
    assert check_newcomer(proven(), is_email_known=False) == "mira@gmail.com"
    refused: list[tuple[ProvenIdentity, bool, type[VibeStreamError]]] = [
        (proven(verified=False), False, ExternalEmailUnverified),
        (proven(verified=False), True, ExternalEmailUnverified),
        (proven(None), False, ExternalEmailUnverified),
        (proven("not an address"), False, ExternalEmailUnverified),
        (proven("a" * 250 + "@gmail.com"), False, ExternalEmailUnverified),
        (proven(), True, ExternalEmailTaken),
    ]
    for identity, known, error in refused:
        with pytest.raises(error):
            check_newcomer(identity, known)


def test_a_newcomer_may_choose_a_name() -> None:
    made = register_newcomer("Mira@gmail.com", "id", "Mira", "UTC", "es")
    assert (made.username, made.email_key, made.password) == ("Mira", "mira@gmail.com", "")
    assert register_newcomer("m@gmail.com", "id", None, "UTC", "en").username.startswith(
        "listener-"
    )
    with pytest.raises(BadUsername):
        register_newcomer("m@gmail.com", "id", "-", "UTC", "en")
    with pytest.raises(UnknownLocale):
        register_newcomer("m@gmail.com", "id", None, "UTC", "tlh")


def test_limits_of_linking() -> None:
    check_link(9)
    with pytest.raises(TooManyExternalIdentities):
        check_link(10)
    check_unlink(True, 0)
    check_unlink(False, 1)
    with pytest.raises(LastWayToSignIn):
        check_unlink(False, 0)
