"""Every error has a status, and a title in every language; problems say enough and no more."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import api
import messages
from api.problems import (
    HTTP_CODES,
    STATUS,
    from_error,
    from_validation,
    problem_response,
    status_of,
)
from api.translation import LANGUAGES, catalogue, negotiate, sentence
from messages.errors import (
    Limited,
    NotFound,
    Overloaded,
    Refusal,
    Unauthenticated,
    VibeStreamError,
    error_classes,
)


def all_errors() -> dict[str, type[VibeStreamError]]:
    for package in (messages, api):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not module.name.startswith("api.realtime"):  # its errors are those of messages
                importlib.import_module(module.name)
    # Test modules define leaves of their own; they are nobody's contract.
    return {
        c: e for c, e in error_classes().items() if not e.__module__.startswith(("tests", "test_"))
    }


ERRORS = all_errors()
LEAVES = {code: cls for code, cls in ERRORS.items() if not cls.__subclasses__()}


@pytest.mark.parametrize("code", sorted(LEAVES))
def test_each_leaf_has_a_status_of_its_family(code: str) -> None:
    family = next(cls for cls in LEAVES[code].__mro__ if cls in STATUS)
    assert family not in {VibeStreamError, Refusal}, "derive it from a family, or give it a status"
    assert 400 <= status_of(LEAVES[code]) < 600


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", sorted({*ERRORS, *HTTP_CODES.values(), "malformed-json"}))
def test_each_code_has_a_title_in_each_language(code: str, language: str) -> None:
    assert catalogue(language).get(code), f"add {code!r} to locale/{language}.json"


def test_the_catalogues_have_the_same_codes_and_values() -> None:
    english, spanish = (catalogue(language) for language in ("en", "es"))
    assert set(english) == set(spanish)
    for code in english:
        assert values(english[code]) == values(spanish[code]), code


def values(text: str) -> list[str]:
    return sorted(part.split("}")[0] for part in text.split("{")[1:])


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"), ("es", "es"), ("es-MX,es;q=0.9,en;q=0.8", "es"), ("fr", "en"), ("*", "en"),
        ("en;q=0.1, ES;q=0.5", "es"), ("es;q=0, en", "en"), ("es;q=x", "en"), (",;,", "en"),
        ("de, es;q=0.2", "es"), ("es" * 10_000, "en"),
    ],
)  # fmt: skip
def test_the_language_is_negotiated(header: str, language: str) -> None:
    assert negotiate(header) == language


def test_titles_take_values() -> None:
    assert sentence("password-length", "es", {"shortest": 12, "longest": 128}) == (
        "La contraseña tiene entre 12 y 128 caracteres."
    )
    assert sentence("no-such-code", "es") == "no-such-code"


SCOPE = {
    "path": "/api/v1/x",
    "headers": [(b"accept-language", b"es")],
    "state": {"request_id": "request-1"},
}


def test_a_problem_in_spanish() -> None:
    response = from_error(SCOPE, NotFound("no row 7", id="7"))
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["content-language"] == "es"
    assert response.headers["vary"] == "Accept-Language"
    assert bytes(response.body).decode() == (
        '{"type":"urn:vibestream:problem:not-found","title":"No existe.","status":404,'
        '"code":"not-found","detail":"no row 7","instance":"/api/v1/x","request_id":"request-1",'
        '"params":{"id":"7"},"errors":[]}'
    )


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (Overloaded(retry_after_ms=1), "1"),
        (Overloaded(retry_after_ms=2_001), "3"),
        (Limited(), "1"),
        (Limited("", retry_after_ms=9_000), "9"),
    ],
)
def test_what_may_be_tried_again_says_when(error: VibeStreamError, seconds: str) -> None:
    assert from_error(SCOPE, error).headers["retry-after"] == seconds


def test_who_is_unknown_is_told_how_to_sign_in() -> None:
    assert from_error(SCOPE, Unauthenticated()).headers["www-authenticate"].startswith("Bearer")


def test_a_bug_in_disguise_keeps_its_detail() -> None:
    response = from_error(SCOPE, VibeStreamError("secret table name"))
    assert response.status_code == 500
    assert b"secret" not in response.body


def test_validation_errors_point_at_their_field_and_do_not_echo_input() -> None:
    errors = [{"type": "missing", "loc": ("body", "a/b", 0, "~"), "msg": "Field required",
               "input": "my password"}]  # fmt: skip
    response = from_validation(SCOPE, errors, "application/json")
    assert response.status_code == 422
    assert b'"pointer":"/a~1b/0/~0"' in response.body
    assert b"my password" not in response.body
    many = from_validation(SCOPE, errors * 500, "application/json")
    assert len(many.body) < 5_000


def test_long_paths_are_cut() -> None:
    scope = {"path": "/" + "x" * 10_000, "headers": []}
    assert len(problem_response(scope, 404, "not-found", "no").body) < 1_000
