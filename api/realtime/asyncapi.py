"""The AsyncAPI 3 document of the realtime door, from the definitions that it runs on.

`make openapi` writes `asyncapi.json`; a test says when it is stale.
"""

from __future__ import annotations

import inspect
import json
import pkgutil
from importlib import import_module
from pathlib import Path
from typing import Any, cast, get_args

import msgspec

import messages
from api.realtime import protocol
from api.realtime.channels import CHANNEL_KINDS
from api.realtime.limits import Limits
from api.realtime.listening import ListeningOperations
from api.realtime.market import MarketOperations
from api.realtime.operations import Operation, Operations
from api.realtime.protocol import CLOSE_MEANINGS, SUBPROTOCOL, ClientMessage, ServerMessage

VERSION = "1.0.0"
FILE = Path(__file__).resolve().parents[2] / "asyncapi.json"
CHANNEL = "realtime"
REF = "#/components/schemas/{name}"
PUBLIC = "Public:"  # how the docstring of an event begins that reaches the bus
# What answers what. Every request may be answered by `error` instead.
REPLIES = {
    "Hello": ("Welcome",),
    "Renew": ("Renewed",),
    "Subscribe": ("Subscribed",),
    "Unsubscribe": ("Unsubscribed",),
    "Call": ("Result",),
    "Ping": ("Pong",),
}
ON_ITS_OWN = ("EventMessage", "Resync", "Bye", "Ping", "ErrorMessage")
DESCRIPTION = """\
One WebSocket, JSON in text frames or MessagePack in binary frames. `hello` comes first; then
subscriptions to channels, which resume from where the client was, and calls of operations.
`docs/realtime.md` has the rules: order, resuming, backpressure, heartbeats, close codes.
"""


def build() -> dict[str, Any]:
    """The document."""
    operations = all_operations()
    events = public_events()
    client, server = get_args(ClientMessage), get_args(ServerMessage)
    types = list(dict.fromkeys((*client, *server)))
    more = [t for o in operations for t in (o.params_type, o.result_type) if t is not None]
    schemas = _schemas([*types, *events, *more])
    names = [t.__name__ for t in types]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "VibeStream realtime",
            "version": VERSION,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "direct": {
                "host": "localhost:8011",
                "protocol": "ws",
                "description": "A replica's own listener. `GET /api/v1/realtime` names them all.",
            },
            "fallback": {
                "host": "localhost:8000",
                "pathname": "/realtime/ws",
                "protocol": "ws",
                "description": "Through the HTTP port.",
            },
        },
        "channels": {
            CHANNEL: {
                "address": "/",
                "description": f"WebSocket subprotocol `{SUBPROTOCOL}`.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
                "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
            }
        },
        "operations": _protocol_operations(client),
        "components": {"messages": {t.__name__: _message(t) for t in types}, "schemas": schemas},
        "x-channels": {
            f"{name}:{{id}}": {
                "description": kind.shows,
                "public": kind.public,
                "conflatable": kind.conflatable,
            }
            for name, kind in CHANNEL_KINDS.items()
        },
        "x-events": {e.__name__: {"$ref": REF.format(name=e.__name__)} for e in events},
        "x-calls": {
            o.name: {
                "summary": o.summary,
                "params": {"$ref": REF.format(name=o.params_type.__name__)},
                "result": {"$ref": REF.format(name=o.result_type.__name__)},
            }
            for o in sorted(operations, key=lambda o: o.name)
        },
        "x-close-codes": {
            str(int(code)): {"name": code.name.lower(), "meaning": meaning, "client": what}
            for code, (meaning, what) in CLOSE_MEANINGS.items()
        },
        "x-limits": msgspec.to_builtins(Limits()),
    }


def text() -> str:
    """The document as it is committed."""
    return json.dumps(build(), indent=2, ensure_ascii=False) + "\n"


def public_events() -> list[type[msgspec.Struct]]:
    """All facts that listeners may see, by the convention that `messages/` keeps."""
    found: dict[str, type[msgspec.Struct]] = {}
    for module in pkgutil.walk_packages(messages.__path__, "messages."):
        for name, value in vars(import_module(module.name)).items():
            is_struct = isinstance(value, type) and issubclass(value, msgspec.Struct)
            if is_struct and (value.__doc__ or "").startswith(PUBLIC):
                found[name] = value
    return [found[name] for name in sorted(found)]


def all_operations() -> list[Operation]:
    """What clients may call, without any service behind it."""
    operations = Operations()
    ListeningOperations(cast(Any, None)).register(operations)
    MarketOperations(cast(Any, None)).register(operations)
    return list(operations)


def _schemas(types: list[Any]) -> dict[str, Any]:
    _, components = msgspec.json.schema_components(types, ref_template=REF)
    return dict(sorted(components.items()))


def _message(kind: type[msgspec.Struct]) -> dict[str, Any]:
    tag = kind.__struct_config__.tag
    return {
        "name": tag,
        "title": kind.__name__,
        "summary": inspect.cleandoc(kind.__doc__ or "").replace("\n", " "),
        "payload": {"$ref": REF.format(name=kind.__name__)},
    }


def _protocol_operations(client: tuple[type[msgspec.Struct], ...]) -> dict[str, Any]:
    """What the server receives, with its replies, and what it sends on its own."""
    channel = {"$ref": f"#/channels/{CHANNEL}"}

    def ref(name: str) -> dict[str, str]:
        return {"$ref": f"#/channels/{CHANNEL}/messages/{name}"}

    operations: dict[str, Any] = {}
    for kind in client:
        name = kind.__name__
        operation: dict[str, Any] = {
            "action": "receive",
            "channel": channel,
            "summary": (kind.__doc__ or "").strip().split("\n", 1)[0],
            "messages": [ref(name)],
        }
        if name in REPLIES:
            replies = [*REPLIES[name], *(() if name == "Ping" else ("ErrorMessage",))]
            operation["reply"] = {"channel": channel, "messages": [ref(r) for r in replies]}
        operations[f"receive{name}"] = operation
    for name in ON_ITS_OWN:
        operations[f"send{name}"] = {
            "action": "send",
            "channel": channel,
            "summary": (getattr(protocol, name).__doc__ or "").strip().split("\n", 1)[0],
            "messages": [ref(name)],
        }
    return operations
