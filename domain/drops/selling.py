"""Reserving, paying, releasing, returning: never more than the supply, no number twice. Pure.

Cash moves in what `reserve` asks of the ledger ahead of the decision, by the reservation that the
batch found. A decision that finds another one moves nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import replace

from domain.decision import Decision, Forget, Remind
from domain.drops.cash import mint, paid, undone
from domain.drops.policy import DropPolicy
from domain.drops.state import Drop, Purchase, Reservation
from domain.drops.telling import completed, milestones, supply_changed
from domain.drops.views import purchase_view, reserved_view
from domain.text import clean_reason
from messages.drops.drops import (
    DropCommand,
    DropEvent,
    DropStatus,
    ExpireReservation,
    GetReservation,
    PurchaseReserved,
    ReleasedView,
    ReleaseReservation,
    ReservationReleased,
    ReserveTokens,
    ReturnTokens,
    TokensPurchased,
    TokensReserved,
    TokensReturned,
)
from messages.drops.errors import (
    BadReservation,
    DropSoldOut,
    DropStateForbids,
    NotEnoughTokens,
    OwnDrop,
    ReservationExists,
    ReservationIsPurchased,
    ReservationNotFound,
    ReservationNotPurchased,
    TokenCap,
)
from messages.keys import is_id
from messages.ledger import LedgerTransaction

Outcome: TypeAlias = Decision[DropEvent]
EXPIRE_TIMER = "expire:"
END_TIMER = "end"
EXPIRED = "expired"


class Prepared(msgspec.Struct, frozen=True):
    """A command that moves cash, with what the batch found and `reserve` went by."""

    command: PurchaseReserved | ReturnTokens
    found: Reservation | Purchase | None


def prepared(drop: Drop, command: DropCommand) -> Prepared | None:
    """What is to be decided in a command's place, if anything."""
    if isinstance(command, PurchaseReserved):
        return Prepared(command, drop.reservations.get(command.reservation_id))
    if isinstance(command, ReturnTokens):
        return Prepared(command, drop.purchases.get(command.reservation_id))
    return None


def reserve(drop: Drop, command: DropCommand) -> tuple[LedgerTransaction, ...]:
    """The cash of a purchase; the cash and the tokens of a return."""
    if isinstance(command, PurchaseReserved):
        kept = drop.reservations.get(command.reservation_id)
        return () if kept is None else paid(drop, command.reservation_id, kept)
    if isinstance(command, ReturnTokens):
        bought = drop.purchases.get(command.reservation_id)
        if bought is not None and not bought.is_returned:
            return undone(drop, command.reservation_id, bought.reserved)
    return ()


def _reserve(policy: DropPolicy, drop: Drop, command: ReserveTokens, now_ms: int) -> Outcome:
    if (known := _known(drop, command)) is not None:
        return known
    _check(policy, drop, command, now_ms)
    total = command.count * drop.asked.price_minor
    kept = Reservation(
        command.buyer_id, command.count, total, policy.fee_minor(total), command.expires_at_ms
    )
    event = TokensReserved(
        drop.drop_id,
        command.reservation_id,
        kept.buyer_id,
        kept.count,
        drop.asked.currency,
        kept.total_minor,
        kept.fee_minor,
        kept.expires_at_ms,
        now_ms,
    )
    return Decision(
        (event, supply_changed(drop, now_ms, reserved=kept.count)),
        reserved_view(drop, command.reservation_id, kept),
        timers=(Remind(EXPIRE_TIMER + command.reservation_id, kept.expires_at_ms),),
    )


def _known(drop: Drop, command: ReserveTokens) -> Outcome | None:
    """The answer to a reservation that was made before."""
    reservation_id = command.reservation_id
    bought = drop.purchases.get(reservation_id)
    kept = bought.reserved if bought else drop.reservations.get(reservation_id)
    if kept is None:
        return None
    asked = (command.buyer_id, command.count, command.expires_at_ms)
    if (kept.buyer_id, kept.count, kept.expires_at_ms) != asked:
        raise ReservationExists(reservation_id=reservation_id)
    if bought is not None:
        return Decision(answer=purchase_view(drop, reservation_id, bought))
    return Decision(answer=reserved_view(drop, reservation_id, kept))


def _check(policy: DropPolicy, drop: Drop, command: ReserveTokens, now_ms: int) -> None:
    rules = {
        "reservation_id": is_id(command.reservation_id),
        "buyer_id": is_id(command.buyer_id),
        "count": 0 < command.count <= policy.max_count,
        "expires_at_ms": 0 < command.expires_at_ms - now_ms <= policy.max_reservation_ms,
    }
    for field, holds in rules.items():
        if not holds:
            raise BadReservation(f"the {field} is out of range", field=field)
    if command.buyer_id == drop.asked.artist_user_id:
        raise OwnDrop
    if drop.minted == drop.asked.supply:
        raise DropSoldOut
    if drop.status is not DropStatus.ACTIVE:
        raise DropStateForbids(status=drop.status.value)
    allowed = drop.asked.cap - drop.of_user.get(command.buyer_id, 0)
    if command.count > allowed:
        raise TokenCap(left=allowed, cap=drop.asked.cap)
    if command.count > drop.left:
        raise NotEnoughTokens(left=drop.left, reserved=drop.reserved)


def _purchase(policy: DropPolicy, drop: Drop, asked: Prepared, now_ms: int) -> Outcome:
    reservation_id = asked.command.reservation_id
    if (bought := drop.purchases.get(reservation_id)) is not None:
        return Decision(answer=purchase_view(drop, reservation_id, bought))
    kept = drop.reservations.get(reservation_id)
    if kept is None or kept != asked.found:
        raise ReservationNotFound(reservation_id=reservation_id)
    first = drop.minted + 1
    purchased = TokensPurchased(
        drop.drop_id,
        reservation_id,
        kept.buyer_id,
        drop.asked.artist_user_id,
        kept.count,
        first,
        drop.asked.currency,
        kept.total_minor,
        kept.fee_minor,
        now_ms,
    )
    events: list[DropEvent] = [
        purchased,
        supply_changed(drop, now_ms, reserved=-kept.count, minted=kept.count),
        *milestones(policy, drop, kept.count, now_ms),
    ]
    timers = [Forget(EXPIRE_TIMER + reservation_id)]
    ends = drop.minted + kept.count == drop.asked.supply
    if ends and drop.status in (DropStatus.ACTIVE, DropStatus.PAUSED):
        events.append(completed(drop, now_ms, kept.count))
        timers.append(Forget(END_TIMER))
    return Decision(
        tuple(events),
        purchase_view(drop, reservation_id, Purchase(kept, first)),
        (mint(drop, reservation_id, kept),),
        tuple(timers),
    )


def _release(policy: DropPolicy, drop: Drop, command: ReleaseReservation, now_ms: int) -> Outcome:
    reservation_id = command.reservation_id
    if reservation_id in drop.purchases:
        raise ReservationIsPurchased(reservation_id=reservation_id)
    answer = ReleasedView(reservation_id)
    if reservation_id not in drop.reservations:
        return Decision(answer=answer)
    reason = clean_reason(command.reason, policy.max_reason)
    return Decision(
        _let_go(drop, reservation_id, reason, now_ms),
        answer,
        timers=(Forget(EXPIRE_TIMER + reservation_id),),
    )


def _expire(_policy: DropPolicy, drop: Drop, command: ExpireReservation, now_ms: int) -> Outcome:
    if command.reservation_id not in drop.reservations:
        return Decision()
    return Decision(_let_go(drop, command.reservation_id, EXPIRED, now_ms))


def _let_go(drop: Drop, reservation_id: str, reason: str, now_ms: int) -> tuple[DropEvent, ...]:
    kept = drop.reservations[reservation_id]
    released = ReservationReleased(
        drop.drop_id, reservation_id, kept.buyer_id, kept.count, reason, now_ms
    )
    return released, supply_changed(drop, now_ms, reserved=-kept.count)


def _return(policy: DropPolicy, drop: Drop, asked: Prepared, now_ms: int) -> Outcome:
    reservation_id = asked.command.reservation_id
    assert isinstance(asked.command, ReturnTokens), "by its type"
    if reservation_id in drop.reservations:
        raise ReservationNotPurchased(reservation_id=reservation_id)
    bought = drop.purchases.get(reservation_id)
    if bought is None:
        raise ReservationNotFound(reservation_id=reservation_id)
    if bought.is_returned:
        return Decision(answer=purchase_view(drop, reservation_id, bought))
    if bought != asked.found:
        raise ReservationNotPurchased(reservation_id=reservation_id)
    kept = bought.reserved
    event = TokensReturned(
        drop.drop_id,
        reservation_id,
        kept.buyer_id,
        drop.asked.artist_user_id,
        kept.count,
        bought.first_token,
        drop.asked.currency,
        kept.total_minor,
        kept.fee_minor,
        clean_reason(asked.command.reason, policy.max_reason),
        now_ms,
    )
    events = (event, supply_changed(drop, now_ms, burned=kept.count))
    gone = replace(bought, is_returned=True)
    return Decision(events, purchase_view(drop, reservation_id, gone))


def _look(_policy: DropPolicy, drop: Drop, command: GetReservation, now_ms: int) -> Outcome:
    reservation_id = command.reservation_id
    if (bought := drop.purchases.get(reservation_id)) is not None:
        return Decision(answer=purchase_view(drop, reservation_id, bought))
    if (kept := drop.reservations.get(reservation_id)) is not None:
        return Decision(answer=reserved_view(drop, reservation_id, kept))
    raise ReservationNotFound(reservation_id=reservation_id)


DECIDERS: dict[type, Callable[[DropPolicy, Drop, Any, int], Outcome]] = {
    ReserveTokens: _reserve,
    PurchaseReserved: _purchase,
    ReleaseReservation: _release,
    ExpireReservation: _expire,
    ReturnTokens: _return,
    GetReservation: _look,
}
