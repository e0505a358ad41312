"""The realtime WebSocket door over its ports."""

from __future__ import annotations

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from actors.runtime.metrics import HandleMetrics
from actors.runtime.transport import Transport
from api.realtime.asgi import create_app
from api.realtime.channels import Subject
from api.realtime.feed import Feed
from api.realtime.hub import Hub
from api.realtime.limits import Limits
from api.realtime.listening import ListeningOperations, stored_ports
from api.realtime.market import MarketOperations
from api.realtime.metrics import RealtimeMetrics
from api.realtime.operations import Operations
from api.realtime.server import RealtimeServer
from bus.stream_redis import RedisStream
from deployments.composition.common import (
    collect_seldom,
    follow_keys,
    now_ms,
    open_handles,
    open_revocations,
    open_tokens,
)
from deployments.composition.doors import open_arrivals
from deployments.secrets import open_secrets
from deployments.settings import Settings
from deployments.topology import STREAMS
from integrations.private_files import load_secret
from storage.database import PLANNED_ANEW, open_pool
from storage.realtime import RealtimeStore

POOL_SIZE = 8


async def open_realtime(settings: Settings, transport: Transport) -> tuple[RealtimeServer, FastAPI]:
    """The door, listening and following the bus, and the same protocol as an ASGI application.

    Raises OSError if the port is taken, or what a store raises that cannot be reached.
    """
    secrets = open_secrets(settings)
    pool = await open_pool(
        settings.postgres_url,
        max_size=POOL_SIZE,
        application_name="realtime",
        settings=PLANNED_ANEW,
        present_url=secrets.present("postgres_url"),
    )
    store = RealtimeStore(pool)
    registry = CollectorRegistry()
    handles = open_handles(settings, pool, transport, HandleMetrics(registry))
    limits = Limits()
    operations = Operations(timeout_ms=limits.call_timeout_ms, clock=now_ms)
    # The same on every replica: a session's nonces must not depend on who answers.
    secret = load_secret(settings.folder / "listening.secret")
    ListeningOperations(stored_ports(pool, handles["listening"], secret)).register(operations)
    MarketOperations(handles["market"]).register(operations)
    revocations = await open_revocations(secrets.present("postgres_url"))
    tokens = open_tokens(settings, revocations)
    await follow_keys(settings, tokens)

    def authenticate(token: str) -> Subject:
        return tokens.verify(token, now_ms())

    server = RealtimeServer(
        Hub(limits, store.replay),
        operations,
        authenticate,
        Feed(RedisStream(*secrets.redis()), STREAMS, store, clock=now_ms),
        host=settings.http_host,
        port=settings.realtime_port,
        metrics=RealtimeMetrics(registry),
        allowed_origins=own_origins(settings) | frozenset(settings.allowed_origins),
    )
    revocations.on_ended(server.end_sessions)
    server.arrivals = open_arrivals(settings)
    await server.start()
    collect_seldom()
    return server, create_app(server)


def own_origins(settings: Settings) -> frozenset[str]:
    """The origins of pages that the gateway itself serves."""
    hosts = {settings.http_host, "localhost"}
    return frozenset(f"http://{host}:{settings.http_port}" for host in hosts)
