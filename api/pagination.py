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
from storage.rows import FIRST_PAGE

R = TypeVar("R")  # a row
T = TypeVar("T")  # what is shown of it

MAX_LIMIT = 100
DEFAULT_LIMIT = 20
MAX_CURSOR_CHARS = 200
MAX_MS = 2**63 - 1
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


def page(
    found: Sequence[R], limit: int, place: Callable[[R], tuple[int, str]], show: Callable[[R], T]
) -> Page[T]:
    """The page of what was found when one more than `limit` was asked for."""
    shown = found[:limit]
    following = encode_cursor(*place(shown[-1])) if len(found) > limit else None
    return Page(items=[show(row) for row in shown], next_cursor=following)


def encode_cursor(at_ms: int, item_id: str) -> str:
    """The cursor after the item (at_ms, item_id)."""
    raw = msgspec.msgpack.encode((at_ms, uuid.UUID(item_id).bytes))
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> tuple[int, str]:
    """(at_ms, item id). Raises BadCursor."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        at_ms, item = msgspec.msgpack.decode(raw, type=tuple[int, bytes])
        if not 0 <= at_ms <= MAX_MS:
            raise BadCursor
        return at_ms, str(uuid.UUID(bytes=item))
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise BadCursor from None


def encode_numbered(at_ms: int, item_id: str, number: int) -> str:
    """The cursor after an item that has a number within another one: (at_ms, its id, number)."""
    raw = msgspec.msgpack.encode((at_ms, uuid.UUID(item_id).bytes, number))
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode_numbered(cursor: str) -> tuple[int, str, int]:
    """(at_ms, item id, number). Raises BadCursor."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        at_ms, item, number = msgspec.msgpack.decode(raw, type=tuple[int, bytes, int])
        if not 0 <= min(at_ms, number) <= max(at_ms, number) <= MAX_MS:
            raise BadCursor
        return at_ms, str(uuid.UUID(bytes=item)), number
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise BadCursor from None


def position_of(cursor: str | None) -> int | None:
    """Where a listing by one number goes on, below it; None: at its beginning. Raises BadCursor."""
    if not cursor:
        return None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        position = msgspec.msgpack.decode(raw, type=int)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise BadCursor from None
    if not 0 <= position <= MAX_MS:
        raise BadCursor
    return position


def page_below(
    found: Sequence[R], limit: int, position: Callable[[R], int], show: Callable[[R], T]
) -> Page[T]:
    """The page of a listing by one number, when one more than `limit` was asked for."""
    shown = found[:limit]
    following = None
    if len(found) > limit:
        raw = msgspec.msgpack.encode(position(shown[-1]))
        following = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    return Page(items=[show(row) for row in shown], next_cursor=following)
