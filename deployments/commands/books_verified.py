"""Every order book matched again from its journal, and compared with what is stored."""

from __future__ import annotations

import json

import msgspec
import typer

from domain.market.rematch import Rematch
from storage import market_orders as storage
from storage.database import Connection

AT_ONCE = 2_000
AS_MADE = "Every order book is what its journal makes."


def tell(found: list[str]) -> None:
    """Print differences, or that there are none."""
    for what in found:
        typer.echo(what)
    typer.echo(f"{len(found)} differences of order books." if found else AS_MADE)


class NotAJournalError(Exception):
    """The file does not hold pages of a book's journal."""


class Entry(msgspec.Struct):
    """An entry as HTTP shows it."""

    text: str
    chain: str


class Page(msgspec.Struct):
    """A page of a journal as HTTP shows it, as far as it is needed here."""

    max_price: int
    capacity: int
    entries: list[Entry]


def exported(content: bytes) -> Rematch:
    """A journal from its pages, matched again from the first entry. Raises NotAJournalError."""
    rest, pages = content.decode(errors="replace").strip(), []
    try:
        while rest:
            page, end = json.JSONDecoder().raw_decode(rest)
            pages.append(msgspec.convert(page, Page))
            rest = rest[end:].lstrip()
    except (ValueError, msgspec.ValidationError) as error:
        raise NotAJournalError(str(error)) from None
    if not pages:
        raise NotAJournalError("there is nothing in it")
    again = Rematch(pages[0].max_price, pages[0].capacity)
    for entry in (entry for page in pages for entry in page.entries):
        if not again.take(entry.text.encode(), _bytes(entry.chain)):
            break
    return again


def _bytes(text: str) -> bytes:
    """What hexadecimal digits stand for; nothing, where they are none, which is no chain either."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


async def differences(connection: Connection) -> list[str]:
    """What is wrong with the books, in words, on one snapshot. Trading goes on meanwhile."""
    found: list[str] = []
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute("set local statement_timeout = 0")
        for book in await storage.all_books(connection):
            found += [f"book {book.issue_id}: {what}" for what in await _book(connection, book)]
        for code, expected, held in await storage.held_differences(connection):
            found.append(f"{code}: open orders hold {expected}, the account has {held}")
    return found


async def _book(connection: Connection, book: storage.BookRow) -> list[str]:
    again = Rematch(book.max_price, book.capacity)
    while page := await storage.entries(connection, book.issue_id, again.number, AT_ONCE):
        for row in page:
            if not again.take(row.entry.encode(), row.chain):
                return [again.wrong]
    found = []
    if (again.number, again.chain) != (book.number, book.chain):
        found.append(f"the journal ends with entry {again.number}, the book with {book.number}")
    live = await storage.live_orders(connection, book.issue_id)
    differing = again.open_orders().items() ^ {row.order_id: row.remaining for row in live}.items()
    if differing:
        found.append(f"orders differ from the book: {sorted({n for n, _ in differing})[:10]}")
    stored, made = await storage.traded(connection, book.issue_id), again.totals
    if stored != (made.trades, made.shares, made.value_ticks * book.tick_minor):
        found.append(f"{stored[0]} trades are stored, {made.trades} were made, or of other sizes")
    return found
