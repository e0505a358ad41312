"""Payments: what may be refused."""

from __future__ import annotations

from messages.errors import Conflict, Forbidden, Invalid, NotFound


class PaymentNotFound(NotFound):
    """There is no such payment of yours."""

    code = "payment-not-found"


class PaymentExists(Conflict):
    """This payment was started before."""

    code = "payment-exists"


class BadPaymentAmount(Invalid):
    """A payment is above zero and at most a million units of a currency that can be paid in."""

    code = "payment-amount-invalid"


class PayerIsPayee(Invalid):
    """Nobody pays themselves."""

    code = "payer-is-payee"


class MethodNotOffered(Invalid):
    """This currency cannot be paid in by this method."""

    code = "payment-method-not-offered"


class CaptureNotOffered(Invalid):
    """Payments by this method are taken at once: none is authorised now and taken later."""

    code = "payment-capture-not-offered"


class PaymentAmountTooFine(Invalid):
    """Amounts of payments and refunds by this method are multiples of a step of minor units."""

    code = "payment-amount-too-fine"


class PaymentDenied(Forbidden):
    """This payment cannot be taken. Support can tell why."""

    code = "payment-denied"


class PaymentStateForbids(Conflict):
    """The payment is not in a state in which this can be done."""

    code = "payment-state-forbids"


class RefundTooLarge(Conflict):
    """More than what is left of the payment cannot be refunded."""

    code = "refund-too-large"


class CaptureTooLarge(Conflict):
    """More than what was authorised cannot be captured."""

    code = "capture-too-large"


class AmountWithoutCurrency(Invalid):
    """Amounts are compared within a currency: say which."""

    code = "amount-without-currency"
