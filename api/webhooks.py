"""The door of providers: a webhook is verified, kept, and answered; it is worked on elsewhere."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.auth import public
from api.fast_route import FastRoute
from api.openapi import problems
from api.services import ServicesDep
from messages.errors import NotFound
from messages.payments.gateways import GatewayName
from messages.payments.webhooks import WebhookMalformed, WebhookSignatureWrong
from storage import payments_webhooks as storage

router = APIRouter(prefix="/api/v1", tags=["payments"], route_class=FastRoute)


class GatewayNotFound(NotFound):
    """No such provider is configured here."""

    code = "payment-gateway-unknown"


@router.post(
    "/webhooks/{gateway}", status_code=200, responses=problems(401, 404), response_class=Response
)
@public
async def take_webhook(gateway: GatewayName, request: Request, services: ServicesDep) -> Response:
    """Take what a provider tells. Its signature is its credential; the same event twice is one."""
    client = services.payments.gateways.get(gateway)
    if client is None:
        raise GatewayNotFound
    body = await request.body()
    now_ms = services.clock()
    try:
        event = await client.read_webhook(dict(request.headers), body, now_ms)
    except (WebhookSignatureWrong, WebhookMalformed) as error:
        await services.webhooks.reject(gateway, error, body, now_ms)
        raise
    await services.webhooks.take(storage.Arrived(gateway, event, body, now_ms))
    return Response(status_code=200)
