"""Routes for requests by the thousand: what is well-formed is read without FastAPI's solver.

The solver takes some 200 us for a request. Here its parts are used directly: the same fields
validate path and header, the body's model reads its JSON, the dependencies are awaited in turn.
Whatever does not fit goes the usual way from its beginning, so that there is one source of errors.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast, get_type_hints

from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

JSON = b"application/json"

Dependency = Callable[[Request], Awaitable[Any]]


class FastRoute(APIRoute):
    """A route is read fast if it returns a Response and asks for path, headers and body alone.

    Its dependencies take the request and nothing else.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._call, asked = self.endpoint, self.dependant
        returns = get_type_hints(self.endpoint).get("return")
        self._is_fast = returns is Response and not (asked.query_params or asked.cookie_params)
        self._dependencies = [(d.name or "", cast(Dependency, d.call)) for d in asked.dependencies]
        self._headers = [(f.name, f.alias.lower().encode(), f) for f in asked.header_params]
        self._body: TypeAdapter[Any] | None = None
        self._body_name = ""
        if self._is_fast and asked.body_params:
            (field,) = asked.body_params
            self._body_name = field.name
            self._body = TypeAdapter(cast(Any, field.field_info.annotation))

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if not self._is_fast or scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        request = Request(scope, receive)
        # Before a body is read, as everywhere (`api/guards.py`).
        solved = {name: await dependency(request) for name, dependency in self._dependencies}
        body = b"" if self._body is None else await request.body()
        values = self._read(scope, body)
        if values is not None and self.dependant.request_param_name:
            values[self.dependant.request_param_name] = request
        if values is None:
            again = receive if self._body is None else _replay(body, receive)
            await super().handle(scope, again, send)
            return
        response: Response = await self._call(**solved, **values)
        await response(scope, receive, send)

    def _read(self, scope: Scope, body: bytes) -> dict[str, Any] | None:
        """The endpoint's arguments; None if something does not fit."""
        head = dict(reversed(scope["headers"]))  # of a repeated field the first
        values: dict[str, Any] = {}
        if self._body is not None:
            if head.get(b"content-type") != JSON:
                return None
            try:
                values[self._body_name] = self._body.validate_json(body)
            except ValidationError:
                return None
        for name, alias, field in self._headers:
            values[name], errors = field.validate(head.get(alias, b"").decode("latin-1"))
            if errors:
                return None
        for field in self.dependant.path_params:
            values[field.name], errors = field.validate(scope["path_params"][field.alias])
            if errors:
                return None
        return values


def _replay(body: bytes, receive: Receive) -> Receive:
    """Receive a body that was read already, then whatever else comes."""
    unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return unread.pop() if unread else await receive()

    return again
