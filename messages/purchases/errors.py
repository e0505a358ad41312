"""Purchases: what may be refused."""

from __future__ import annotations

from messages.errors import Conflict, Invalid, NotFound


class PurchaseNotFound(NotFound):
    """There is no such purchase of yours."""

    code = "purchase-not-found"


class PurchaseExists(Conflict):
    """This purchase was started before."""

    code = "purchase-exists"


class BadOrder(Invalid):
    """A fact about the purchase is out of range; `field` says which."""

    code = "purchase-order-invalid"


class PurchaseStateForbids(Conflict):
    """The purchase is in a state that forbids this; `status` says which."""

    code = "purchase-state-forbids"


class RefundTooLate(Conflict):
    """Buyers take a purchase back within `days` days."""

    code = "purchase-refund-too-late"


class PaymentOfPurchase(Conflict):
    """The payment is for a purchase: ask for the refund of that."""

    code = "payment-of-purchase"
