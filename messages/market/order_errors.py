"""What an order book may answer instead of a result."""

from __future__ import annotations

from messages.errors import Conflict, Invalid, Limited, NotFound


class BookClosed(Conflict):
    """The order book is not open."""

    code = "book-closed"


class BookHalted(Conflict):
    """Trading is halted; it comes back by an auction."""

    code = "book-halted"


class BookOpen(Conflict):
    """The order book is open already."""

    code = "book-open"


class NotHalted(Conflict):
    """Trading is not halted."""

    code = "book-not-halted"


class AuctionOrders(Conflict):
    """A call auction takes limit orders that may rest."""

    code = "book-in-auction"


class BookFull(Limited):
    """The order book has no room for another order."""

    code = "book-full"


class BadOrder(Invalid):
    """The parts of the order do not go together; `field` says which."""

    code = "order-invalid"


class BadQuantity(Invalid):
    """The number of shares is out of range."""

    code = "order-quantity"


class BadTick(Invalid):
    """The price is not a multiple of the book's tick."""

    code = "order-tick"


class OutsideBand(Conflict):
    """The price is outside the price band."""

    code = "order-price-band"


class OrderNotFound(NotFound):
    """You have no such open order."""

    code = "order-not-found"


class WouldCross(Conflict):
    """A post-only order would trade at once."""

    code = "order-would-cross"


class CannotFill(Conflict):
    """The book cannot fill the whole order."""

    code = "order-cannot-fill"


class StopReached(Conflict):
    """The stop price is reached already."""

    code = "order-stop-reached"


class NotReplaceable(Conflict):
    """A stop that waits cannot be replaced: cancel it and place another."""

    code = "order-not-replaceable"


class OrderMoved(Conflict):
    """The order was filled in part meanwhile; look again."""

    code = "order-moved"


class OrdersLimited(Limited):
    """You have as many open orders in this book as one user may."""

    code = "orders-limit"


class BookNotFound(NotFound):
    """This issue has no order book."""

    code = "book-not-found"
