"""The OpenAPI 3.1 document: what FastAPI derives, with every way of failing spelt out.

Each operation lists its problem responses as references to shared components, so that a generated
client has one `Problem` type and no operation can fail in a shape that is not declared.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from api.access import RouteAccess
from api.problems import MEDIA_TYPE, FieldError, Problem
from domain.access import Permission

TITLE = "VibeStream"
DESCRIPTION = """\
The realtime engine of a music platform where listening earns and songs are owned in shares.

Errors are RFC 9457 problem documents with a stable `code`. Requests that create something carry an
`Idempotency-Key` and may be repeated safely. Moments are epoch milliseconds, amounts integer minor
units. Realtime clients find their WebSocket addresses at `GET /api/v1/realtime`.
"""
RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds to wait before asking again.",
        "schema": {"type": "integer", "minimum": 1},
    }
}
REPLAYED = {
    "Idempotency-Replayed": {
        "description": "`true` if this answer was recorded when the request was first sent.",
        "schema": {"type": "string", "const": "true"},
    }
}
PROBLEMS: dict[int, tuple[str, str]] = {
    400: ("Malformed", "The request cannot be read."),
    401: ("Unauthenticated", "There is no valid access token."),
    403: ("Forbidden", "The caller may not do this."),
    404: ("NotFound", "There is no such thing, or it is not the caller's to see."),
    408: ("TooSlow", "The request took too long to arrive."),
    409: ("Conflict", "The present state does not allow this."),
    413: ("TooLarge", "The body is too large."),
    415: ("UnsupportedMediaType", "The body is not in an accepted format."),
    416: ("RangeNotSatisfiable", "The range lies outside the content."),
    422: ("Invalid", "The request breaks a rule; `errors` may list which."),
    429: ("Limited", "A limit of the caller is reached."),
    431: ("HeadersTooLarge", "The request's header is too large."),
    500: ("Internal", "An unexpected error."),
    503: ("Unavailable", "The engine is at its limit or a part cannot be reached."),
}
ALWAYS = (400, 403, 422, 429, 431, 500, 503)
WITH_BODY = (408, 413, 415)
FASTAPI_SCHEMAS = ("HTTPValidationError", "ValidationError")
SCHEME = "accessToken"
SECURITY_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "An access token from `POST /api/v1/sessions`, or an API key (`vsk_…`).",
}
PERMISSION_FIELD = "x-permission"
PUBLIC = "public"
METHODS = ("get", "put", "post", "delete", "patch", "head")

Responses = dict[int | str, dict[str, Any]]


def problems(*statuses: int, replayed: bool = False) -> Responses:
    """The problem responses that a route declares beside those that every route has.

    replayed: whether the route's 201 may be a recorded one.
    """
    responses: Responses = {status: {"description": PROBLEMS[status][1]} for status in statuses}
    if replayed:
        responses[201] = {"headers": REPLAYED}
    return responses


def operation_id(route: APIRoute) -> str:
    """The handler's name in camel case, which is what generated clients call it."""
    first, *rest = route.name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def build(app: FastAPI, version: str, access: Iterable[RouteAccess]) -> dict[str, Any]:
    """The document of an application whose routes ask for these permissions."""
    document = get_openapi(
        title=TITLE,
        version=version,
        openapi_version="3.1.0",
        description=DESCRIPTION,
        routes=app.routes,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in FASTAPI_SCHEMAS:
        schemas.pop(name, None)
    schemas.update(_problem_schemas())
    components["securitySchemes"] = {SCHEME: SECURITY_SCHEME}
    for route in access:
        operation = document["paths"].get(route.path, {}).get(route.method.lower())
        if operation is not None:  # pages for people are not in the document
            _declare_access(operation, route.permission)
    components["responses"] = {name: _component(status) for status, (name, _) in PROBLEMS.items()}
    seen: set[str] = set()
    for path in document["paths"].values():
        for method, operation in path.items():
            if method in METHODS:
                assert operation["operationId"] not in seen, "operation ids are unique"
                seen.add(operation["operationId"])
                _declare_problems(operation)
    return document


def _declare_access(operation: dict[str, Any], permission: Permission | None) -> None:
    operation[PERMISSION_FIELD] = permission.value if permission else PUBLIC
    if permission is not None:
        operation["security"] = [{SCHEME: []}]
        for status in (401, 403):
            operation["responses"].setdefault(str(status), {"description": ""})


def _problem_schemas() -> dict[str, Any]:
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs")
    return {"Problem": schema, "FieldError": FieldError.model_json_schema()}


def _component(status: int) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": PROBLEMS[status][1],
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in {429, 503}:
        response["headers"] = RETRY_AFTER
    return response


def _declare_problems(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    wanted = {*ALWAYS, *(WITH_BODY if "requestBody" in operation else ())}
    wanted |= {int(s) for s in responses if s.isdigit() and int(s) in PROBLEMS}
    for status in wanted:
        given = responses.get(str(status), {})
        reference = {"$ref": f"#/components/responses/{PROBLEMS[status][0]}"}
        # A response with a model of its own keeps it (readiness answers 503 with its report).
        ours = "content" not in given or status == 422
        responses[str(status)] = reference if ours else given
    operation["responses"] = dict(sorted(responses.items()))
