"""The HTTP gateway: one FastAPI application on which every context mounts its router."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from api import (
    api_keys,
    artist_requests,
    artists,
    audit,
    claims,
    conversions,
    discovery,
    docs,
    drops,
    exchange_rates,
    external_notices,
    external_sign_in,
    health,
    listening,
    market_batch,
    market_books,
    market_candles,
    market_issues,
    market_orders,
    market_portfolio,
    market_prices,
    market_revenue,
    moderation,
    music,
    openapi,
    payment_methods,
    payment_records,
    payment_reviews,
    payment_risk_policies,
    payment_search,
    payments,
    payout_methods,
    payouts,
    problems,
    purchases,
    reconciliations,
    reports,
    reward_trees,
    rewards,
    routing,
    saved_methods,
    second_factors,
    step_up,
    treasury,
    users,
    users_admin,
    users_analytics,
    users_email,
    users_external,
    users_factors,
    users_follows,
    users_identity,
    users_leaving,
    users_passkeys,
    users_password,
    users_people,
    users_profile,
    users_registration,
    users_sessions,
    users_tier,
    users_wallets,
    venture_benefits,
    ventures,
    wallets,
    webhooks,
)
from api.access import RouteAccess, declared
from api.access_matrix import render
from api.auth import seen_at_the_door
from api.doors import Doors
from api.edge import Edge, Limits
from api.guards import guard, own
from api.metrics import HttpMetrics
from api.realtime.asyncapi import all_operations
from api.services import Services
from api.songs import PUBLISH
from api.uploads import FORM_OVERHEAD_BYTES

CONTEXTS = (
    discovery,
    market_orders,
    market_batch,
    claims,
    users,
    second_factors,
    step_up,
    users_factors,
    users_passkeys,
    users_wallets,
    users_identity,
    users_email,
    users_leaving,
    users_password,
    users_profile,
    users_registration,
    external_sign_in,
    users_external,
    external_notices,
    api_keys,
    users_tier,
    users_people,
    users_follows,
    users_sessions,
    artists,
    music,
    listening,
    rewards,
    reward_trees,
    market_issues,
    market_revenue,
    market_portfolio,
    market_prices,
    market_books,
    market_candles,
    drops,
    ventures,
    venture_benefits,
    payments,
    purchases,
    payment_search,
    payment_methods,
    saved_methods,
    wallets,
    payment_records,
    exchange_rates,
    conversions,
    payouts,
    payout_methods,
    payment_reviews,
    reconciliations,
    payment_risk_policies,
    webhooks,
    treasury,
    reports,
    moderation,
    artist_requests,
    audit,
    users_admin,
    users_analytics,
    health,
    docs,
)
VERSION = "0.1.0"
OPENAPI_PATH = "/openapi.json"


def create_app(services: Services) -> FastAPI:
    """The gateway over `services`, which the caller opens and closes."""
    settings = services.settings
    app = _routes(settings.version)
    app.state.services = services
    app.state.metrics = HttpMetrics()
    method, _, path = PUBLISH.partition(" ")
    bodies = {(method, path): settings.max_upload_bytes + FORM_OVERHEAD_BYTES}
    app.add_middleware(
        Edge,
        metrics=app.state.metrics,
        doors=Doors(settings.doors, services.limiter, partial(seen_at_the_door, services)),
        limits=Limits(settings.max_json_bytes, bodies, settings.body_timeout_s),
    )
    return app


def create_openapi() -> dict[str, Any]:
    """The OpenAPI document, without any service."""
    return _routes(VERSION).openapi()


def route_access() -> list[RouteAccess]:
    """Every route and the permission that it asks for. Raises UndeclaredAccess."""
    return list(declared(context.router for context in CONTEXTS))


def create_access_matrix() -> str:
    """The page of who may call what, without any service."""
    return render(route_access(), ((o.name, o.permission) for o in all_operations()))


def _routes(version: str) -> FastAPI:
    app = FastAPI(
        title=openapi.TITLE,
        version=version,
        openapi_url=OPENAPI_PATH,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=openapi.operation_id,
        redirect_slashes=False,
    )
    problems.install(app)
    access = route_access()
    for context in CONTEXTS:
        # The application's own: an included router is looked through twice for each request.
        for route in guard(context.router).routes:
            assert isinstance(route, APIRoute), "contexts mount plain operations"
            app.router.routes.append(own(route, openapi.operation_id))
    routing.index(app.router)
    document: dict[str, Any] = {}

    def cached() -> dict[str, Any]:
        if not document:
            document.update(openapi.build(app, version, access))
        return document

    app.openapi = cached  # type: ignore[method-assign]
    return app
