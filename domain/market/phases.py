"""When a book trades: opening and closing it, halts, call auctions. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from domain.decision import Decision
from domain.market import issues
from domain.market.advance import Advance
from domain.market.order_rules import TRADED
from domain.market.orders import COLLECT, Outcome, finish
from domain.market.references import reference
from domain.market.state import Changes, Deciders, Market
from domain.market.trading import Trading, width
from domain.policy import MarketPolicy
from messages.market import TerminateIssue
from messages.market.order_errors import BookClosed, BookNotFound, BookOpen, NotHalted
from messages.market.orders import (
    BookOpened,
    BookView,
    CloseTrading,
    EndPhase,
    EndReason,
    GetBook,
    HaltTrading,
    Instruction,
    OpenTrading,
    Phase,
    ResumeTrading,
    Side,
)


def view(market: Market, levels: int = 0) -> BookView:
    """The book as it stands. Raises BookNotFound if it was never opened."""
    trading = market.trading
    if trading is None:
        raise BookNotFound
    depth = trading.depth
    return BookView(
        market.issue_id,
        trading.phase,
        trading.until_ms,
        depth.number,
        depth.checksum,
        depth.side(Side.BUY, levels),
        depth.side(Side.SELL, levels),
        trading.last * trading.tick_minor,
        len(trading.orders),
        trading.number,
        trading.chain.hex(),
    )


def open_book(market: Market, event: BookOpened) -> None:
    """A book that has nothing in it yet."""
    if market.trading is None:
        trading = Trading(market.issue.tick_minor, event.max_price, event.capacity)
        market.trading = trading
        # What the shares were sold at is the first price that there is.
        trading.prices.anchor(event.at_ms, reference(market))
        trading.prices.halt(event.at_ms)


def _open(policy: MarketPolicy, market: Market, command: OpenTrading, now_ms: int) -> Outcome:
    if market.issue.status not in TRADED:
        raise BookClosed
    if market.trading is not None and market.trading.phase is not Phase.CLOSED:
        raise BookOpen
    first: tuple[BookOpened, ...] = ()
    if market.trading is None:
        issue = market.issue
        max_price = width(issue.price_minor, issue.tick_minor)
        first = (BookOpened(market.issue_id, max_price, policy.max_book_orders, now_ms),)
        open_book(market, first[0])
    advance = Advance(market, now_ms)
    advance.run(COLLECT)
    until_ms = now_ms + policy.auction_ms
    found = finish(policy, market, advance, phase=Phase.AUCTION, until_ms=until_ms)
    return replace(found, events=(*first, *found.events), answer=view(market))


def _halt(policy: MarketPolicy, market: Market, command: HaltTrading, now_ms: int) -> Outcome:
    trading = market.trading
    if trading is None or trading.phase not in {Phase.AUCTION, Phase.CONTINUOUS}:
        raise BookClosed
    advance = Advance(market, now_ms)
    advance.run(COLLECT)
    return replace(finish(policy, market, advance, halts=True), answer=view(market))


def _resume(policy: MarketPolicy, market: Market, command: ResumeTrading, now_ms: int) -> Outcome:
    if market.trading is None or market.trading.phase is not Phase.HALTED:
        raise NotHalted
    return _reopen(policy, market, now_ms)


def _close(policy: MarketPolicy, market: Market, command: CloseTrading, now_ms: int) -> Outcome:
    trading = market.trading
    if trading is None or trading.phase is Phase.CLOSED:
        raise BookClosed
    return close(policy, market, now_ms, cancel_orders=command.cancel_orders)


def close(policy: MarketPolicy, market: Market, now_ms: int, *, cancel_orders: bool) -> Outcome:
    """Close a book that was opened, with or without ending the orders that are in it."""
    trading = market.trading
    assert trading is not None, "a book that was opened"
    advance = Advance(market, now_ms, EndReason.CLOSED)
    advance.run(COLLECT)
    for order in trading.orders.values() if cancel_orders else ():
        owner = trading.owner(order.user_id)
        advance.run(Instruction("cancel", order_id=order.order_id, owner=owner))
    found = finish(policy, market, advance, phase=Phase.CLOSED)
    return replace(found, answer=view(market))


def _end_phase(policy: MarketPolicy, market: Market, command: EndPhase, now_ms: int) -> Outcome:
    """The timer of a phase; of one that ended otherwise it is nothing."""
    trading = market.trading
    if trading is None or trading.until_ms != command.due_at_ms:
        return Decision()
    if trading.phase is Phase.HALTED:
        return _reopen(policy, market, now_ms)
    assert trading.phase is Phase.AUCTION, "nothing else ends by itself"
    advance = Advance(market, now_ms)
    advance.run(Instruction("uncross", price=reference(market)))
    return finish(policy, market, advance, phase=Phase.CONTINUOUS)


def _reopen(policy: MarketPolicy, market: Market, now_ms: int) -> Outcome:
    """Back from a halt, by an auction."""
    until_ms = now_ms + policy.auction_ms
    advance = Advance(market, now_ms)
    found = finish(policy, market, advance, phase=Phase.AUCTION, until_ms=until_ms)
    return replace(found, answer=view(market))


def _get(policy: MarketPolicy, market: Market, command: GetBook, now_ms: int) -> Outcome:
    return Decision(answer=view(market, command.levels))


def _terminate(
    policy: MarketPolicy, market: Market, command: TerminateIssue, now_ms: int
) -> Outcome:
    """The end of an issue is the end of the orders on it."""
    over = issues.DECIDERS[TerminateIssue](policy, market, command, now_ms)  # or it is refused
    if market.trading is None:
        return over
    closed = close(policy, market, now_ms, cancel_orders=True)
    over = issues.DECIDERS[TerminateIssue](policy, market, command, now_ms)
    return Decision(
        (*closed.events, *over.events),
        over.answer,
        (*closed.transactions, *over.transactions),
        (*closed.timers, *over.timers),
    )


DECIDERS: Deciders = {
    TerminateIssue: _terminate,
    OpenTrading: _open,
    HaltTrading: _halt,
    ResumeTrading: _resume,
    CloseTrading: _close,
    EndPhase: _end_phase,
    GetBook: _get,
}
CHANGES: Changes = {BookOpened: open_book}
