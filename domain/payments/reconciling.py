"""Compares a provider's books with what we know of it, charge by charge.

A provider's entries and our movements have no number in common, so they are matched by what they
are: kind, amount and currency, the oldest first. What a provider took back (a refund that failed, a
dispute that was won) first cancels what it took back of. Then

    left over on both sides              amount-differs, or currency-differs
    left over at the provider            missing-here, duplicate, still-open or unknown-charge
    left over at ours                    missing-there, or still-open while it is young
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from domain.payments.policy import POLICY, PaymentPolicy
from domain.payments.routing import cost_minor
from messages.keys import derive_id
from messages.money import MINOR_DIGITS
from messages.payments.gateways import GatewayName
from messages.payments.reconciliations import (
    Difference,
    DifferenceKind,
    Movement,
    Run,
    RunState,
)
from messages.payments.records import EntryKind, ProviderEntry

GRACE_MS = 3_600_000  # younger things may still be on their way to either side
FEE_TOLERANCE = 1  # minor unit: providers round in their own ways
UNDONE = {
    EntryKind.CAPTURE: None,
    EntryKind.REFUND: EntryKind.REFUND_FAILED,
    EntryKind.DISPUTE: EntryKind.DISPUTE_WON,
}
HEALED_BY_LOOKING = frozenset(
    {
        DifferenceKind.MISSING_HERE,
        DifferenceKind.MISSING_THERE,
        DifferenceKind.AMOUNT_DIFFERS,
        DifferenceKind.DUPLICATE,
    }
)


class Charge(msgspec.Struct, frozen=True):
    """Both sides of a charge. `payment_id`: empty if it is none of ours."""

    gateway: GatewayName
    ref: str
    payment_id: str
    ours: Sequence[Movement]
    theirs: Sequence[ProviderEntry]


def compare(charge: Charge, now_ms: int, policy: PaymentPolicy = POLICY) -> list[Difference]:
    """All differences of a charge."""
    found: list[Difference] = []
    for kind, undone in UNDONE.items():
        found += _Family(charge, kind, undone, now_ms).differences()
    return found + _fees(charge, policy)


def wanted(
    gateway: GatewayName, since_ms: int, until_ms: int, asked_by: str, now_ms: int, key: str = ""
) -> Run:
    """A comparison to be made: the same one for the same period, asker and key."""
    run_id = derive_id("reconciliation", gateway.value, since_ms, until_ms, asked_by, key)
    return Run(
        run_id, gateway, since_ms, until_ms, asked_by, now_ms, RunState.WAITING, None, None,
        0, 0, "", {}, 0, "",
    )  # fmt: skip


def totals(
    theirs: Sequence[ProviderEntry], differences: Sequence[Difference]
) -> dict[str, list[int]]:
    """Ours and theirs by currency: what matched is the same on both sides, the rest differs."""
    found: dict[str, list[int]] = {}
    for entry in theirs:
        sums = found.setdefault(entry.currency, [0, 0])
        sums[0] += entry.amount_minor
        sums[1] += entry.amount_minor
    for one in differences:
        if one.kind is DifferenceKind.FEE_UNEXPECTED:
            continue
        if one.their_currency:
            found.setdefault(one.their_currency, [0, 0])[0] -= one.theirs_minor
        if one.our_currency:
            found.setdefault(one.our_currency, [0, 0])[0] += one.ours_minor
    return found


class _Family:
    """The movements of one kind of a charge, on both sides, and what is left of them unmatched."""

    def __init__(
        self, charge: Charge, kind: EntryKind, undone: EntryKind | None, now_ms: int
    ) -> None:
        self._charge, self._kind, self._now_ms = charge, kind, now_ms
        mine = sorted((m for m in charge.ours if m.kind is kind), key=lambda m: (m.at_ms, m.ref))
        self._pending = [one for one in mine if one.pending]
        self._ours = [one for one in mine if not one.pending]
        self._theirs = _standing(charge.theirs, kind, undone)
        self._matched: set[tuple[int, str]] = set()
        if kind is EntryKind.CAPTURE:
            self._join_parts()
        self._match()

    def differences(self) -> list[Difference]:
        """What is left, told."""
        found = [self._extra(entry) for entry in self._theirs]
        return found + [self._lacking(movement) for movement in self._ours]

    def _join_parts(self) -> None:
        """What was taken in parts is one sum at ours."""
        parts = self._theirs
        if len(parts) < 2 or len(self._ours) != 1:
            return
        (ours,) = self._ours
        if {one.currency for one in parts} == {ours.currency} and ours.amount_minor == sum(
            one.amount_minor for one in parts
        ):
            self._theirs, self._ours = [], []

    def _match(self) -> None:
        left: list[ProviderEntry] = []
        for entry in self._theirs:
            twin = next((m for m in self._ours if _name(m) == _name(entry)), None)
            if twin is None:
                left.append(entry)
            else:
                self._ours.remove(twin)
                self._matched.add(_name(entry))
        self._theirs = left

    def _extra(self, entry: ProviderEntry) -> Difference:
        """An entry of theirs that has no twin; with ours that it may have been meant to be."""
        told = Difference(
            DifferenceKind.MISSING_HERE, self._kind, entry.charge_ref, entry.ref,
            self._charge.payment_id, entry.at_ms,
            theirs_minor=entry.amount_minor, their_currency=entry.currency,
        )  # fmt: skip
        if not self._charge.payment_id:
            return replace(told, kind=DifferenceKind.UNKNOWN_CHARGE)
        other = self._nearest(entry)
        if other is not None:
            self._ours.remove(other)
            same = other.currency == entry.currency
            kind = DifferenceKind.AMOUNT_DIFFERS if same else DifferenceKind.CURRENCY_DIFFERS
            ours, currency = other.amount_minor, other.currency
            return replace(told, kind=kind, ours_minor=ours, our_currency=currency)
        young = self._now_ms - entry.at_ms < GRACE_MS
        if young or any(_name(one) == _name(entry) for one in self._pending):
            return replace(told, kind=DifferenceKind.STILL_OPEN)
        if _name(entry) in self._matched:
            return replace(told, kind=DifferenceKind.DUPLICATE)
        return told

    def _nearest(self, entry: ProviderEntry) -> Movement | None:
        same_amount = [m for m in self._ours if m.amount_minor == entry.amount_minor]
        same_currency = [m for m in self._ours if m.currency == entry.currency]
        return next(iter([*same_amount, *same_currency, *self._ours]), None)

    def _lacking(self, movement: Movement) -> Difference:
        young = self._now_ms - movement.at_ms < GRACE_MS
        return Difference(
            DifferenceKind.STILL_OPEN if young else DifferenceKind.MISSING_THERE,
            self._kind, movement.charge_ref, movement.ref, movement.payment_id, movement.at_ms,
            ours_minor=movement.amount_minor, our_currency=movement.currency,
        )  # fmt: skip


def _standing(
    entries: Sequence[ProviderEntry], kind: EntryKind, undone: EntryKind | None
) -> list[ProviderEntry]:
    """The entries of a kind that were not taken back, the oldest first."""
    ordered = sorted(entries, key=lambda entry: (entry.at_ms, entry.ref))
    found = [one for one in ordered if one.kind is kind]
    for one in ordered:
        if one.kind is not undone:
            continue
        name = -one.amount_minor, one.currency
        taken_back = next((each for each in found if _name(each) == name), None)
        if taken_back is not None:
            found.remove(taken_back)
    return found


def _fees(charge: Charge, policy: PaymentPolicy) -> list[Difference]:
    """Fees that are not what the policy reckons with."""
    if not charge.payment_id:
        return []
    return [
        Difference(
            DifferenceKind.FEE_UNEXPECTED, entry.kind, entry.charge_ref, entry.ref,
            charge.payment_id, entry.at_ms,
            ours_minor=expected, our_currency=entry.currency,
            theirs_minor=entry.fee_minor, their_currency=entry.currency,
        )
        for entry in charge.theirs
        if entry.kind is EntryKind.CAPTURE
        and entry.currency in MINOR_DIGITS
        and abs(entry.fee_minor - (expected := _cost(charge, entry, policy))) > FEE_TOLERANCE
    ]  # fmt: skip


def _cost(charge: Charge, entry: ProviderEntry, policy: PaymentPolicy) -> int:
    return cost_minor(charge.gateway, entry.amount_minor, entry.currency, policy)


def _name(one: Movement | ProviderEntry) -> tuple[int, str]:
    return one.amount_minor, one.currency
