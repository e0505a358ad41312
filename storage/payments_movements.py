"""What moved at providers, a row a movement, and what was decided: folded from payments' facts."""

from __future__ import annotations

from typing import Any, TypeAlias

from messages.payments.gateways import (
    DisputeStatus,
    GatewayName,
    ProviderDispute,
    ProviderRefund,
    ReturnStatus,
    Snapshot,
)
from messages.payments.payments import (
    AttemptGivenUp,
    CallPostponed,
    CancelAsked,
    CaptureAsked,
    DebtCollected,
    PaymentEvent,
    RefundAsked,
    RefundRefused,
    ReviewDecided,
    SnapshotSeen,
)

Row: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[str, str, str, str]
_RETURNS = {status: place for place, status in enumerate(ReturnStatus)}
_DISPUTES = {status: place for place, status in enumerate(DisputeStatus)}
_DECISIONS: dict[type, tuple[str, ...]] = {
    ReviewDecided: ("allow", "reason"),
    CancelAsked: ("reason",),
    CaptureAsked: ("amount_minor",),
    RefundAsked: ("refund_id", "amount_minor", "reason"),
    RefundRefused: ("refund_id", "code"),
    AttemptGivenUp: ("number", "code"),
    CallPostponed: ("call_id", "tries", "code"),
    DebtCollected: ("amount_minor",),
}

# A capture only grows; of the rest, the newest that the provider told counts. As snapshots are
# joined (domain/payments/snapshots.py).
BOOK = """
insert into payments.movements as m
    (gateway, charge_ref, kind, ref, payment_id, amount_minor, status, place, told_at_ms,
     seen_at_ms)
select * from jsonb_to_recordset($7) as b (gateway text, charge_ref text, kind text, ref text,
    payment_id uuid, amount_minor numeric, status text, place smallint, told_at_ms bigint,
    seen_at_ms bigint)
on conflict (gateway, charge_ref, kind, ref) do update
set amount_minor = excluded.amount_minor, status = excluded.status, place = excluded.place,
    told_at_ms = excluded.told_at_ms, seen_at_ms = excluded.seen_at_ms
where case when m.kind = 'capture' then excluded.amount_minor > m.amount_minor
    else (excluded.told_at_ms, excluded.place, excluded.amount_minor)
        > (m.told_at_ms, m.place, m.amount_minor) end"""
DECIDE = """
insert into payments.decisions (payment_id, number, type, by, detail, at_ms)
select * from jsonb_to_recordset($8) as d (payment_id uuid, number bigint, type text, by text,
    detail jsonb, at_ms bigint)"""


def moved(payment_id: str, event: SnapshotSeen) -> dict[Key, Row]:
    """The movements that a snapshot tells of."""
    told = event.snapshot
    found: dict[Key, Row] = {}
    if told.captured_minor:
        _add(found, payment_id, event, _captured(told))
    for refund in told.refunds:
        _add(found, payment_id, event, _refunded(refund))
    for dispute in told.disputes:
        _add(found, payment_id, event, _disputed(dispute))
    return found


def newer(one: Row | None, other: Row) -> Row:
    """Of two rows of one movement, the one that counts."""
    if one is None:
        return other
    if one["kind"] == "capture":
        return max(one, other, key=lambda row: row["amount_minor"])
    return max(one, other, key=lambda row: (row["told_at_ms"], row["place"], row["amount_minor"]))


def decided(payment_id: str, number: int, event: PaymentEvent) -> Row | None:
    """The decision that a fact is, if it is one."""
    fields = _DECISIONS.get(type(event))
    if fields is None:
        return None
    told: Any = event
    return {
        "payment_id": payment_id,
        "number": number,
        "type": type(event).__name__,
        "by": getattr(event, "by", ""),
        "detail": {name: getattr(event, name) for name in fields},
        "at_ms": told.at_ms,
    }


def _captured(told: Snapshot) -> Row:
    return _row("capture", "", told.captured_minor, "captured", 0, told.at_ms)


def _refunded(one: ProviderRefund) -> Row:
    place = _RETURNS[one.status]
    return _row("refund", one.ref, one.amount_minor, one.status.value, place, one.at_ms)


def _disputed(one: ProviderDispute) -> Row:
    place = _DISPUTES[one.status]
    return _row("dispute", one.ref, one.amount_minor, one.status.value, place, one.at_ms)


def _row(kind: str, ref: str, amount_minor: int, status: str, place: int, told_at_ms: int) -> Row:
    return {
        "kind": kind, "ref": ref, "amount_minor": amount_minor, "status": status, "place": place,
        "told_at_ms": told_at_ms,
    }  # fmt: skip


def _add(found: dict[Key, Row], payment_id: str, event: SnapshotSeen, row: Row) -> None:
    gateway: GatewayName = event.gateway
    charge = {"gateway": gateway.value, "charge_ref": event.snapshot.ref}
    whole = {**charge, **row, "payment_id": payment_id, "seen_at_ms": event.at_ms}
    found[gateway.value, event.snapshot.ref, row["kind"], row["ref"]] = whole
