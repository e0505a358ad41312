"""To Google or Apple and back: the browser's part of an external sign-in (RFC 9700).

The page begins and keeps a handle; the browser goes to the provider with a cookie of ours and
comes back to a callback; the page is opened again with a code. Only code and handle together are
worth anything, and no token ever stands in a URL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field
from starlette.datastructures import FormData, QueryParams

from api.auth import public
from api.inputs import Input
from api.openapi import problems
from api.services import ExternalSignIn, Services, ServicesDep
from domain.users_external import EXTERNAL_POLICY, check_return_url, with_parameters
from integrations.oidc import Challenge, new_challenge
from integrations.opaque_tokens import digest, new_token
from messages.errors import Unavailable
from messages.users_external import (
    ExternalSignInCancelled,
    ExternalSignInInvalid,
    Provider,
    ProviderAnswerRefused,
)
from storage import users_external as storage

router = APIRouter(prefix="/api/v1/oauth", tags=["external sign-in"])

MAX_CODE = 4_096
MAX_URL = 2_048
MAX_STATE = 128
SECRET = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
ANSWER = ("code", "state", "iss", "error")
CANCELLED = frozenset({"access_denied", "user_cancelled_authorize"})

Code = Annotated[str | None, Query(max_length=MAX_CODE)]
State = Annotated[str | None, Query(max_length=MAX_STATE)]
Issuer = Annotated[str | None, Query(max_length=MAX_URL)]
Error = Annotated[str | None, Query(max_length=MAX_URL)]


class BeginExternalSignIn(Input):
    """A sign-in by way of a provider."""

    return_url: str = Field(
        max_length=MAX_URL,
        description="Where the browser goes afterwards, with `code` or `error` in its query: one "
        "of the addresses that the operator allows, to the letter.",
    )
    client: Literal["browser", "native"] = Field(
        "browser",
        description="A browser's page gets a cookie, too, and has to come back with it. A native "
        "program opens the system's browser, which has none.",
    )


class ExternalAuthorization(BaseModel):
    """Where to send the browser, and what to keep."""

    authorization_url: str
    handle: str = Field(description="Kept by who began; asked for with the code.")
    expires_at_ms: int = Field(description="Epoch milliseconds.")


class Providers(BaseModel):
    """Ways of signing in besides a password."""

    providers: list[Provider]


@router.get("/providers")
@public
async def list_providers(services: ServicesDep) -> Providers:
    """The providers that can be signed in with here."""
    return Providers(providers=sorted(services.external.providers))


@router.post("/{provider}/authorizations", status_code=201, responses=problems(404))
@public
async def create_authorization(
    provider: Provider,
    body: BeginExternalSignIn,
    request: Request,
    response: Response,
    services: ServicesDep,
) -> ExternalAuthorization:
    """Begin to sign in, or to link, by way of a provider. Good for ten minutes and one use."""
    external = services.external
    asked = external.provider(provider)
    return_url = check_return_url(body.return_url, external.return_urls)
    challenge, handle = new_challenge(), new_token()
    url = await asked.authorization_url(challenge)
    now_ms = services.clock()
    browser = _browser_secret(request, external, provider) if body.client == "browser" else None
    begun = storage.Begun(
        provider=provider,
        browser_hash=None if browser is None else digest(browser),
        handle_hash=digest(handle),
        nonce=challenge.nonce,
        verifier=challenge.verifier,
        return_url=return_url,
        expires_at_ms=now_ms + EXTERNAL_POLICY.authorization_ms,
    )
    await storage.begin(services.pool, digest(challenge.state), begun, now_ms)
    if browser is not None:
        _set_cookie(response, external, provider, browser)
    return ExternalAuthorization(
        authorization_url=url, handle=handle, expires_at_ms=begun.expires_at_ms
    )


@router.get(
    "/google/callback", status_code=303, response_class=RedirectResponse, responses=problems(404)
)
@public
async def receive_google_callback(
    request: Request,
    services: ServicesDep,
    code: Code = None,
    state: State = None,
    iss: Issuer = None,
    error: Error = None,
) -> Response:
    """Where Google sends the browser. It goes on to the page that began, with a code."""
    answer = _only({"code": code, "state": state, "iss": iss, "error": error}, request.query_params)
    return await _received(services, request, Provider.GOOGLE, answer)


@router.post(
    "/apple/callback", status_code=303, response_class=RedirectResponse, responses=problems(404)
)
@public
async def receive_apple_callback(
    request: Request,
    services: ServicesDep,
    code: Annotated[str | None, Form(max_length=MAX_CODE)] = None,
    state: Annotated[str | None, Form(max_length=MAX_STATE)] = None,
    iss: Annotated[str | None, Form(max_length=MAX_URL)] = None,
    error: Annotated[str | None, Form(max_length=MAX_URL)] = None,
) -> Response:
    """Where Apple has the browser post its answer. It goes on to the page that began, with a code.

    What Apple posts of the person beside it (`user`) is signed by nobody, and is not read.
    """
    answer = _only({"code": code, "state": state, "iss": iss, "error": error}, await request.form())
    return await _received(services, request, Provider.APPLE, answer)


async def _received(
    services: Services, request: Request, provider: Provider, answer: Mapping[str, str]
) -> Response:
    """Raises ExternalSignInInvalid for what no browser began; all else the page is told."""
    external = services.external
    external.provider(provider)
    state = answer.get("state", "")
    cookie = request.cookies.get(_cookie_name(external, provider))
    returned = await storage.take_authorization(
        services.pool,
        digest(state),
        provider,
        None if cookie is None else digest(cookie),
        services.clock(),
    )
    if returned is None:
        raise ExternalSignInInvalid
    try:
        told = {"code": await _proved(services, provider, answer, returned)}
    except (ExternalSignInCancelled, ProviderAnswerRefused, Unavailable) as error:
        told = {"error": error.code}
    return RedirectResponse(with_parameters(returned.return_url, **told), 303)


async def _proved(
    services: Services, provider: Provider, answer: Mapping[str, str], returned: storage.Returned
) -> str:
    """The code that stands for whom the provider vouches for."""
    if "error" in answer:
        cancelled = answer["error"] in CANCELLED
        raise ExternalSignInCancelled if cancelled else ProviderAnswerRefused
    if "code" not in answer:
        raise ProviderAnswerRefused
    challenge = Challenge(answer["state"], returned.nonce, returned.verifier)
    asked = services.external.provider(provider)
    proven = await asked.identify(challenge, answer["code"], answer)
    code, now_ms = new_token(), services.clock()
    expires_at_ms = now_ms + EXTERNAL_POLICY.completion_ms
    await storage.add_completion(
        services.pool, digest(code), returned.handle_hash, proven, now_ms, expires_at_ms
    )
    return code


def _only(given: Mapping[str, str | None], sent: QueryParams | FormData) -> dict[str, str]:
    """The parameters that came, each of them once (RFC 6749, 3.1). Raises ExternalSignInInvalid."""
    if any(len(sent.getlist(name)) > 1 for name in ANSWER):
        raise ExternalSignInInvalid
    return {name: value for name, value in given.items() if value is not None}


def _browser_secret(request: Request, external: ExternalSignIn, provider: Provider) -> str:
    """What the browser's cookie says, so that two tabs both come back; else a new secret."""
    known = request.cookies.get(_cookie_name(external, provider), "")
    return known if SECRET.fullmatch(known) else new_token()


def _cookie_name(external: ExternalSignIn, provider: Provider) -> str:
    """With TLS no page of another host, and none of a subdomain, can set a cookie of this name."""
    return f"{'__Host-' if external.secure else ''}oauth-{provider.value}"


def _set_cookie(
    response: Response, external: ExternalSignIn, provider: Provider, secret: str
) -> None:
    """Apple's answer is posted by a page of another site, so its cookie has to go with that.

    Without TLS browsers refuse such cookies. That is for loopback, where the stand-in of Apple is
    of the same site: a site has no port.
    """
    crosses = external.secure and provider is Provider.APPLE
    response.set_cookie(
        _cookie_name(external, provider),
        secret,
        max_age=EXTERNAL_POLICY.authorization_ms // 1_000,
        path="/",
        secure=external.secure,
        httponly=True,
        samesite="none" if crosses else "lax",
    )
