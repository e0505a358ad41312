"""What rewards may answer instead of a result."""

from __future__ import annotations

from messages.errors import Conflict, Forbidden, Invalid, Limited, NotFound


class PoolNotFound(NotFound):
    """There is no such reward pool."""

    code = "reward-pool-not-found"


class PoolExists(Conflict):
    """This reward pool was opened before."""

    code = "reward-pool-exists"


class PoolClosed(Conflict):
    """This reward pool is closed."""

    code = "reward-pool-closed"


class PoolDepleted(Conflict):
    """This reward pool cannot pay in full; claim again once it is funded."""

    code = "reward-pool-depleted"


class NothingToReturn(Conflict):
    """The pool has nothing left that could be given back."""

    code = "reward-pool-nothing-left"


class BadPool(Invalid):
    """A fact about the reward pool is out of range."""

    code = "reward-pool-invalid"


class BadAmount(Invalid):
    """The amount must be positive and within the limit."""

    code = "reward-amount-invalid"


class BadListen(Invalid):
    """A fact about the listen to reward is out of range."""

    code = "listen-invalid"


class EpochNotFound(NotFound):
    """The pool has no such reward epoch."""

    code = "reward-epoch-not-found"


# --- claims -------------------------------------------------------------------------------------


class BadSignals(Invalid):
    """The public signals are six decimal numbers below the order of the BN254 scalar field."""

    code = "claim-signals-malformed"


class BadClaims(Invalid):
    """A request holds at least one claim, and no more than the limit."""

    code = "claim-count-invalid"


class NotYourRecipient(Forbidden):
    """The proof pays somebody else: its recipient is not you."""

    code = "claim-not-your-recipient"


class GapNotOffered(Invalid):
    """The proof is about another longest gap than the policy's; `max_gap_ms` is the policy's."""

    code = "claim-gap-not-offered"


class StepNotOffered(Invalid):
    """The proof's shortest played time is none of the policy's steps."""

    code = "claim-step-not-offered"


class UnknownProofKey(Invalid):
    """There is no verification key of this version."""

    code = "claim-key-unknown"


class EpochNotOpen(Conflict):
    """Listens of this epoch can no longer be claimed, or the pool has no such epoch."""

    code = "claim-epoch-not-open"


class UnknownRoot(Conflict):
    """The tree of this pool and epoch never had this root."""

    code = "claim-root-unknown"


class AlreadyClaimed(Conflict):
    """This listen was claimed before: its nullifier is spent."""

    code = "claim-already-paid"


class ProofInvalid(Invalid):
    """The proof does not hold; `verdict` says why."""

    code = "claim-proof-invalid"


class ClaimsLimited(Limited):
    """A limit of the day is reached; `reason` says which."""

    code = "claim-limit-reached"


class ClaimKnown(Conflict):
    """This payment was admitted before."""

    code = "claim-payment-known"


class ClaimUnknown(NotFound):
    """This payment was not admitted, or is settled."""

    code = "claim-payment-unknown"
