"""Titles and names, and how many songs an artist may have."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.music import POLICY, check_song_count, clean_artist_name, clean_title
from messages.errors import Invalid
from messages.music import BadArtistName, BadTitle, SongLimitReached


@pytest.mark.parametrize(
    ("raw", "title"),
    [
        ("Nebula", "Nebula"),
        ("  a \t b\n", "a b"),
        ("e\u0301", "\u00e9"),
        ("…", "…"),
        ("👩‍🚀", "👩‍🚀"),
    ],
)
def test_titles_in_normal_form(raw: str, title: str) -> None:
    assert clean_title(raw) == title


@pytest.mark.parametrize(
    "raw", ["", " \u3000", "a\x00b", "\u202e", "\u200b", "x\x1b[31m", "x" * 201]
)
def test_titles_that_are_refused(raw: str) -> None:
    with pytest.raises(BadTitle):
        clean_title(raw)


def test_an_artists_name_is_shorter() -> None:
    assert clean_artist_name("x" * 80)
    with pytest.raises(BadArtistName):
        clean_artist_name("x" * 81)


@given(st.text(max_size=220))
def test_any_text_is_cleaned_or_refused(raw: str) -> None:
    try:
        title = clean_title(raw)
    except Invalid:
        return
    assert clean_title(title) == title
    assert 1 <= len(title) <= POLICY.max_title_chars
    assert not any(unicodedata.category(c) in {"Cc", "Cs"} for c in title)
    title.encode()


def test_the_limit_of_songs() -> None:
    check_song_count(999)
    with pytest.raises(SongLimitReached):
        check_song_count(1_000)
