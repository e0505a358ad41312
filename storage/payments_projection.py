"""The read models of payments, brought up to a batch of facts by one statement.

A payment is on its payer's screen for as long as its two batches take, and each statement of them
costs a round trip; so the facts are folded here to the last row of each thing, and all tables are
written at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from messages.payments.payments import (
    CallEnded,
    CallMade,
    CallPostponed,
    PaymentChanged,
    PaymentEvent,
    PaymentStarted,
    ReviewDecided,
    SnapshotSeen,
)
from storage import audit, payments_movements
from storage.database import Connection

# Statements of one `with` see the tables as they were before it, so none may need another's rows.
WRITE = f"""
with added as (
    insert into payments.payments
        (payment_id, payer_id, purpose, status, amount_minor, currency, method, gateway, subject,
         verdict, score, reasons, received_minor, returned_minor, failure, created_at_ms,
         changed_at_ms)
    select payment_id, payer_id, purpose, status, amount_minor, currency, method, gateway, subject,
        verdict, score, reasons, received_minor, returned_minor, failure, created_at_ms,
        changed_at_ms
    from jsonb_to_recordset($1) as p (payment_id uuid, payer_id uuid, purpose text, status text,
        amount_minor numeric, currency text, method text, gateway text, subject text, verdict text,
        score integer, reasons text[], received_minor numeric, returned_minor numeric, failure text,
        created_at_ms bigint, changed_at_ms bigint)
),
changed as (
    update payments.payments p
    set status = c.status, received_minor = c.received_minor, returned_minor = c.returned_minor,
        failure = c.failure, changed_at_ms = c.changed_at_ms
    from jsonb_to_recordset($2) as c (payment_id uuid, status text, received_minor numeric,
        returned_minor numeric, failure text, changed_at_ms bigint)
    where p.payment_id = c.payment_id
),
moved as (
    insert into payments.transitions
        (payment_id, number, status_before, status, received_minor, returned_minor, failure, at_ms)
    select * from jsonb_to_recordset($3) as t (payment_id uuid, number bigint, status_before text,
        status text, received_minor numeric, returned_minor numeric, failure text, at_ms bigint)
),
seen as (
    insert into payments.charges (gateway, ref, payment_id, attempt)
    select * from jsonb_to_recordset($4)
        as s (gateway text, ref text, payment_id uuid, attempt integer)
    on conflict do nothing
),
booked as ({payments_movements.BOOK}
),
decided as ({payments_movements.DECIDE}
),
called as (
    insert into payments.calls
        (call_id, payment_id, kind, gateway, key, tries, due_at_ms, code, made_at_ms, ended_at_ms)
    select * from jsonb_to_recordset($5) as m (call_id uuid, payment_id uuid, kind text,
        gateway text, key text, tries integer, due_at_ms bigint, code text, made_at_ms bigint,
        ended_at_ms bigint)
    on conflict (call_id) do update set tries = excluded.tries, due_at_ms = excluded.due_at_ms,
        code = excluded.code, ended_at_ms = excluded.ended_at_ms
)
update payments.calls c
set tries = coalesce(e.tries, c.tries), due_at_ms = coalesce(e.due_at_ms, c.due_at_ms),
    code = e.code, ended_at_ms = coalesce(e.ended_at_ms, c.ended_at_ms)
from jsonb_to_recordset($6)
    as e (call_id uuid, tries integer, due_at_ms bigint, code text, ended_at_ms bigint)
where c.call_id = e.call_id"""  # noqa: S608 - constants

_encode = msgspec.json.Encoder().encode
Row = dict[str, Any]


class Placed(NamedTuple):
    """A fact with the payment it is about and its number in the journal."""

    payment_id: str
    number: int
    event: PaymentEvent


class _Rows:
    """The last row of each thing that a batch of facts touches."""

    def __init__(self) -> None:
        self.added: dict[str, Row] = {}
        self.changed: dict[str, Row] = {}
        self.moved: list[Row] = []
        self.seen: dict[tuple[str, str], Row] = {}
        self.called: dict[str, Row] = {}
        self.answered: dict[str, Row] = {}
        self.booked: dict[payments_movements.Key, Row] = {}
        self.decided: list[Row] = []

    def take(self, placed: Placed) -> None:
        """Fold a fact."""
        decided = payments_movements.decided(*placed)
        if decided is not None:
            self.decided.append(decided)
        match placed.event:
            case PaymentStarted() as event:
                self.added[placed.payment_id] = _started(event)
            case PaymentChanged() as event:
                self._change(placed.payment_id, placed.number, event)
            case SnapshotSeen() as event:
                self._see(placed.payment_id, event)
            case CallMade() as event:
                self.answered.pop(event.call.call_id, None)
                self.called[event.call.call_id] = _made(placed.payment_id, event)
            case CallPostponed() as event:
                row = {"tries": event.tries, "due_at_ms": event.due_at_ms, "code": event.code}
                self._answer(event.call_id, row)
            case CallEnded() as event:
                self._answer(event.call_id, {"code": event.code, "ended_at_ms": event.at_ms})
            case _:
                pass  # the journal alone has it

    def columns(self) -> list[str]:
        """As the statement takes them."""
        lists = (
            list(self.added.values()),
            list(self.changed.values()),
            self.moved,
            list(self.seen.values()),
            list(self.called.values()),
            list(self.answered.values()),
            list(self.booked.values()),
            self.decided,
        )
        return [_encode(rows).decode() for rows in lists]

    def _change(self, payment_id: str, number: int, event: PaymentChanged) -> None:
        now: Row = {
            "status": event.status.value,
            "received_minor": event.received_minor,
            "returned_minor": event.returned_minor,
            "failure": event.failure,
        }
        moved = {"number": number, "status_before": event.before.value, "at_ms": event.at_ms}
        self.moved.append({"payment_id": payment_id, **moved, **now})
        now["changed_at_ms"] = event.at_ms
        if payment_id in self.added:
            self.added[payment_id] |= now
        else:
            self.changed[payment_id] = {"payment_id": payment_id, **now}

    def _see(self, payment_id: str, event: SnapshotSeen) -> None:
        gateway, ref = event.gateway.value, event.snapshot.ref
        self.seen.setdefault((gateway, ref), _charge(gateway, ref, payment_id, event.number))
        for key, row in payments_movements.moved(payment_id, event).items():
            self.booked[key] = payments_movements.newer(self.booked.get(key), row)

    def _answer(self, call_id: str, row: Row) -> None:
        if call_id in self.called:
            self.called[call_id] |= row
        else:
            self.answered[call_id] = {**self.answered.get(call_id, {"call_id": call_id}), **row}


async def write(connection: Connection, placed: Sequence[Placed]) -> None:
    """Bring the read models up to a batch of facts."""
    rows = _Rows()
    for one in placed:
        rows.take(one)
    await connection.execute(WRITE, *rows.columns())
    for one in placed:
        if isinstance(one.event, ReviewDecided):
            await _audit(connection, one.payment_id, one.event)


async def _audit(connection: Connection, payment_id: str, event: ReviewDecided) -> None:
    """Who let a payment go on, or ended it, and why: in the chain of the audit log, too."""
    await audit.record(
        connection,
        "payment.allowed" if event.allow else "payment.denied",
        actor=event.by,
        subject=f"payment:{payment_id}",
        at_ms=event.at_ms,
        detail={"reason": event.reason},
    )


def _started(event: PaymentStarted) -> Row:
    asked, found = event.asked, event.asked.assessment
    return {
        "payment_id": event.payment_id,
        "payer_id": asked.payer_id,
        "purpose": asked.purpose.value,
        "status": "pending",
        "amount_minor": asked.amount_minor,
        "currency": asked.currency,
        "method": asked.method.value,
        "gateway": asked.gateways[0].value,
        "subject": asked.subject,
        "verdict": found.verdict.value,
        "score": found.score,
        "reasons": found.reasons,
        "received_minor": 0,
        "returned_minor": 0,
        "failure": "",
        "created_at_ms": event.at_ms,
        "changed_at_ms": event.at_ms,
    }


def _charge(gateway: str, ref: str, payment_id: str, attempt: int) -> Row:
    return {"gateway": gateway, "ref": ref, "payment_id": payment_id, "attempt": attempt}


def _made(payment_id: str, event: CallMade) -> Row:
    call = event.call
    return {
        "call_id": call.call_id,
        "payment_id": payment_id,
        "kind": call.kind.value,
        "gateway": call.gateway.value,
        "key": call.key,
        "tries": call.tries,
        "due_at_ms": event.due_at_ms,
        "code": "",
        "made_at_ms": event.at_ms,
        "ended_at_ms": None,
    }
