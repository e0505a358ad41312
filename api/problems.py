"""RFC 9457 problem documents, and the only table from errors to HTTP status codes."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from redis.exceptions import ConnectionError as RedisConnectionError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.translation import negotiate, sentence
from messages import errors, music, users
from storage.database import PASSING_ERRORS

MEDIA_TYPE = "application/problem+json"
URN = "urn:vibestream:problem:"
MAX_ERRORS = 20
MAX_INSTANCE_CHARS = 500

# By class; a leaf without a line of its own has its nearest ancestor's. The two roots that say
# nothing (VibeStreamError, Refusal) are for bugs: a test demands that no leaf ends there.
STATUS: dict[type[errors.VibeStreamError], int] = {
    errors.VibeStreamError: 500,
    errors.Refusal: 500,
    errors.Invalid: 422,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Forbidden: 403,
    errors.Unauthenticated: 401,
    errors.Limited: 429,
    errors.Transient: 503,
    errors.Overloaded: 503,
    errors.Unavailable: 503,
    errors.IdempotencyKeyReused: 422,
    music.UploadTooLarge: 413,
    music.UploadMalformed: 400,
    music.UploadTooSlow: 408,
    music.UnsupportedAudio: 415,
    users.TokenInvalid: 401,
    users.TokenExpired: 401,
}
# What HTTP itself refuses, by status.
HTTP_CODES = {
    400: "malformed-request",
    401: "unauthenticated",
    403: "forbidden",
    404: "no-such-route",
    405: "method-not-allowed",
    406: "not-acceptable",
    408: "request-too-slow",
    413: "request-too-large",
    415: "unsupported-media-type",
    416: "range-not-satisfiable",
    422: "invalid-request",
    431: "headers-too-large",
    500: "internal",
    503: "unavailable",
}
MALFORMED_JSON = "malformed-json"

log = structlog.get_logger(__name__)


class FieldError(BaseModel):
    """One thing that is wrong with a request."""

    location: str = Field(description="Where: body, query, path, header or cookie.")
    pointer: str = Field(description="JSON pointer (RFC 6901) within that location.")
    code: str = Field(description="A stable word for the rule that was broken.")
    detail: str = Field(description="English prose for engineers.")


class Problem(BaseModel):
    """Why a request was refused or failed (RFC 9457)."""

    type: str = Field(description="A URN that names the kind of problem, stable for ever.")
    title: str = Field(description="For people, in the language asked for by Accept-Language.")
    status: int = Field(description="The HTTP status code.", ge=400, le=599)
    code: str = Field(description="The last part of `type`, for programs.")
    detail: str = Field(description="English prose for engineers.")
    instance: str = Field(description="The path that was asked for.")
    request_id: str = Field(description="Names this request in the logs; the X-Request-ID header.")
    params: dict[str, str | int] = Field(
        default_factory=dict, description="The values in the title and the detail."
    )
    errors: list[FieldError] = Field(
        default_factory=list, description="All that is wrong with the request, if it is invalid."
    )


def status_of(error: type[errors.VibeStreamError]) -> int:
    """The HTTP status of an error class: its own or its nearest ancestor's."""
    return next(STATUS[cls] for cls in error.__mro__ if cls in STATUS)


def problem_response(
    scope: Mapping[str, Any],
    status: int,
    code: str,
    detail: str,
    params: Mapping[str, str | int] | None = None,
    field_errors: Sequence[FieldError] = (),
) -> Response:
    """The response, in the language the request asks for."""
    language = negotiate(_header(scope, b"accept-language"))
    problem = Problem(
        type=URN + code,
        title=sentence(code, language, params),
        status=status,
        code=code,
        detail=detail,
        instance=str(scope.get("path", ""))[:MAX_INSTANCE_CHARS],
        request_id=str(scope.get("state", {}).get("request_id", "")),
        params=dict(params or {}),
        errors=list(field_errors),
    )
    headers = {"content-language": language, "vary": "Accept-Language", "cache-control": "no-store"}
    body = problem.model_dump_json().encode()
    return Response(body, status, headers, media_type=MEDIA_TYPE)


def from_error(scope: Mapping[str, Any], error: errors.VibeStreamError) -> Response:
    """The response to a typed error."""
    status = status_of(type(error))
    detail = error.detail
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, errors.Transient):
        log.error("unmapped error", code=error.code, detail=error.detail)
        detail = errors.VibeStreamError.__name__
    response = problem_response(scope, status, error.code, detail, error.params)
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        wait_ms = int(error.params.get("retry_after_ms", 1_000))
        response.headers["retry-after"] = str(max(1, math.ceil(wait_ms / 1_000)))
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["www-authenticate"] = 'Bearer realm="vibestream"'
    return response


def from_http(scope: Mapping[str, Any], error: HTTPException) -> Response:
    """The response to what the HTTP layer refuses (no route, wrong method, too large, …)."""
    code = HTTP_CODES.get(error.status_code, "malformed-request")
    detail = str(error.detail)
    response = problem_response(scope, error.status_code, code, detail)
    response.headers.update(error.headers or {})
    return response


def from_validation(
    scope: Mapping[str, Any], problems: Sequence[Mapping[str, Any]], content_type: str
) -> Response:
    """The response to a request that does not fit its schema. Input values are not echoed."""
    first = problems[0]
    if first["type"] == "json_invalid":
        return problem_response(scope, 400, MALFORMED_JSON, "The body is not JSON.")
    if any(e["loc"] == ("body",) for e in problems) and content_type and "json" not in content_type:
        return problem_response(scope, 415, HTTP_CODES[415], "The body must be application/json.")
    found = [_field_error(e) for e in problems[:MAX_ERRORS]]
    detail = "; ".join(f"{e.location} {e.pointer}: {e.detail}" for e in found[:3])
    return problem_response(scope, 422, HTTP_CODES[422], detail, None, found)


def from_unexpected(scope: Mapping[str, Any], error: BaseException) -> Response:
    """The response to a bug: nothing of it leaves the process but the request id in the log."""
    log.error("unexpected error", path=scope.get("path"), exc_info=error)
    return problem_response(scope, 500, HTTP_CODES[500], "An unexpected error; it was logged.")


def install(app: FastAPI) -> None:
    """Answer every error of the application with a problem document."""

    async def on_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, errors.VibeStreamError)
        return from_error(request.scope, error)

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return from_http(request.scope, error)

    async def on_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        content_type = request.headers.get("content-type", "")
        return from_validation(request.scope, error.errors(), content_type)

    async def on_lost_store(request: Request, error: Exception) -> Response:
        log.error("a store cannot be reached", path=request.scope.get("path"), exc_info=error)
        return from_error(request.scope, errors.Unavailable())

    app.add_exception_handler(errors.VibeStreamError, on_error)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_validation)
    for lost in (*PASSING_ERRORS, RedisConnectionError, asyncio.TimeoutError):
        app.add_exception_handler(lost, on_lost_store)


def _field_error(error: Mapping[str, Any]) -> FieldError:
    location, *path = [str(part) for part in error["loc"]]
    pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)
    return FieldError(
        location=location, pointer=pointer, code=str(error["type"]), detail=str(error["msg"])
    )


def _header(scope: Mapping[str, Any], name: bytes) -> str:
    for key, value in scope.get("headers", ()):
        if key == name:
            return bytes(value).decode("latin-1")
    return ""
