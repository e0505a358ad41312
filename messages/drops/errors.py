"""What drops may answer instead of a result."""

from __future__ import annotations

from messages.errors import Conflict, Forbidden, Invalid, NotFound


class DropNotFound(NotFound):
    """There is no such drop."""

    code = "drop-not-found"


class DropExists(Conflict):
    """This drop was drafted before."""

    code = "drop-exists"


class BadDrop(Invalid):
    """A term of the drop is out of range; `field` says which."""

    code = "drop-invalid"


class NotYourDrop(Forbidden):
    """Only the artist of the drop may do this."""

    code = "drop-not-yours"


class DropStateForbids(Conflict):
    """The drop is in a state that forbids this; `status` says which."""

    code = "drop-state-forbids"


class DropSoldOut(Conflict):
    """All tokens are sold."""

    code = "drop-sold-out"


class NotEnoughTokens(Conflict):
    """`left` tokens are free; `reserved` others may come free again."""

    code = "drop-not-enough-left"


class TokenCap(Conflict):
    """You would have more than the `cap` that one user may buy; `left` more are allowed."""

    code = "drop-token-cap"


class OwnDrop(Conflict):
    """An artist does not buy from the artist's own drop."""

    code = "drop-own"


class BadReservation(Invalid):
    """A fact about the reservation is out of range; `field` says which."""

    code = "reservation-invalid"


class ReservationNotFound(NotFound):
    """The drop keeps no such reservation: it lapsed, was released, or never was."""

    code = "reservation-not-found"


class ReservationExists(Conflict):
    """Another reservation has this id."""

    code = "reservation-exists"


class ReservationIsPurchased(Conflict):
    """The reserved tokens are bought; they could only be returned."""

    code = "reservation-purchased"


class ReservationNotPurchased(Conflict):
    """The tokens are not bought yet; the reservation could only be released."""

    code = "reservation-not-purchased"
