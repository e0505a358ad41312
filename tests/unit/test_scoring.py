"""Scores of timelines that one can check by eye."""

from __future__ import annotations

import pytest

from domain.policy import ScoringPolicy
from domain.scoring import Score, TimelineBeat, score

POLICY = ScoringPolicy()

# name: beats as `at position expected` in seconds, then the score and its reasons.
TIMELINES = {
    "nothing": ("", 0, ()),
    "too short to tell": ("10 0 10, 20 0 20", 0, ()),
    "a person": ("10 10 10, 20.1 20 20.1, 30.3 30.2 30.2, 40.2 40 40.1", 0, ()),
    "drifts within the tolerance": ("10 13 10, 20 17 20, 30 33 30", 0, ()),
    "one jump in four": (
        "10 10 10, 20 90 20, 30 100 100, 40 110 110",
        3_000,
        ("impossible-positions",),
    ),
    "never moves": (
        "10 0 10, 20 0 10, 30 0 10, 40 0 10",
        10_000,
        ("duplicate-positions", "impossible-positions"),
    ),
    "jumps about": ("10 80 10, 20 5 90, 30 60 15, 40 1 70", 10_000, ("impossible-positions",)),
    "waits at the end of the song": ("10 60 60, 20 60 60, 30 60 60, 40 60 60", 0, ()),
}


def timeline(text: str) -> list[TimelineBeat]:
    rows = [row.split() for row in text.split(",") if row.strip()]
    return [
        TimelineBeat(index, *(round(float(cell) * 1000) for cell in row))
        for index, row in enumerate(rows)
    ]


@pytest.mark.parametrize(("text", "value_bps", "reasons"), TIMELINES.values(), ids=TIMELINES)
def test_a_timeline(text: str, value_bps: int, reasons: tuple[str, ...]) -> None:
    result = score(timeline(text), POLICY)
    assert set(result.reasons) == set(reasons)
    assert result.value_bps == value_bps


def paced(beats: int, jitter_ms: int) -> list[TimelineBeat]:
    return [
        TimelineBeat(i, at := 10_000 * (i + 1) + jitter_ms * (i % 2), at, at) for i in range(beats)
    ]


@pytest.mark.parametrize(
    ("beats", "jitter_ms", "value_bps"), [(11, 0, 0), (12, 0, 3_000), (12, 40, 0), (100, 0, 3_000)]
)
def test_a_pace_without_any_jitter_alone_rejects_nobody(
    beats: int, jitter_ms: int, value_bps: int
) -> None:
    result = score(paced(beats, jitter_ms), POLICY)
    assert result == Score(value_bps, ("regular-pace",) if value_bps else ())
    assert result.value_bps < POLICY.reject_at_bps
