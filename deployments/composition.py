"""Builds the engine's parts out of settings: the only place that opens pools and clients."""

from __future__ import annotations

import time
import uuid

import redis.asyncio as redis_asyncio
from fastapi import FastAPI

from api.app import create_app
from api.services import ApiSettings, HealthCheck, RealtimeEndpoints, Services
from bus.health import bus_lag
from bus.stream_redis import RedisStream
from bus.worker import Worker
from deployments.settings import Settings
from integrations.audio import ProcessInspector
from integrations.passwords import Passwords
from integrations.tokens import AccessTokens, load_secret, load_signing_keys
from messages.errors import Unavailable
from storage.bus import BusStore
from storage.database import open_pool
from storage.objects import open_objects

# The contexts that append events to the outbox.
STREAMS = ("users", "music")


def now_ms() -> int:
    """Epoch milliseconds."""
    return time.time_ns() // 1_000_000


async def open_gateway(settings: Settings) -> FastAPI:
    """The gateway over its ports. Raises what a store raises when it cannot be reached."""
    folder = settings.folder
    pool = await open_pool(settings.postgres_url, max_size=10)
    redis = redis_asyncio.Redis.from_url(settings.redis_url, socket_timeout=5)
    objects = open_objects(settings.objects_url or f"file://{folder / 'objects'}")
    store = await BusStore.open(settings.postgres_url, max_size=2)
    broker = RedisStream(settings.redis_url)

    async def postgres() -> str:
        return str(await pool.fetchval("select current_setting('server_version')"))

    async def redis_answers() -> str:
        return str((await redis.info("server"))["redis_version"])

    async def bus() -> str:
        return f"{len(await bus_lag(store, broker, STREAMS, now_ms()))} streams"

    async def objects_answer() -> str:
        await objects.check()
        return "writable"

    async def no_realtime() -> RealtimeEndpoints:
        raise Unavailable("no realtime door is running")

    uploads = folder / "uploads"
    uploads.mkdir(parents=True, exist_ok=True)
    services = Services(
        pool=pool,
        objects=objects,
        audio=ProcessInspector(),
        passwords=Passwords(),
        tokens=AccessTokens(load_signing_keys(folder / "keys")),
        settings=ApiSettings(load_secret(folder / "fingerprint.secret"), uploads),
        clock=now_ms,
        new_id=lambda: str(uuid.uuid4()),
        realtime=no_realtime,
        redis=redis,
        health_checks=(
            HealthCheck("postgres", postgres),
            HealthCheck("redis", redis_answers),
            HealthCheck("bus", bus, critical=False),
            HealthCheck("objects", objects_answer),
        ),
    )
    return create_app(services)


async def open_bus_worker(settings: Settings) -> Worker:
    """The relay of every stream, started."""
    store = await BusStore.open(settings.postgres_url, max_size=8)
    broker = RedisStream(settings.redis_url)
    worker = Worker("bus-0", store, broker, (), STREAMS, now_ms)
    await worker.start()
    return worker
