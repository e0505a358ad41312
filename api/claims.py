"""Claims of rewards: a proof in, a payment out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.auth import Claimer, public
from api.idempotency import KeyHeader, command_key
from api.inputs import Input
from api.openapi import problems
from api.services import EntityHandle, Services, ServicesDep
from domain.rewards.claims import check_terms, refusal
from domain.rewards.tree import DEPTH
from domain.statement import ROWS, read_signals
from domain.users import tier_of
from integrations.tokens import Claims
from messages.errors import Refusal, VibeStreamError
from messages.keys import derive_id, derive_key
from messages.rewards import (
    CURRENCY,
    MAX_CLAIMS,
    AdmitClaims,
    Claim,
    ClaimOutcome,
    ClaimsAdmitted,
    ClaimsDecided,
    ClaimsLimited,
    PayClaims,
    ReleaseClaims,
)
from messages.users import UserNotFound
from storage import users as users_storage

router = APIRouter(prefix="/api/v1/rewards", tags=["rewards"])

CLAIM = "POST /api/v1/rewards/claims"
CLAIM_MANY = "POST /api/v1/rewards/claims/batch"
MAX_DIGITS = 80  # of a number of the field, before its rule is asked
SIGNALS = 6

Number = Annotated[str, Field(max_length=MAX_DIGITS)]
Point = Annotated[list[Number], Field(min_length=3, max_length=3)]
Pair = Annotated[list[Number], Field(min_length=2, max_length=2)]
Version = Annotated[str, Field(min_length=1, max_length=64, examples=["listen-v1"])]


class Groth16Proof(Input):
    """A proof as snarkjs writes it: points of BN254, decimal, projective."""

    pi_a: Point
    pi_b: Annotated[list[Pair], Field(min_length=3, max_length=3)]
    pi_c: Point
    protocol: str = Field("groth16", max_length=16)
    curve: str = Field("bn128", max_length=16)


class ProvedClaim(Input):
    """A claim: that a listen of the pool's epoch was the caller's, and how long it was at least."""

    proof: Groth16Proof
    public_signals: Annotated[
        list[Number],
        Field(
            min_length=SIGNALS,
            max_length=SIGNALS,
            description="nullifier, root, min_played_ms, max_gap_ms, recipient, epoch: decimal, in "
            "this order. The recipient is the caller's user id as a number.",
        ),
    ]


class ClaimReward(ProvedClaim):
    """One claim."""

    pool_id: UUID
    key_version: Version


class ClaimRewards(Input):
    """Up to 32 claims on one pool."""

    pool_id: UUID
    key_version: Version
    claims: Annotated[list[ProvedClaim], Field(min_length=1, max_length=MAX_CLAIMS)]


class ClaimTerms(BaseModel):
    """What a claim may say, and under which key it is verified."""

    key_versions: list[str] = Field(description="Verification keys that are known, by version.")
    steps_ms: list[int] = Field(description="What `min_played_ms` may be: prove the longest.")
    max_gap_ms: int = Field(description="What `max_gap_ms` must be.")
    window_ms: int = Field(description="How long after its end an epoch can be claimed.")
    rows: int = Field(description="Beats of a stretch, which has a leaf of its own.")
    tree_depth: int


class PaidReward(BaseModel):
    """A claim that was paid into the caller's accrued balance."""

    payment_id: UUID
    pool_id: UUID
    nullifier: str
    min_played_ms: int = Field(description="What was proved, and what the reward is for.")
    amount_minor: int
    currency: str = CURRENCY
    multiplier_bps: int
    tier_bps: int
    at_ms: int


class ClaimResult(BaseModel):
    """What became of a claim of several."""

    nullifier: str
    min_played_ms: int
    amount_minor: int = Field(description="0 if it was refused.")
    code: str | None = Field(description="Why it was refused; null if it was paid.")
    detail: str | None = Field(description="The verifier's verdict, or the limit reached.")


class ClaimResults(BaseModel):
    """What became of several claims, in the order they came in."""

    payment_id: UUID
    pool_id: UUID
    amount_minor: int
    currency: str = CURRENCY
    multiplier_bps: int
    tier_bps: int
    at_ms: int
    results: list[ClaimResult]


@router.get("/claims/terms")
@public
async def get_claim_terms(services: ServicesDep) -> ClaimTerms:
    """What a claim may say."""
    policy = services.reward_policy
    return ClaimTerms(
        key_versions=list(services.key_versions),
        steps_ms=list(policy.claim_steps_ms),
        max_gap_ms=policy.max_gap_ms,
        window_ms=policy.claim_window_ms,
        rows=ROWS,
        tree_depth=DEPTH,
    )


@router.post("/claims", status_code=201, responses=problems(401, 403, 404, 409, 429))
async def claim_reward(
    body: ClaimReward, key: KeyHeader, subject: Claimer, services: ServicesDep
) -> PaidReward:
    """Claim the reward of a listen by its proof. Refused, nothing has changed.

    Sent again with the same key it answers the same.
    """
    command = command_key(subject.user_id, CLAIM, key)
    decided = await _decide(services, subject, command, body, [body])
    [outcome] = decided.outcomes
    if outcome.code:
        raise refusal(outcome)
    return PaidReward(
        payment_id=UUID(decided.payment_id),
        pool_id=UUID(decided.pool_id),
        nullifier=outcome.nullifier,
        min_played_ms=outcome.min_played_ms,
        amount_minor=outcome.reward_minor,
        multiplier_bps=decided.multiplier_bps,
        tier_bps=decided.tier_bps,
        at_ms=decided.at_ms,
    )


@router.post("/claims/batch", responses=problems(401, 403, 404, 409, 429))
async def claim_rewards(
    body: ClaimRewards, key: KeyHeader, subject: Claimer, services: ServicesDep
) -> ClaimResults:
    """Claim the rewards of several listens at once: they are verified together.

    Each has an outcome of its own; what all of them say wrongly (recipient, gap, step) refuses the
    whole request. Sent again with the same key it answers the same.
    """
    command = command_key(subject.user_id, CLAIM_MANY, key)
    decided = await _decide(services, subject, command, body, body.claims)
    return ClaimResults(
        payment_id=UUID(decided.payment_id),
        pool_id=UUID(decided.pool_id),
        amount_minor=decided.reward_minor,
        multiplier_bps=decided.multiplier_bps,
        tier_bps=decided.tier_bps,
        at_ms=decided.at_ms,
        results=[_result(outcome) for outcome in decided.outcomes],
    )


async def _decide(
    services: Services,
    subject: Claims,
    command: bytes,
    body: ClaimReward | ClaimRewards,
    proved: Sequence[ProvedClaim],
) -> ClaimsDecided:
    """Admit by the limits of the caller's day, then have the pool verify and pay."""
    signals = [read_signals(claim.public_signals) for claim in proved]
    check_terms(services.reward_policy, subject.user_id, signals)
    user = await users_storage.get_user(services.pool, subject.user_id)
    if user is None:
        raise UserNotFound
    payment_id, tier = derive_id("claim-payment", command), tier_of(user.points)
    played_ms = tuple(claim.min_played_ms for claim in signals)
    admit = AdmitClaims(payment_id, played_ms, tier, user.time_zone)
    listeners = services.owner("listeners")
    admitted = await listeners.ask(subject.user_id, admit, key=derive_key(command, "admit"))
    assert isinstance(admitted, ClaimsAdmitted)
    pay = PayClaims(
        payment_id=payment_id,
        user_id=subject.user_id,
        tier=tier,
        allowance_minor=admitted.allowance_minor,
        key_version=body.key_version,
        claims=tuple(_claim(claim) for claim in proved[: admitted.claims]),
    )
    try:
        decided = await services.owner("pools").ask(
            str(body.pool_id), pay, key=derive_key(command, "pay")
        )
    except Refusal as refused:
        await _release(listeners, subject.user_id, payment_id, command, len(pay.claims))
        raise refused from None
    assert isinstance(decided, ClaimsDecided)
    return _with_those_beyond(decided, signals, admitted)


async def _release(
    listeners: EntityHandle, user_id: str, payment_id: str, command: bytes, claims: int
) -> None:
    """The pool refused the command whole, so no fact of it does this. Else the day does."""
    with suppress(VibeStreamError):
        release = ReleaseClaims(payment_id, claims)
        await listeners.ask(user_id, release, key=derive_key(command, "release"))


def _with_those_beyond(
    decided: ClaimsDecided, signals: Sequence[Any], admitted: ClaimsAdmitted
) -> ClaimsDecided:
    """With an outcome for claims beyond the day's sessions, which nobody looked at."""
    beyond = tuple(
        ClaimOutcome(
            str(claim.nullifier), claim.min_played_ms, 0, ClaimsLimited.code, "daily-sessions"
        )
        for claim in signals[admitted.claims :]
    )
    return msgspec.structs.replace(decided, outcomes=(*decided.outcomes, *beyond))


def _claim(proved: ProvedClaim) -> Claim:
    proof = msgspec.json.encode(proved.proof.model_dump())
    return Claim(proof, tuple(proved.public_signals))


def _result(outcome: ClaimOutcome) -> ClaimResult:
    return ClaimResult(
        nullifier=outcome.nullifier,
        min_played_ms=outcome.min_played_ms,
        amount_minor=outcome.reward_minor,
        code=outcome.code or None,
        detail=outcome.verdict or None,
    )
