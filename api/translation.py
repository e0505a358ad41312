"""The translation catalogue, `locale/<language>.json`: a sentence per error code and language."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "locale"
DEFAULT = "en"
LANGUAGES = ("en", "es")
MAX_HEADER_CHARS = 200


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """The sentences of one of LANGUAGES, by code."""
    sentences: dict[str, str] = json.loads(
        (FOLDER / f"{language}.json").read_text(encoding="utf-8")
    )
    return sentences


def sentence(code: str, language: str, params: Mapping[str, str | int] | None = None) -> str:
    """What a user is shown for `code`. Falls back to English, then to the code itself."""
    text = catalogue(language).get(code) or catalogue(DEFAULT).get(code) or code
    if not params:
        return text
    for name, value in params.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


@lru_cache(maxsize=256)
def negotiate(accept_language: str) -> str:
    """The best of LANGUAGES for an Accept-Language header (RFC 9110), DEFAULT if none fits."""
    best, best_weight = DEFAULT, 0.0
    for item in accept_language[:MAX_HEADER_CHARS].split(","):
        tag, _, parameters = item.strip().partition(";")
        language = tag.strip().lower().split("-", 1)[0]
        if language == "*":
            language = DEFAULT
        weight = _weight(parameters)
        if language in LANGUAGES and weight > best_weight:
            best, best_weight = language, weight
    return best


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
