"""Liveness, readiness with each part's latency, and Prometheus metrics."""

from __future__ import annotations

import asyncio
import time
from enum import StrEnum

import structlog
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from api import metrics
from api.auth import public
from api.services import HealthCheck, ServicesDep

router = APIRouter(tags=["operations"])
log = structlog.get_logger(__name__)

MAX_DETAIL_CHARS = 200


class Verdict(StrEnum):
    """ready; degraded: something that is not critical is missing; unready."""

    READY = "ready"
    DEGRADED = "degraded"
    UNREADY = "unready"


class CheckStatus(StrEnum):
    """What came of one check."""

    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"


class Live(BaseModel):
    """The process answers."""

    status: str = Field(examples=["live"])


class CheckResult(BaseModel):
    """One part of the engine."""

    name: str
    status: CheckStatus
    critical: bool
    latency_ms: float
    detail: str


class Readiness(BaseModel):
    """Whether requests can be served, part by part."""

    status: Verdict
    checks: list[CheckResult]


@router.get("/health/live")
@public
async def get_liveness() -> Live:
    """Whether this process answers at all."""
    return Live(status="live")


@router.get(
    "/health/ready",
    responses={503: {"model": Readiness, "description": "A critical part is missing."}},
)
@public
async def get_readiness(services: ServicesDep, response: Response) -> Readiness:
    """Whether every part that requests need is there. 503 while a critical one is not."""
    checks = list(await asyncio.gather(*(run_check(check) for check in services.health_checks)))
    failed = [check for check in checks if check.status is not CheckStatus.OK]
    verdict = Verdict.DEGRADED if failed else Verdict.READY
    if any(check.critical for check in failed):
        verdict, response.status_code = Verdict.UNREADY, 503
    return Readiness(status=verdict, checks=checks)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
@public
async def get_metrics(services: ServicesDep, request: Request) -> Response:
    """Metrics of all processes in Prometheus's text format."""
    own: metrics.HttpMetrics = request.app.state.metrics
    settings = services.settings
    text = await metrics.gather(
        (settings.process_name, own.text()), services.scrapers, settings.scrape_timeout_s
    )
    return Response(text, media_type=metrics.CONTENT_TYPE)


async def run_check(check: HealthCheck) -> CheckResult:
    """Run one check within its time. Never raises; says the kind of error and logs the rest."""
    started = time.perf_counter()
    status, detail = CheckStatus.OK, ""
    try:
        async with asyncio.timeout(check.timeout_s):
            detail = await check.run()
    except TimeoutError:
        status, detail = CheckStatus.TIMEOUT, f"no answer within {check.timeout_s:g} s"
    except Exception as error:
        log.warning("health check failed", check=check.name, exc_info=error)
        status, detail = CheckStatus.FAILED, type(error).__name__
    return CheckResult(
        name=check.name,
        status=status,
        critical=check.critical,
        latency_ms=round((time.perf_counter() - started) * 1_000, 3),
        detail=detail[:MAX_DETAIL_CHARS],
    )
