"""Byte ranges and validators of a GET (RFC 9110, sections 13 and 14), as pure functions."""

from __future__ import annotations

import re
from dataclasses import dataclass

RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes from `start` up to `stop`, which is not among them."""

    start: int
    stop: int


class NotSatisfiableError(Exception):
    """The range lies wholly outside the content."""


def parse_range(header: str | None, size: int) -> Span | None:
    """The one span asked for; None for none, a malformed one or several: all is then sent.

    Raises NotSatisfiableError. `size` is positive.
    """
    match = RANGE.fullmatch(header.strip()) if header else None
    if match is None or match[1] == match[2] == "":
        return None
    if not match[1]:
        length = min(int(match[2]), size)
        if not length:
            raise NotSatisfiableError
        return Span(size - length, size)
    start = int(match[1])
    last = int(match[2]) if match[2] else size - 1
    if match[2] and last < start:
        return None
    if start >= size:
        raise NotSatisfiableError
    return Span(start, min(last + 1, size))


def matches_etag(header: str | None, etag: str, *, weak: bool) -> bool:
    """Whether an If-None-Match (weak comparison) or If-Range (strong) header names `etag`."""
    if not header:
        return False
    tags = [tag.strip() for tag in header.split(",")]
    if weak:
        return "*" in tags or etag in {tag.removeprefix("W/") for tag in tags}
    return tags == [etag]
