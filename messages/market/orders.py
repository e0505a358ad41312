"""Orders and the book that they meet in.

Prices are minor units for one share, on the issue's tick; inside the book they are ticks. An order
is named by a number that its book gives it, rising by one. A user is a number of the book as well
(`owner`), so that the book's journal can be public and name nobody.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec


class Side(StrEnum):
    """Which side of the book."""

    BUY = "buy"
    SELL = "sell"


class OrderKind(StrEnum):
    """limit; market: a limit at the edge of the price band that never rests; stop, stop_limit: the
    same once a trade reached the stop price."""

    LIMIT = "limit"
    MARKET = "market"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"


class TimeInForce(StrEnum):
    """Good til cancelled, good til date, immediate or cancel, fill or kill, post-only."""

    GTC = "gtc"
    GTD = "gtd"
    IOC = "ioc"
    FOK = "fok"
    POST = "post"


class SelfTrade(StrEnum):
    """What happens where an order would meet another of the same owner. They never trade."""

    CANCEL_NEWEST = "cancel_newest"
    CANCEL_OLDEST = "cancel_oldest"
    CANCEL_BOTH = "cancel_both"
    DECREMENT = "decrement"


class Phase(StrEnum):
    """closed → auction → continuous ↔ halted → auction. Orders are taken in the middle two."""

    CLOSED = "closed"
    AUCTION = "auction"
    CONTINUOUS = "continuous"
    HALTED = "halted"


class OrderStatus(StrEnum):
    """waiting: a stop whose price was not reached. open: it may be filled at any time."""

    WAITING = "waiting"
    OPEN = "open"
    FILLED = "filled"
    CANCELLED = "cancelled"


class EndReason(StrEnum):
    """Why an order is open no longer. unfilled: what an order that never rests could not get."""

    NONE = ""
    FILLED = "filled"
    USER = "user"
    UNFILLED = "unfilled"
    SELF_TRADE = "self_trade"
    EXPIRED = "expired"
    CLOSED = "closed"
    REFUSED = "refused"  # a stop that the book had no room for when its price was reached


# --- commands -------------------------------------------------------------------------------------


class PlaceOrder(msgspec.Struct, frozen=True, tag=True):
    """Buy or sell. request_id: new for each order, in the ledger's keys.

    price_minor: the limit; 0 for market and stop.  stop_minor: of stop and stop_limit.
    display: the most that the book shows of it at once, 0 for all.  expires_at_ms: of gtd.
    """

    user_id: str
    request_id: str
    side: Side
    kind: OrderKind
    time_in_force: TimeInForce
    shares: int
    price_minor: int = 0
    stop_minor: int = 0
    display: int = 0
    expires_at_ms: int = 0
    self_trade: SelfTrade = SelfTrade.CANCEL_NEWEST


class CancelOrder(msgspec.Struct, frozen=True, tag=True):
    """Take an order out of the book."""

    user_id: str
    order_id: int


class ReplaceOrder(msgspec.Struct, frozen=True, tag=True):
    """Give an order another size and price. `shares` counts what is filled already.

    Smaller at the same price it keeps its place, otherwise it goes to the end of the queue.
    """

    user_id: str
    request_id: str
    order_id: int
    shares: int
    price_minor: int
    post_only: bool = False
    self_trade: SelfTrade = SelfTrade.CANCEL_NEWEST


class OpenTrading(msgspec.Struct, frozen=True, tag=True):
    """Begin with a call auction."""


class HaltTrading(msgspec.Struct, frozen=True, tag=True):
    """Stop trading for a while; it comes back by an auction."""


class ResumeTrading(msgspec.Struct, frozen=True, tag=True):
    """End a halt before its time: the auction begins now."""


class CloseTrading(msgspec.Struct, frozen=True, tag=True):
    """Stop trading until it is opened again. cancel_orders: open orders end with it."""

    cancel_orders: bool = False


class EndPhase(msgspec.Struct, frozen=True, tag=True):
    """Timer: an auction or a halt is over."""

    due_at_ms: int


class ExpireOrders(msgspec.Struct, frozen=True, tag=True):
    """Timer: the date of some order has come."""

    due_at_ms: int


class GetBook(msgspec.Struct, frozen=True, tag=True):
    """Query: the book as it stands, `levels` of each side at most (0: all)."""

    levels: int = 0


# --- answers --------------------------------------------------------------------------------------


class OrderView(msgspec.Struct, frozen=True, tag=True):
    """An order as its owner sees it. `filled` of `shares`, for `paid_minor` without fees.

    held_minor: cash that it holds (of a buy).  limit_minor: the worst price that it accepts.
    """

    issue_id: str
    order_id: int
    user_id: str
    side: Side
    status: OrderStatus
    reason: EndReason
    shares: int
    filled: int
    left: int
    limit_minor: int
    stop_minor: int
    display: int
    expires_at_ms: int
    paid_minor: int
    fee_minor: int
    held_minor: int
    placed_at_ms: int
    changed_at_ms: int


class DepthLevel(msgspec.Struct, frozen=True, array_like=True):
    """The shares that the book shows at a price; none: the level is gone."""

    side: Side
    price_minor: int
    shares: int


class BookView(msgspec.Struct, frozen=True, tag=True):
    """A book as it stands, best prices first.

    depth_number: of the last `BookChanged`.  checksum: of all levels, shown here or not.
    number, chain: of the last entry of the book's journal.
    """

    issue_id: str
    phase: Phase
    until_ms: int
    depth_number: int
    checksum: int
    bids: tuple[DepthLevel, ...]
    asks: tuple[DepthLevel, ...]
    last_minor: int
    orders: int
    number: int
    chain: str


# --- facts ----------------------------------------------------------------------------------------


class Instruction(msgspec.Struct, frozen=True, array_like=True):
    """What the book was told, in its own numbers: prices in ticks, `owner` by the book's count.

    op: new, cancel, replace, expire (`expires` is the present), auction (collect from now on),
    uncross (at the price nearest to `price`, of equally good ones).  side, tif and stp in the
    words of `docs/contexts/matching.md`.
    """

    op: str
    side: str = ""
    tif: str = ""
    stp: str = ""
    order_id: int = 0
    owner: int = 0
    price: int = 0
    quantity: int = 0
    stop: int = 0
    display: int = 0
    expires: int = 0


class Output(msgspec.Struct, frozen=True, array_like=True):
    """What the book answered; the words are those of `docs/contexts/matching.md`."""

    kind: str
    side: str
    reason: str
    price: int
    quantity: int
    order_id: int
    maker_order_id: int
    owner: int
    maker_owner: int


class Entered(msgspec.Struct, frozen=True, array_like=True):
    """Whose order the instructions are, and on what terms.

    price: its limit, in ticks.  reserved_minor: cash that was set aside for it.
    """

    order_id: int
    user_id: str
    shares: int
    price: int
    reserved_minor: int
    maker_bps: int
    taker_bps: int
    replaces: bool = False


class BookAdvanced(msgspec.Struct, frozen=True, tag=True):
    """Journal only: an entry of the book's hash chain, with what it takes to make it again.

    The public part is `number`, `at_ms`, `instructions` and `outputs`; `chain` is the hash of them
    and of the chain before. Everything else the book's owner keeps follows from the whole.
    reason: why what was cancelled in it ended, where the book cannot know.
    """

    issue_id: str
    number: int
    at_ms: int
    instructions: tuple[Instruction, ...]
    outputs: tuple[Output, ...]
    chain: bytes
    phase: Phase
    until_ms: int
    reason: EndReason = EndReason.NONE
    entered: Entered | None = None


class EntryPart(msgspec.Struct, frozen=True, array_like=True):
    """A command's part in an entry: how many of its instructions, and whose order they are."""

    instructions: int
    entered: Entered | None = None


class OrdersAdvanced(msgspec.Struct, frozen=True, tag=True):
    """Journal only: an entry of the book's hash chain that several commands made together.

    text: the public entry, JSON, word for word what `chain` was made over.  parts: a command each.
    """

    issue_id: str
    number: int
    at_ms: int
    text: str
    chain: bytes
    phase: Phase
    until_ms: int
    parts: tuple[EntryPart, ...]


class EntryJoined(msgspec.Struct, frozen=True, tag=True):
    """Journal only: a command is part of the book's entry `number`; the last of them has it."""

    number: int


class BookOpened(msgspec.Struct, frozen=True, tag=True):
    """Public: an issue has a book. Prices are ticks below `max_price`; so many orders fit."""

    issue_id: str
    max_price: int
    capacity: int
    at_ms: int


class Trade(msgspec.Struct, frozen=True, array_like=True):
    """A trade as everyone sees it. `side`: of the order that came last, buy in an auction."""

    trade_id: int
    price_minor: int
    shares: int
    side: Side


class BookChanged(msgspec.Struct, frozen=True, tag=True):
    """Public: all that a command, or several that were committed together, did to the book.

    depth_number: rises with each.  after: that of the change before it, so that a gap shows.
    levels: those that changed, as they are now.  trades: in the order in which they happened.
    checksum: of the whole book after it (`domain.market.depth`).  until_ms: when the phase ends.
    """

    issue_id: str
    depth_number: int
    after: int
    checksum: int
    levels: tuple[DepthLevel, ...]
    trades: tuple[Trade, ...]
    phase: Phase
    until_ms: int
    at_ms: int


class OrderChanged(OrderView, frozen=True, tag=True):
    """Public: to its owner alone, an order as a command left it."""


OrderEntry: TypeAlias = (
    PlaceOrder
    | CancelOrder
    | ReplaceOrder
    | OpenTrading
    | HaltTrading
    | ResumeTrading
    | CloseTrading
    | EndPhase
    | ExpireOrders
    | GetBook
)
OrderFact: TypeAlias = (
    BookOpened | BookAdvanced | OrdersAdvanced | EntryJoined | BookChanged | OrderChanged
)
OrderAnswer: TypeAlias = OrderView | BookView
ORDER_OWNER_EVENTS = (OrderChanged,)
PUBLIC_ORDER_EVENTS = frozenset({BookOpened, BookChanged, OrderChanged})
