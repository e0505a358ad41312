"""The HTTP gateway over its ports."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from functools import partial

import redis.asyncio as redis_asyncio
from fastapi import FastAPI
from prometheus_client import generate_latest

from actors.runtime.metrics import HandleMetrics
from api.app import create_app
from api.payment_risk_metrics import PaymentRiskMetrics
from api.services import ApiSettings, ExternalSignIn, HealthCheck, RealtimeEndpoints, Services
from api.webhook_inbox import WebhookInbox
from bus.health import bus_lag
from bus.stream_redis import RedisStream
from deployments import proof_keys
from deployments.composition.common import (
    collect_seldom,
    follow_keys,
    now_ms,
    open_handles,
    open_revocations,
    open_tokens,
)
from deployments.composition.doors import door_settings, open_attempts, open_limiter
from deployments.composition.identity import open_identity_providers
from deployments.composition.payments import (
    open_courier,
    open_instruments,
    open_recorder,
    open_saved_methods,
    open_scorer,
)
from deployments.composition.payouts import open_payout_accounts, payout_providers
from deployments.ray_processes import RayProcesses
from deployments.secrets import open_secrets
from deployments.settings import Settings
from deployments.topology import STREAMS, bus_workers, host_specs, reward_policy, supervisors
from integrations.audio import ProcessInspector
from integrations.oidc_http import open_http
from integrations.passkeys import RelyingParty
from integrations.passwords import Passwords
from integrations.private_files import load_secret
from integrations.refresh_tokens import RefreshTokens
from integrations.sealing import load_vault
from storage.bus import BusLags
from storage.database import Pool, open_pool
from storage.objects import ObjectStore, open_objects
from storage.rate_limits import open_client

POOL_SIZE = 10
PROBE_SECONDS = 1.5


async def open_gateway(settings: Settings, processes: RayProcesses) -> FastAPI:
    """The gateway. Raises what a store raises when it cannot be reached."""
    folder = settings.folder
    secrets = open_secrets(settings)
    pool = await open_pool(
        settings.postgres_url,
        max_size=POOL_SIZE,
        application_name="gateway",
        present_url=secrets.present("postgres_url"),
    )
    url, credentials = secrets.redis()
    redis = redis_asyncio.Redis.from_url(url, credential_provider=credentials, socket_timeout=5)
    counters = open_client(url, credentials)
    objects = open_objects(settings.objects_url or f"file://{folder / 'objects'}")
    metrics, risk_metrics = HandleMetrics(), PaymentRiskMetrics()
    revocations = await open_revocations(secrets.present("postgres_url"))
    tokens = open_tokens(settings, revocations)
    await follow_keys(settings, tokens)
    uploads = folder / "uploads"
    uploads.mkdir(parents=True, exist_ok=True)

    async def handle_metrics() -> bytes:
        return generate_latest(metrics.registry)

    handles = open_handles(settings, pool, processes, metrics)
    recorder = open_recorder(settings, pool)
    services = Services(
        pool=pool,
        objects=objects,
        audio=ProcessInspector(),
        passwords=Passwords(
            time_cost=settings.argon2_time_cost,
            memory_kib=settings.argon2_memory_kib,
            lanes=settings.argon2_lanes,
        ),
        tokens=tokens,
        vault=load_vault(folder / "sealing"),
        relying_party=RelyingParty.of(settings.where),
        settings=ApiSettings(
            load_secret(folder / "fingerprint.secret"), uploads, doors=door_settings(settings)
        ),
        refresh_tokens=RefreshTokens(load_secret(folder / "refresh.secret")),
        clock=now_ms,
        new_id=lambda: str(uuid.uuid4()),
        realtime=partial(_endpoints, settings),
        reward_policy=reward_policy(settings),
        key_versions=proof_keys.versions(settings),
        redis=redis,
        limiter=open_limiter(settings, counters),
        attempts=open_attempts(counters),
        external=ExternalSignIn(
            open_identity_providers(settings, open_http(), now_ms),
            settings.sign_in_return_urls,
            settings.where.startswith("https://"),
        ),
        handles=handles,
        courier=open_courier(settings, handles["payments"], recorder),
        inbox=WebhookInbox(pool),
        payout_accounts=open_payout_accounts(settings, recorder),
        payout_providers=payout_providers(settings),
        card_keeper=open_saved_methods(settings, recorder),
        scorer=open_scorer(settings),
        instruments=open_instruments(settings, recorder),
        risk_metrics=risk_metrics,
        health_checks=(
            *_stores(pool, redis, RedisStream(url, credentials), objects),
            HealthCheck("secrets", secrets.health, critical=False),
            *_actors(settings, processes),
        ),
        scrapers={
            "gateway-handles": handle_metrics,
            "gateway-payment-risk": risk_metrics.text,
            **{name: partial(processes.scrape, name) for name in _watched(settings)},
            "realtime": processes.scrape_realtime,
        },
    )
    app = create_app(services)
    app.state.close = recorder.close
    collect_seldom()
    return app


def _stores(
    pool: Pool, redis: redis_asyncio.Redis, broker: RedisStream, objects: ObjectStore
) -> tuple[HealthCheck, ...]:
    lags = BusLags(pool)

    async def postgres() -> str:
        return str(await pool.fetchval("select current_setting('server_version')"))

    async def redis_answers() -> str:
        return str((await redis.info("server"))["redis_version"])

    async def bus() -> str:
        found = await bus_lag(lags, broker, STREAMS, now_ms())
        behind = sum(lag.unhandled for lag in found)
        oldest = max((lag.oldest_age_ms for lag in found), default=0)
        dead = sum(lag.dead for lag in found)
        return f"{behind} to handle, oldest {oldest} ms, {dead} dead letters"

    async def objects_answer() -> str:
        await objects.check()
        return "writable"

    return (
        HealthCheck("postgres", postgres),
        HealthCheck("redis", redis_answers),
        HealthCheck("bus", bus, critical=False),
        HealthCheck("objects", objects_answer),
    )


def _watched(settings: Settings) -> tuple[str, ...]:
    hosts = (spec.name for spec in host_specs(settings))
    return (*hosts, *bus_workers(settings), *supervisors(settings))


def _actors(settings: Settings, processes: RayProcesses) -> tuple[HealthCheck, ...]:
    """Owners are critical: without them commands wait. The rest only delays what follows."""

    def probe(name: str) -> Callable[[], Awaitable[str]]:
        async def run() -> str:
            await processes.health(name)
            return "answers"

        return run

    async def realtime() -> str:
        return f"{await processes.count_connections()} connections"

    hosts = {spec.name for spec in host_specs(settings)}
    checks = (
        HealthCheck(name, probe(name), critical=name in hosts, timeout_s=PROBE_SECONDS)
        for name in _watched(settings)
    )
    return (*checks, HealthCheck("realtime", realtime, critical=False, timeout_s=PROBE_SECONDS))


async def _endpoints(settings: Settings) -> RealtimeEndpoints:
    direct = settings.realtime_url or f"ws://{{host}}:{settings.realtime_port}/realtime/ws"
    return RealtimeEndpoints((direct,), "ws://{host}:{port}/realtime/ws")
