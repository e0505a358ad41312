"""Claims: proofs that a listen was the claimer's, and what becomes of them.

Numbers of the field travel as decimal texts, as snarkjs writes them.
"""

from __future__ import annotations

import msgspec

from messages.listening import Tier

MAX_CLAIMS = 32  # of a request


class Claim(msgspec.Struct, frozen=True):
    """A proof as it came. proof: snarkjs's JSON.  signals: the public signals, in their order."""

    proof: bytes
    signals: tuple[str, ...]


class PayClaims(msgspec.Struct, frozen=True, tag=True):
    """Verify claims and pay those that hold to their one recipient, at most `allowance_minor`.

    payment_id: of all that is paid for this command.  key_version: names the verification key.
    """

    payment_id: str
    user_id: str
    tier: Tier
    allowance_minor: int
    key_version: str
    claims: tuple[Claim, ...]


class ClaimOutcome(msgspec.Struct, frozen=True):
    """What became of a claim. code: empty if it was paid, else that of the refusal.

    verdict: of the verifier, where the proof was refused; a limit's name, where one was reached.
    """

    nullifier: str
    min_played_ms: int
    reward_minor: int = 0
    code: str = ""
    verdict: str = ""


class ClaimsDecided(msgspec.Struct, frozen=True, tag=True):
    """The answer: an outcome for each claim, in order, and what was paid for all together."""

    payment_id: str
    pool_id: str
    reward_minor: int
    multiplier_bps: int
    tier_bps: int
    at_ms: int
    outcomes: tuple[ClaimOutcome, ...]


class PaidClaim(msgspec.Struct, frozen=True):
    """A claim that was paid. `min_played_ms` is what was proved, and what the reward is for."""

    nullifier: str
    min_played_ms: int
    reward_minor: int


class RejectedClaim(msgspec.Struct, frozen=True):
    """A claim that was not paid: its nullifier is as spent or unspent as before."""

    nullifier: str
    code: str
    verdict: str


class RewardPaid(msgspec.Struct, frozen=True, tag=True):
    """Public: a pool paid proved listens into the listener's accrued balance.

    It names neither song nor session: the pool does not know them. Facts from before proofs have
    no payment.
    """

    pool_id: str
    user_id: str
    reward_minor: int
    multiplier_bps: int
    tier_bps: int
    capped: bool
    policy_version: int
    at_ms: int
    payment_id: str = ""
    claims: tuple[PaidClaim, ...] = ()


class ProofVerified(msgspec.Struct, frozen=True, tag=True):
    """Public, and says nothing of who was paid: these proofs hold, their nullifiers are spent."""

    pool_id: str
    key_version: str
    nullifiers: tuple[str, ...]
    at_ms: int


class ProofRejected(msgspec.Struct, frozen=True, tag=True):
    """Public, to the claimer: these claims were refused. paid: whether others of the same were not.

    Where nothing of a payment was paid, its admission is released.
    """

    pool_id: str
    payment_id: str
    user_id: str
    claims: tuple[RejectedClaim, ...]
    paid: bool
    at_ms: int
