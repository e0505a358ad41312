"""Claims of one recipient: what a proof must say, what was found out about it, what it is paid.

Whether a proof holds, whether its nullifier was ever spent and whether its root was ever the tree's
are found out before a decision, for a whole batch (`actors/rewards.py`); here it is decided.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from domain.decision import Decision
from domain.policy import BPS, RewardPolicy
from domain.rewards import formula
from domain.rewards.pool_money import drawn, multiplier
from domain.rewards.pool_state import Pool, after, next_epoch
from domain.statement import Signals, element_of, read_signals
from messages.errors import Refusal
from messages.keys import derive_key
from messages.ledger import LedgerTransaction, transfer
from messages.rewards import (
    MAX_CLAIMS,
    PURPOSE_REWARD,
    AlreadyClaimed,
    BadClaims,
    ClaimOutcome,
    ClaimsDecided,
    ClaimsLimited,
    EpochNotOpen,
    GapNotOffered,
    NotYourRecipient,
    PaidClaim,
    PayClaims,
    PayeeKind,
    PoolClosed,
    PoolDepleted,
    PoolEvent,
    PoolNotFound,
    PoolStatus,
    ProofInvalid,
    ProofRejected,
    ProofVerified,
    RejectedClaim,
    RewardPaid,
    RewardPoolDepleted,
    StepNotOffered,
    UnknownProofKey,
    UnknownRoot,
    accrued_account,
    payee_id,
    pool_account,
)

VALID = "valid"
UNKNOWN_KEY = "unknown-key"
ALLOWANCE = "daily-amount"  # the limit that what was admitted leaves no more of


class Finding(msgspec.Struct, frozen=True):
    """What was found out about a claim.

    spent: its nullifier is in the table.  epoch_ended_at_ms: when the epoch ended whose tree had
    its root; None while it has not, or if `root_known` is false.  epoch_known: the pool had it.
    verdict: `valid`, or the verifier's code; empty if it was not asked, as the claim fails anyway.
    """

    spent: bool
    epoch_known: bool
    root_known: bool
    epoch_ended_at_ms: int | None
    verdict: str = ""


class PreparedClaims(msgspec.Struct, frozen=True):
    """The command with a finding for each of its claims. It is none: nobody can send it."""

    asked: PayClaims
    findings: tuple[Finding, ...]


def check_terms(policy: RewardPolicy, user_id: str, signals: Sequence[Signals]) -> None:
    """What claims must say, whatever the proofs are worth.

    Raises BadClaims, NotYourRecipient, GapNotOffered, StepNotOffered.
    """
    if not 1 <= len(signals) <= MAX_CLAIMS:
        raise BadClaims(most=MAX_CLAIMS)
    me = element_of(user_id)
    for claim in signals:
        if claim.recipient != me:
            raise NotYourRecipient
        if claim.max_gap_ms != policy.max_gap_ms:
            raise GapNotOffered(max_gap_ms=policy.max_gap_ms)
        if claim.min_played_ms not in policy.claim_steps_ms:
            raise StepNotOffered


def pay(
    policy: RewardPolicy, state: Pool, command: PreparedClaims, now_ms: int
) -> Decision[PoolEvent]:
    """Pay the claims that hold, in order; the others are told apart by their codes.

    Raises PoolNotFound, PoolClosed, and what `read_signals` and `check_terms` do.
    """
    asked = command.asked
    if state.status is PoolStatus.NONE:
        raise PoolNotFound(pool_id=state.pool_id)
    if state.status is PoolStatus.CLOSED:
        raise PoolClosed(pool_id=state.pool_id)
    signals = [read_signals(claim.signals) for claim in asked.claims]
    check_terms(policy, asked.user_id, signals)
    before = next_epoch(state, now_ms)
    state = after(state, before)
    paying = _Paying(policy, state, asked, now_ms)
    outcomes = tuple(
        paying.one(claim, finding) for claim, finding in zip(signals, command.findings, strict=True)
    )
    facts, moved = _facts(policy, state, asked, outcomes, paying, now_ms)
    answer = ClaimsDecided(
        payment_id=asked.payment_id,
        pool_id=state.pool_id,
        reward_minor=paying.paid_minor,
        multiplier_bps=paying.multiplier_bps,
        tier_bps=policy.tier_bps(asked.tier),
        at_ms=now_ms,
        outcomes=outcomes,
    )
    return Decision((*before, *facts), answer, transactions=moved)


def refusal(outcome: ClaimOutcome) -> Refusal:
    """The refusal that an outcome's code stands for."""
    params = {"verdict": outcome.verdict} if outcome.verdict else {}
    if outcome.code == ClaimsLimited.code:
        params = {"reason": outcome.verdict}
    return _REFUSALS[outcome.code](**params)


def screen(finding: Finding) -> type[Refusal] | None:
    """Why a claim is refused whatever its proof is worth; None if that is what counts."""
    if finding.spent:
        return AlreadyClaimed
    if not finding.epoch_known:
        return EpochNotOpen
    if not finding.root_known:
        return UnknownRoot
    return None


class _Paying:
    """The claims of one command being decided: what was paid so far, what is left to pay."""

    def __init__(self, policy: RewardPolicy, state: Pool, asked: PayClaims, now_ms: int) -> None:
        self._policy, self._state, self._now_ms = policy, state, now_ms
        self._tier = asked.tier
        self._left_minor = asked.allowance_minor
        self._seen: set[int] = set()
        self.multiplier_bps = multiplier(policy, state, now_ms)
        self.paid_minor = 0
        self.depleted = state.status is PoolStatus.DEPLETED
        self.capped = False

    def one(self, signals: Signals, finding: Finding) -> ClaimOutcome:
        """What becomes of the next claim."""
        refused = self._refused(signals, finding)
        if refused is not None:
            code, verdict = refused[0].code, refused[1]
            return self._outcome(signals, code=code, verdict=verdict)
        earned = self._earned(signals.min_played_ms)
        reward = min(earned, self._left_minor)
        if reward <= 0:
            return self._outcome(signals, code=ClaimsLimited.code, verdict=ALLOWANCE)
        if reward > self._state.balance_minor - self.paid_minor:
            self.depleted = True
            return self._outcome(signals, code=PoolDepleted.code)
        self._seen.add(signals.nullifier)
        self._left_minor -= reward
        self.paid_minor += reward
        self.capped = self.capped or reward < earned
        return self._outcome(signals, reward_minor=reward)

    def _refused(self, signals: Signals, finding: Finding) -> tuple[type[Refusal], str] | None:
        found = screen(finding)
        if found is not None:
            return found, ""
        if self._is_spent(signals.nullifier):
            return AlreadyClaimed, ""
        if self._is_over(signals, finding):
            return EpochNotOpen, ""
        if finding.verdict == UNKNOWN_KEY:
            return UnknownProofKey, ""
        if finding.verdict != VALID:
            return ProofInvalid, finding.verdict
        return (PoolDepleted, "") if self.depleted else None

    def _is_spent(self, nullifier: int) -> bool:
        """Whether it was spent by this command, or by one before it in the batch."""
        return nullifier in self._seen or self._state.has_spent(str(nullifier), self._now_ms)

    def _is_over(self, signals: Signals, finding: Finding) -> bool:
        """Whether the epoch ended longer ago than claims are taken."""
        ended = finding.epoch_ended_at_ms
        if ended is None and signals.epoch != self._state.epoch:
            ended = self._state.epoch_started_at_ms  # by this batch, which is not written yet
        return ended is not None and self._now_ms >= ended + self._policy.claim_window_ms

    def _earned(self, played_ms: int) -> int:
        by = formula.factors(
            self._policy,
            played_ms=played_ms,
            tier=self._tier,
            boost_bps=BPS,
            multiplier_bps=self.multiplier_bps,
        )
        return formula.reward_minor(self._policy, played_ms, by)

    @staticmethod
    def _outcome(
        signals: Signals, *, reward_minor: int = 0, code: str = "", verdict: str = ""
    ) -> ClaimOutcome:
        nullifier = str(signals.nullifier)
        return ClaimOutcome(nullifier, signals.min_played_ms, reward_minor, code, verdict)


def _facts(
    policy: RewardPolicy,
    state: Pool,
    asked: PayClaims,
    outcomes: tuple[ClaimOutcome, ...],
    paying: _Paying,
    now_ms: int,
) -> tuple[tuple[PoolEvent, ...], tuple[LedgerTransaction, ...]]:
    paid = [o for o in outcomes if not o.code]
    events: list[PoolEvent] = []
    moved: tuple[LedgerTransaction, ...] = ()
    if paid:
        nullifiers = tuple(o.nullifier for o in paid)
        events.append(ProofVerified(state.pool_id, asked.key_version, nullifiers, now_ms))
        events.append(_paid(policy, state, asked, paid, paying, now_ms))
        events.append(drawn(policy, state, paying.paid_minor, now_ms))
        moved = (_payment(state, asked, paying.paid_minor),)
    if paying.depleted and state.status is PoolStatus.OPEN:
        left = state.balance_minor - paying.paid_minor
        events.append(RewardPoolDepleted(state.pool_id, left, now_ms))
    if len(paid) < len(outcomes):
        rejected = tuple(RejectedClaim(o.nullifier, o.code, o.verdict) for o in outcomes if o.code)
        payment, user = asked.payment_id, asked.user_id
        rejection = ProofRejected(state.pool_id, payment, user, rejected, bool(paid), now_ms)
        events.append(rejection)
    return tuple(events), moved


def _paid(
    policy: RewardPolicy,
    state: Pool,
    asked: PayClaims,
    paid: Sequence[ClaimOutcome],
    paying: _Paying,
    now_ms: int,
) -> RewardPaid:
    return RewardPaid(
        pool_id=state.pool_id,
        user_id=asked.user_id,
        reward_minor=paying.paid_minor,
        multiplier_bps=paying.multiplier_bps,
        tier_bps=policy.tier_bps(asked.tier),
        capped=paying.capped,
        policy_version=policy.version,
        at_ms=now_ms,
        payment_id=asked.payment_id,
        claims=tuple(PaidClaim(o.nullifier, o.min_played_ms, o.reward_minor) for o in paid),
    )


def _payment(state: Pool, asked: PayClaims, amount_minor: int) -> LedgerTransaction:
    return transfer(
        derive_key(PURPOSE_REWARD, asked.payment_id),
        pool_account(state.pool_id),
        accrued_account(payee_id(PayeeKind.USER, asked.user_id)),
        amount_minor,
        cause=f"claim:{asked.payment_id}",
        purpose=PURPOSE_REWARD,
    )


_REFUSALS: dict[str, type[Refusal]] = {
    refused.code: refused
    for refused in (
        AlreadyClaimed,
        EpochNotOpen,
        UnknownRoot,
        UnknownProofKey,
        ProofInvalid,
        ClaimsLimited,
        PoolDepleted,
    )
}
