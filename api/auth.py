"""Who is asking, and may they? Bearer access tokens, API keys, and the permission of each route.

A route names its permission through one of the dependencies below (`subject: Trader`), or is
declared `@public`. The application does not start with a route that does neither.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import msgspec
import structlog
from fastapi import Depends, Request

from api.auth_keys import subject_of_key
from api.services import Services
from domain.access import Decision, Permission, Reason, decide
from integrations import api_keys
from integrations.tokens import Claims
from messages.errors import Unauthenticated, Unavailable
from messages.users import PermissionMissing
from storage import users as storage

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
PERMISSION = "permission"
PUBLIC = "is_public"
SCHEME = "Bearer "


def public(endpoint: Endpoint) -> Endpoint:
    """Declare that anybody may call a route."""
    endpoint.__dict__[PUBLIC] = True
    return endpoint


def require(permission: Permission) -> Callable[..., Awaitable[Claims]]:
    """A dependency: the subject, if it has `permission`.

    Raises Unauthenticated or a leaf of it, or PermissionMissing. One dependency without any of its
    own, because FastAPI takes some ten microseconds for each.
    """

    async def permitted(request: Request) -> Claims:
        services: Services = request.app.state.services
        subject = await current_subject(services, _authorization(request))
        await check_permission(services, subject, permission)
        return subject

    permitted.__dict__[PERMISSION] = permission
    return permitted


def _authorization(request: Request) -> str:
    # Starlette's headers would be made for this one look.
    for name, value in request.scope["headers"]:
        if name == b"authorization":
            return bytes(value).decode("latin-1")
    return ""


async def current_subject(services: Services, authorization: str) -> Claims:
    """Who the Authorization header speaks for. Raises Unauthenticated or a leaf of it."""
    token = authorization[len(SCHEME) :].strip()
    if not token or authorization[: len(SCHEME)].lower() != SCHEME.lower():
        raise Unauthenticated
    if token.startswith(api_keys.PREFIX):
        claims = await subject_of_key(services, token)
    else:
        claims = services.tokens.verify(token, services.clock())
    structlog.contextvars.bind_contextvars(user_id=claims.user_id)
    return claims


def seen_at_the_door(services: Services, authorization: str) -> Claims | None:
    """Who the header seems to speak for, as far as is known without asking a store.

    For counting only: whether it may do anything is asked by the route.
    """
    token = authorization[len(SCHEME) :].strip()
    if not token or authorization[: len(SCHEME)].lower() != SCHEME.lower():
        return None
    now_ms = services.clock()
    if token.startswith(api_keys.PREFIX):
        return services.recent_keys.counted_for(token, now_ms)
    try:
        return services.tokens.verify(token, now_ms)
    except (Unauthenticated, Unavailable):
        return None


async def check_permission(
    services: Services, subject: Claims, permission: Permission, owner_id: str | None = None
) -> None:
    """Raise PermissionMissing unless the subject may do this, to a thing of `owner_id`'s if given.

    A token that lacks a permission may be older than the role: then the present role decides.
    """
    decision = decide(subject, permission, owner_id)
    if not decision.allowed:
        decision = await _decide_by_present_role(services, subject, permission, owner_id)
    if decision.denied is not None:
        raise PermissionMissing(permission=permission.value, reason=decision.denied.value)


async def _decide_by_present_role(
    services: Services, subject: Claims, permission: Permission, owner_id: str | None
) -> Decision:
    if subject.scopes is not None:  # a key's role is never old
        return decide(subject, permission, owner_id)
    user = await storage.get_user(services.pool, subject.user_id)
    if user is None:
        return Decision(Reason.ROLE)
    present = msgspec.structs.replace(subject, roles=(user.role,))
    return decide(present, permission, owner_id)


Member = Annotated[Claims, Depends(require(Permission.ACCOUNT))]
Listener = Annotated[Claims, Depends(require(Permission.LISTEN))]
NewArtist = Annotated[Claims, Depends(require(Permission.BECOME_ARTIST))]
Publisher = Annotated[Claims, Depends(require(Permission.PUBLISH_SONG))]
Earner = Annotated[Claims, Depends(require(Permission.READ_REWARDS))]
Claimer = Annotated[Claims, Depends(require(Permission.CLAIM_REWARDS))]
Donor = Annotated[Claims, Depends(require(Permission.DONATE_TO_POOL))]
PoolFunder = Annotated[Claims, Depends(require(Permission.FUND_POOL))]
Holder = Annotated[Claims, Depends(require(Permission.READ_HOLDINGS))]
Trader = Annotated[Claims, Depends(require(Permission.TRADE))]
Issuer = Annotated[Claims, Depends(require(Permission.ISSUE_SHARES))]
MarketOperator = Annotated[Claims, Depends(require(Permission.OPERATE_MARKET))]
Dropper = Annotated[Claims, Depends(require(Permission.DROP_TOKENS))]
Collector = Annotated[Claims, Depends(require(Permission.READ_TOKENS))]
Fundraiser = Annotated[Claims, Depends(require(Permission.RAISE_FUNDS))]
Investor = Annotated[Claims, Depends(require(Permission.INVEST))]
Saver = Annotated[Claims, Depends(require(Permission.READ_BALANCES))]
Treasurer = Annotated[Claims, Depends(require(Permission.CREDIT))]
Payer = Annotated[Claims, Depends(require(Permission.PAY))]
PaymentReader = Annotated[Claims, Depends(require(Permission.READ_PAYMENTS))]
PaymentReviewer = Annotated[Claims, Depends(require(Permission.REVIEW_PAYMENTS))]
RiskManager = Annotated[Claims, Depends(require(Permission.MANAGE_RISK))]
PayoutRequester = Annotated[Claims, Depends(require(Permission.PAY_OUT))]
PayoutReader = Annotated[Claims, Depends(require(Permission.READ_PAYOUTS))]
PayoutReviewer = Annotated[Claims, Depends(require(Permission.REVIEW_PAYOUTS))]
Moderator = Annotated[Claims, Depends(require(Permission.MODERATE))]
Admin = Annotated[Claims, Depends(require(Permission.OPERATE))]
Auditor = Annotated[Claims, Depends(require(Permission.READ_AUDIT))]
UserManager = Annotated[Claims, Depends(require(Permission.MANAGE_USERS))]
