"""Comparing a provider's books with ours: what is compared, what may differ or be refused."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from messages.errors import Conflict, Invalid, NotFound
from messages.payments.gateways import GatewayName
from messages.payments.records import EntryKind


class DifferenceKind(StrEnum):
    """In what a provider's books and ours differ."""

    MISSING_HERE = "missing-here"
    MISSING_THERE = "missing-there"
    AMOUNT_DIFFERS = "amount-differs"
    CURRENCY_DIFFERS = "currency-differs"
    UNKNOWN_CHARGE = "unknown-charge"
    FEE_UNEXPECTED = "fee-unexpected"
    STILL_OPEN = "still-open"
    DUPLICATE = "duplicate"


class DifferenceState(StrEnum):
    """What became of a difference: `healed` by telling the payment's owner, `resolved` by itself,
    `explained` by a person.
    """

    OPEN = "open"
    HEALED = "healed"
    RESOLVED = "resolved"
    EXPLAINED = "explained"


class RunState(StrEnum):
    """How far a comparison is."""

    WAITING = "waiting"
    READING = "reading"
    COMPARING = "comparing"
    DONE = "done"
    FAILED = "failed"


class Movement(msgspec.Struct, frozen=True, omit_defaults=True):
    """A movement of money at a provider, as far as we know. Signs as in ProviderEntry.

    pending: the provider has told of it, and not yet that it took place.  at_ms: when we saw it.
    """

    kind: EntryKind
    charge_ref: str
    payment_id: str
    amount_minor: int
    currency: str
    at_ms: int
    ref: str = ""
    pending: bool = False


class Difference(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the two do not say the same. An amount is 0 on the side that has nothing.

    ref: of the provider's entry, or of ours where there is none.  at_ms: of the movement.
    payment_id: ours, if it is one of ours.
    """

    kind: DifferenceKind
    entry_kind: EntryKind
    charge_ref: str
    ref: str
    payment_id: str
    at_ms: int
    ours_minor: int = 0
    our_currency: str = ""
    theirs_minor: int = 0
    their_currency: str = ""


class Run(msgspec.Struct, frozen=True):
    """A comparison, and how far it is. `after`: the last charge that was compared."""

    run_id: str
    gateway: GatewayName
    since_ms: int
    until_ms: int
    asked_by: str
    asked_at_ms: int
    state: RunState
    started_at_ms: int | None
    ended_at_ms: int | None
    entries: int
    charges: int
    after: str
    totals: dict[str, list[int]]
    failures: int
    error: str


class Report(msgspec.Struct, frozen=True):
    """What a comparison came to. `totals`: by currency, ours and theirs, in minor units.

    counts: differences by their kind.
    """

    run_id: str
    gateway: GatewayName
    since_ms: int
    until_ms: int
    asked_by: str
    entries: int
    charges: int
    totals: dict[str, list[int]]
    counts: dict[str, int]
    started_at_ms: int
    duration_ms: int
    at_ms: int


class KeptDifference(msgspec.Struct, frozen=True):
    """A difference as it is kept."""

    difference_id: str
    run_id: str
    gateway: GatewayName
    found: Difference
    found_at_ms: int
    state: DifferenceState


class ReconciliationNotFound(NotFound):
    """There is no such comparison."""

    code = "reconciliation-not-found"


class DifferenceNotFound(NotFound):
    """There is no such difference."""

    code = "difference-not-found"


class DifferenceSettled(Conflict):
    """This difference is not open any more."""

    code = "difference-settled"


class BooksNotRead(NotFound):
    """The books of this provider cannot be read here."""

    code = "provider-books-unknown"


class BadPeriod(Invalid):
    """A period is of whole days that are over, 31 at most."""

    code = "reconciliation-period-invalid"
