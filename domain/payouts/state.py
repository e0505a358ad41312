"""A payout's state: what was asked, what the provider said, what is still to be asked."""

from __future__ import annotations

import msgspec

from messages.payments.payments import Assessment, Verdict
from messages.payments.payout_orders import PayoutProgress, PayoutProvider, PayoutSnapshot
from messages.payments.payouts import PayoutCall, PayoutStatus, RequestPayout


class Payout(msgspec.Struct, frozen=True, omit_defaults=True):
    """A payout. `asked` None: it was not requested.

    call: what has no answer yet.  sent: the provider was asked to send it.
    declined: why it will not, while it is looked for.  given_up: nothing was sent, nor will be.
    moves: how many facts there are, which numbers its ledger transactions.
    """

    payout_id: str
    asked: RequestPayout | None = None
    provider: PayoutProvider = PayoutProvider.STRIPE
    charged_minor: int = 0
    assessment: Assessment = Assessment(Verdict.ALLOW)
    created_at_ms: int = 0
    changed_at_ms: int = 0
    status: PayoutStatus = PayoutStatus.REQUESTED
    on_hold: bool = False
    cancelled: bool = False
    sent: bool = False
    declined: str = ""
    given_up: bool = False
    call: PayoutCall | None = None
    seen: PayoutSnapshot | None = None
    failure: str = ""
    moves: int = 0

    @property
    def ref(self) -> str:
        """The provider's id of it; empty if that is not known."""
        return self.seen.ref if self.seen else ""

    @property
    def is_out(self) -> bool:
        """Whether the provider says that the money is with its receiver."""
        return self.seen is not None and self.seen.progress is PayoutProgress.PAID
