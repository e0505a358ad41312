"""Writing events into the buffer; there is room, which whoever calls has made sure of."""

from __future__ import annotations

from typing import Any

from kernels.compile import inner
from kernels.matching.layout import REJECTED, Taker
from kernels.matching.words import ref


@inner(forceinline=True)
def said(events: Any, used: int, kind: int, reason: int, taker: Taker, quantity: int) -> int:
    """Say something of an order on its way in, at its own price. Returns the events used."""
    event = ref(events, used)
    event.kind, event.side, event.reason = kind, taker.side, reason
    event.price, event.seq, event.symbol = taker.price, taker.seq, taker.symbol
    event.order_id, event.maker_order_id = taker.order_id, 0
    event.owner, event.maker_owner, event.quantity = taker.owner, 0, quantity
    return used + 1


@inner(forceinline=True)
def met(events: Any, used: int, kind: int, reason: int, taker: Taker, maker: Any) -> int:
    """Say that the taker met a maker; whoever calls sets price and quantity."""
    event = ref(events, used)
    event.kind, event.side, event.reason = kind, taker.side, reason
    event.seq, event.symbol = taker.seq, taker.symbol
    event.order_id, event.maker_order_id = taker.order_id, maker.order_id
    event.owner, event.maker_owner = taker.owner, maker.owner
    return used + 1


@inner(forceinline=True)
def refused(events: Any, used: int, reason: int, seq: int, command: Any) -> int:
    """Say that a command changed nothing; symbol and side as it gave them."""
    event = ref(events, used)
    event.kind, event.side, event.reason = REJECTED, command.side, reason
    event.price, event.seq, event.symbol = 0, seq, command.symbol
    event.order_id, event.maker_order_id = command.order_id, 0
    event.owner, event.maker_owner, event.quantity = command.owner, 0, 0
    return used + 1
