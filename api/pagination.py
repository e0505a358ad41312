"""Pages by cursor: the place after the last item shown, so that new items never shift a page."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

import msgspec
from fastapi import Query
from pydantic import BaseModel, Field

from messages.errors import Invalid
from storage.rows import FIRST_PAGE, OLDEST

R = TypeVar("R")  # a row
T = TypeVar("T")  # what is shown of it
P = TypeVar("P")  # a place in a listing

MAX_LIMIT = 100
DEFAULT_LIMIT = 20
MAX_CURSOR_CHARS = 200
MAX_MS = 2**63 - 1
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_MS)]
LineNumber = Annotated[int, msgspec.Meta(ge=0, le=2**15 - 1)]
ItemBytes = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
CURSOR = "`next_cursor` of the page before."

CursorQuery = Annotated[str | None, Query(description=CURSOR, max_length=MAX_CURSOR_CHARS)]
LimitQuery = Annotated[int, Query(description="Items on the page.", ge=1, le=MAX_LIMIT)]


class BadCursor(Invalid):
    """This cursor did not come from the page before."""

    code = "cursor-invalid"


class Page(BaseModel, Generic[T]):
    """Some of the items, newest first."""

    items: list[T]
    next_cursor: str | None = Field(description="Where the next page begins; null on the last.")


def place_of(cursor: str | None) -> tuple[int, str]:
    """Where a newest-first listing goes on: (at_ms, item id). Raises BadCursor."""
    return decode_cursor(cursor) if cursor else FIRST_PAGE


def place_after(cursor: str | None) -> tuple[int, str]:
    """Where an oldest-first listing goes on: (at_ms, item id). Raises BadCursor."""
    return decode_cursor(cursor) if cursor else OLDEST


def position_of(cursor: str | None) -> int | None:
    """Where a listing by one number goes on, below it; None: at its beginning. Raises BadCursor."""
    return _decode(cursor, Count) if cursor else None


def page(
    found: Sequence[R], limit: int, place: Callable[[R], tuple[int, str]], show: Callable[[R], T]
) -> Page[T]:
    """The page of what was found when one more than `limit` was asked for."""
    return page_by(found, limit, lambda row: encode_cursor(*place(row)), show)


def page_below(
    found: Sequence[R], limit: int, position: Callable[[R], int], show: Callable[[R], T]
) -> Page[T]:
    """The page of a listing by one number, when one more than `limit` was asked for."""
    return page_by(found, limit, lambda row: _encode(position(row)), show)


def page_by(
    found: Sequence[R], limit: int, cursor_after: Callable[[R], str], show: Callable[[R], T]
) -> Page[T]:
    """The page of any listing, when one more than `limit` was asked for."""
    shown = found[:limit]
    following = cursor_after(shown[-1]) if len(found) > limit else None
    return Page(items=[show(row) for row in shown], next_cursor=following)


def encode_cursor(at_ms: int, item_id: str) -> str:
    """The cursor after the item (at_ms, item_id)."""
    return _encode((at_ms, uuid.UUID(item_id).bytes))


def decode_cursor(cursor: str) -> tuple[int, str]:
    """(at_ms, item id). Raises BadCursor."""
    at_ms, item = _decode(cursor, tuple[Count, ItemBytes])
    return at_ms, str(uuid.UUID(bytes=item))


def encode_numbered(at_ms: int, item_id: str, number: int) -> str:
    """The cursor after an item that has a number within another one: (at_ms, its id, number)."""
    return _encode((at_ms, uuid.UUID(item_id).bytes, number))


def decode_numbered(cursor: str) -> tuple[int, str, int]:
    """(at_ms, item id, number). Raises BadCursor."""
    at_ms, item, number = _decode(cursor, tuple[Count, ItemBytes, Count])
    return at_ms, str(uuid.UUID(bytes=item)), number


def encode_line(position: tuple[int, int]) -> str:
    """The cursor after a line of a ledger statement: (transaction, line)."""
    return _encode(position)


def line_of(cursor: str | None) -> tuple[int, int] | None:
    """The line a statement goes on after; None: at its beginning. Raises BadCursor."""
    return _decode(cursor, tuple[Count, LineNumber]) if cursor else None


def _encode(place: object) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(place)).rstrip(b"=").decode()


def _decode(cursor: str, kind: type[P]) -> P:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return msgspec.msgpack.decode(raw, type=kind)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise BadCursor from None
