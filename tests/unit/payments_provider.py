"""A provider of payments in memory, obviously right, whose every answer may get lost.

It keeps the keys of requests as real ones do: the same key again changes nothing. What it tells
unasked (webhooks) goes into a queue that a test may duplicate, drop, delay and reorder.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from messages.payments.gateways import (
    Call,
    CallKind,
    DisputeStatus,
    GatewayName,
    NextAction,
    ProviderDispute,
    ProviderRefund,
    ProviderStatus,
    ReturnStatus,
    Snapshot,
)

HELD = {ProviderStatus.APPROVED, ProviderStatus.AUTHORIZED}
LIVE = {ProviderStatus.REQUIRES_ACTION, ProviderStatus.PROCESSING, *HELD}


class DeclinedError(Exception):
    pass


@dataclass
class Charge:
    ref: str
    amount: int
    status: ProviderStatus = ProviderStatus.REQUIRES_ACTION
    at_ms: int = 0
    captured: int = 0
    refunds: dict[str, ProviderRefund] = field(default_factory=dict)
    disputes: dict[str, ProviderDispute] = field(default_factory=dict)
    captures: int = 0

    def snapshot(self) -> Snapshot:
        action = NextAction(url="https://pay.example") if self.status in LIVE else None
        return Snapshot(
            self.ref,
            self.status,
            self.at_ms,
            self.captured,
            tuple(self.refunds.values()),
            tuple(self.disputes.values()),
            action,
        )

    @property
    def returned(self) -> int:
        done = (r for r in self.refunds.values() if r.status is ReturnStatus.SUCCEEDED)
        return sum(one.amount_minor for one in done)

    @property
    def withheld(self) -> int:
        lost = (d for d in self.disputes.values() if d.status is not DisputeStatus.WON)
        return sum(one.amount_minor for one in lost)

    @property
    def left(self) -> int:
        pending = sum(
            r.amount_minor for r in self.refunds.values() if r.status is ReturnStatus.PENDING
        )
        return self.captured - self.returned - pending - self.withheld


class Provider:
    """One provider. `now` is moved by the test; its clock has a coarse grain, as real ones have."""

    def __init__(self, name: GatewayName, random: Random) -> None:
        self.name, self.random = name, random
        self.now = 1_000
        self.charges: dict[str, Charge] = {}
        self.answers: dict[str, str] = {}
        self.news: list[Snapshot] = []
        self.first: ProviderStatus | None = None  # what a new charge begins with; None: chance

    @property
    def held(self) -> int:
        """What it holds for us."""
        return sum(c.captured - c.returned - c.withheld for c in self.charges.values())

    def perform(self, call: Call) -> Snapshot:
        """Do what is asked, once a key. Raises Declined."""
        if call.key in self.answers and call.kind is not CallKind.FETCH:
            return self.charges[self.answers[call.key]].snapshot()
        charge = self._do(call)
        self.answers[call.key] = charge.ref
        return charge.snapshot()

    def _do(self, call: Call) -> Charge:
        if call.kind is CallKind.CREATE:
            if self.random.random() < 0.1:
                raise DeclinedError
            charge = Charge(f"ch_{self.name}_{len(self.charges)}", call.amount_minor)
            self.charges[charge.ref] = charge
            begun = self.random.choice([*sorted(LIVE), ProviderStatus.CAPTURED])
            self.move(charge, self.first or begun)
            return charge
        charge = self.charges[call.ref]
        if call.kind is CallKind.AUTHORIZE:
            if charge.status is not ProviderStatus.APPROVED or self.random.random() < 0.1:
                raise DeclinedError
            self.move(charge, ProviderStatus.AUTHORIZED)
        elif call.kind is CallKind.CAPTURE:
            if charge.status not in HELD:
                raise DeclinedError
            self.move(charge, ProviderStatus.CAPTURED, call.amount_minor)
        elif call.kind is CallKind.CANCEL:
            if charge.captured:
                raise DeclinedError
            self.move(charge, ProviderStatus.CANCELLED)
        elif call.kind is CallKind.REFUND:
            if call.amount_minor > charge.left or self.random.random() < 0.1:
                raise DeclinedError
            self._refund(charge, call.amount_minor, call.refund_id)
        return charge

    def move(self, charge: Charge, status: ProviderStatus, amount: int | None = None) -> None:
        charge.status, charge.at_ms = status, self.now // 1_000 * 1_000
        if status is ProviderStatus.CAPTURED:
            charge.captured = charge.amount if amount is None else amount
            charge.captures += 1
        self.tell(charge)

    def _refund(self, charge: Charge, amount: int, refund_id: str) -> None:
        ref = f"re_{len(charge.refunds)}"
        status = self.random.choice([ReturnStatus.PENDING, ReturnStatus.SUCCEEDED])
        at_ms = self.now // 1_000 * 1_000
        charge.refunds[ref] = ProviderRefund(ref, amount, status, at_ms, refund_id)
        self.tell(charge)

    def tell(self, charge: Charge) -> None:
        self.news.append(charge.snapshot())

    # --- what happens by itself -------------------------------------------------------------------

    def happen(self) -> None:
        """Something that nobody here asked for."""
        if not self.charges:
            return
        charge = self.random.choice(list(self.charges.values()))
        at_ms = self.now // 1_000 * 1_000
        pending = [r for r in charge.refunds.values() if r.status is ReturnStatus.PENDING]
        if charge.status in LIVE:
            steps = [ProviderStatus.AUTHORIZED, ProviderStatus.CAPTURED, ProviderStatus.FAILED]
            if charge.status not in HELD:
                steps.append(ProviderStatus.APPROVED)
            self.move(charge, self.random.choice(steps))
        elif pending:
            one = pending[0]
            status = self.random.choice([ReturnStatus.SUCCEEDED, ReturnStatus.FAILED])
            charge.refunds[one.ref] = ProviderRefund(
                one.ref, one.amount_minor, status, at_ms, one.refund_id
            )
            self.tell(charge)
        elif charge.left > 0 and self.random.random() < 0.3:
            self._refund(charge, self.random.randint(1, charge.left), "")
        elif charge.left > 0 and not charge.disputes and self.random.random() < 0.5:
            charge.disputes["dp"] = ProviderDispute("dp", charge.left, DisputeStatus.OPEN, at_ms)
            self.tell(charge)
        elif charge.disputes:
            one_dispute = charge.disputes["dp"]
            if one_dispute.status is DisputeStatus.OPEN:
                status_after = self.random.choice([DisputeStatus.WON, DisputeStatus.LOST])
                charge.disputes["dp"] = ProviderDispute(
                    "dp", one_dispute.amount_minor, status_after, at_ms
                )
                self.tell(charge)
