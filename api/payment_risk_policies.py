"""The antifraud policy: read, try on what was assessed lately, propose, activate."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from api.auth import PaymentReviewer, RiskManager
from api.idempotency import KeyHeader, attempt, command_key, once
from api.inputs import MAX_INTEGER, Input
from api.openapi import problems
from api.pagination import DEFAULT_LIMIT, CursorQuery, LimitQuery, Page, page_below, position_of
from api.services import Services, ServicesDep
from domain.payments import risk as domain
from domain.payments.risk import Comparison, RiskPolicy, Rule, Window, evaluate
from domain.payments.risk_features import KNOWN, WINDOWED
from domain.payments.risk_policy import check
from messages.payments.payments import Verdict
from messages.payments.risk import RiskPolicyNotFound
from storage import payments_risk as risk
from storage import payments_risk_policies as storage
from storage.database import Connection

router = APIRouter(prefix="/api/v1/payment-risk", tags=["payment-risk"])

PROPOSE = "POST /api/v1/payment-risk/policies"
ACTIVATE = "POST /api/v1/payment-risk/policies/{version}/activation"
TRIED = 200
Integer = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
Version = Annotated[int, Path(ge=1, le=2**31 - 1)]
Words = Annotated[str, Field(min_length=1, max_length=255)]


class RiskRule(Input):
    """Holds when the feature, over the window if it has one, compares so with the threshold."""

    code: Annotated[str, Field(max_length=64)]
    feature: Annotated[str, Field(max_length=64)]
    comparison: Comparison
    threshold: Integer
    window: Window | None = None
    weight: int = Field(0, ge=0, le=100, description="What it adds to the score.")
    verdict: Verdict | None = Field(None, description="What follows at least.")


class ScorerPolicy(Input):
    """What the external scorer's word is worth, and what is done without it."""

    share_pct: int = Field(50, ge=0, le=100, description="How much of its score is added.")
    review_above_cents: Integer | None = Field(
        100_000, description="If it fails, larger payments wait for a person; null: none does."
    )


class RiskPolicyContent(Input):
    """Rules, and from which score on payments wait for a person or are denied."""

    rules: Annotated[list[RiskRule], Field(max_length=100)]
    review_at: int = Field(50, ge=1, le=100)
    deny_at: int = Field(90, ge=1, le=100)
    scorer: ScorerPolicy = ScorerPolicy(share_pct=50, review_above_cents=100_000)


class NewRiskPolicy(RiskPolicyContent):
    """A policy that is proposed, and why."""

    note: Words


class RiskActivation(Input):
    """Why a version is to decide."""

    reason: Words


class RiskPolicyVersion(BaseModel):
    """A version of the policy."""

    version: int
    active: bool = Field(description="Whether it decides now.")
    note: str
    proposed_by: str
    at_ms: int
    policy: RiskPolicyContent


class RiskFeature(BaseModel):
    """Something that a rule may look at."""

    feature: str
    description: str
    windowed: bool = Field(description="Whether a rule on it needs a window.")


class RiskTrial(BaseModel):
    """What a policy would have made of the last payments that were assessed."""

    tried: int
    verdicts_before: dict[Verdict, int]
    verdicts_after: dict[Verdict, int]
    changed: int = Field(description="Payments whose verdict would have been another.")


@router.get("/features")
async def list_risk_features(subject: PaymentReviewer) -> list[RiskFeature]:
    """What rules may look at."""
    return [
        RiskFeature(feature=name, description=text, windowed=name in WINDOWED)
        for name, text in KNOWN.items()
    ]


@router.get("/policies")
async def list_risk_policies(
    subject: PaymentReviewer,
    services: ServicesDep,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[RiskPolicyVersion]:
    """All versions, newest first."""
    await _ensure_first(services)
    found = await storage.newest(services.pool, position_of(cursor), limit + 1)
    return page_below(found, limit, lambda row: row.version, _shown)


@router.get("/policies/{version}", responses=problems(404))
async def get_risk_policy(
    version: Version, subject: PaymentReviewer, services: ServicesDep
) -> RiskPolicyVersion:
    """One version."""
    await _ensure_first(services)
    found = await storage.get(services.pool, version)
    if found is None:
        raise RiskPolicyNotFound
    return _shown(found)


@router.post("/trials")
async def try_risk_policy(
    body: RiskPolicyContent,
    subject: PaymentReviewer,
    services: ServicesDep,
    payments: Annotated[int, Query(ge=1, le=1_000, description="How many to look at.")] = TRIED,
) -> RiskTrial:
    """Check a policy, and what it would have made of the last payments. Changes nothing."""
    policy = check(_policy(body))
    found = await risk.latest(services.pool, payments)
    before = [one.verdict for one in found]
    after = [evaluate(one.features, policy, one.external).verdict for one in found]
    return RiskTrial(
        tried=len(found),
        verdicts_before={verdict: before.count(verdict) for verdict in Verdict},
        verdicts_after={verdict: after.count(verdict) for verdict in Verdict},
        changed=sum(was is not now for was, now in zip(before, after, strict=True)),
    )


@router.post(
    "/policies", status_code=201, responses=problems(403, 409), response_model=RiskPolicyVersion
)
async def propose_risk_policy(
    body: NewRiskPolicy, key: KeyHeader, subject: RiskManager, services: ServicesDep
) -> Response:
    """Keep a policy as the next version. It decides nothing until it is activated."""
    policy, now_ms = check(_policy(body)), services.clock()
    command = command_key(subject.user_id, PROPOSE, key)
    made = attempt(command, services.settings.fingerprint_secret, body.model_dump_json())

    async def add(connection: Connection) -> RiskPolicyVersion:
        kept = await storage.propose(connection, policy, body.note, subject.user_id, now_ms)
        row = await storage.get(connection, kept.version)
        assert row is not None, "it was just kept"
        return _shown(row)

    return await once(services.pool, made, now_ms, 201, add)


@router.post(
    "/policies/{version}/activation", responses=problems(404, 409), response_model=RiskPolicyVersion
)
async def activate_risk_policy(
    version: Version,
    body: RiskActivation,
    key: KeyHeader,
    subject: RiskManager,
    services: ServicesDep,
) -> Response:
    """Have a version decide from now on, for payments that begin from now on."""
    now_ms = services.clock()
    command = command_key(subject.user_id, ACTIVATE.format(version=version), key)
    made = attempt(command, services.settings.fingerprint_secret, body.model_dump_json())

    async def change(connection: Connection) -> RiskPolicyVersion:
        await storage.active(connection, now_ms)
        if not await storage.activate(connection, version, body.reason, subject.user_id, now_ms):
            raise RiskPolicyNotFound
        row = await storage.get(connection, version)
        assert row is not None, "it was just activated"
        return _shown(row)

    return await once(services.pool, made, now_ms, 200, change)


async def _ensure_first(services: Services) -> None:
    async with services.pool.acquire() as connection:
        await storage.active(connection, services.clock())


def _policy(body: RiskPolicyContent) -> RiskPolicy:
    rules = tuple(msgspec.convert(rule.model_dump(mode="json"), Rule) for rule in body.rules)
    scorer = domain.ScorerPolicy(**body.scorer.model_dump())
    return RiskPolicy(rules, body.review_at, body.deny_at, scorer)


def _shown(row: storage.PolicyRow) -> RiskPolicyVersion:
    content = msgspec.to_builtins(row.policy)
    del content["version"]
    return RiskPolicyVersion(
        version=row.version,
        active=row.active,
        note=row.note,
        proposed_by=row.proposed_by,
        at_ms=row.at_ms,
        policy=RiskPolicyContent.model_validate(content),
    )
