"""What rewards may answer instead of a result."""

from __future__ import annotations

from messages.errors import Conflict, Invalid, NotFound


class PoolNotFound(NotFound):
    """There is no such reward pool."""

    code = "reward-pool-not-found"


class PoolExists(Conflict):
    """This reward pool was opened before."""

    code = "reward-pool-exists"


class PoolClosed(Conflict):
    """This reward pool is closed."""

    code = "reward-pool-closed"


class BadPool(Invalid):
    """A fact about the reward pool is out of range."""

    code = "reward-pool-invalid"


class BadAmount(Invalid):
    """The amount must be positive and within the limit."""

    code = "reward-amount-invalid"


class BadListen(Invalid):
    """A fact about the listen to reward is out of range."""

    code = "listen-invalid"


class ListenKnown(Conflict):
    """This listen was admitted before."""

    code = "listen-known"


class ListenUnknown(NotFound):
    """This listen was not admitted, or is settled."""

    code = "listen-unknown"
