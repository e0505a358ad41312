"""What ventures may answer instead of a result."""

from __future__ import annotations

from messages.errors import Conflict, Forbidden, Invalid, NotFound


class VentureNotFound(NotFound):
    """There is no such venture."""

    code = "venture-not-found"


class VentureExists(Conflict):
    """This venture was drafted before."""

    code = "venture-exists"


class BadVenture(Invalid):
    """A term of the venture is out of range; `field` says which."""

    code = "venture-invalid"


class NotYourVenture(Forbidden):
    """Only the artist of the venture may do this."""

    code = "venture-not-yours"


class VentureStateForbids(Conflict):
    """The venture is in a state that forbids this; `status` says which."""

    code = "venture-state-forbids"


class BadInvestment(Invalid):
    """A fact about the investment is out of range; `field` says which, `least_minor` the least."""

    code = "investment-invalid"


class InvestorLimit(Conflict):
    """You would have more in the venture than one may; `left_minor` more is allowed."""

    code = "venture-investor-limit"


class VentureFull(Conflict):
    """The round takes no more than its cap; `left_minor` is left of it."""

    code = "venture-full"


class OwnVenture(Conflict):
    """An artist does not invest in the artist's own venture."""

    code = "venture-own"


class InvestmentNotFound(NotFound):
    """You have no such investment in this venture."""

    code = "investment-not-found"


class InvestmentExists(Conflict):
    """Another investment has this id."""

    code = "investment-exists"


class InvestmentIsFinal(Conflict):
    """The venture is funded: the artist has the money."""

    code = "investment-final"


class BenefitNotFound(NotFound):
    """This investor was not promised this."""

    code = "benefit-not-found"


class BenefitStateForbids(Conflict):
    """The benefit is in a state that forbids this; `status` says which."""

    code = "benefit-state-forbids"
