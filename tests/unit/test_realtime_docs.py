"""docs/realtime.md says what the code says: goes red when a message, code or limit is missing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from api.realtime import asyncapi
from api.realtime.channels import CHANNEL_KINDS
from api.realtime.limits import Limits
from api.realtime.listening import ListeningOperations
from api.realtime.market import MarketOperations
from api.realtime.operations import Operations
from api.realtime.protocol import ClientMessage, CloseCode, Encoding, ServerMessage, decode

DOC = (Path(__file__).resolve().parents[2] / "docs" / "realtime.md").read_text("utf-8")
EXAMPLES = re.findall(r"^([→←]) (\{.*\})$", DOC, re.MULTILINE)
from_server = msgspec.json.Decoder(ServerMessage)


def _tags(union: object) -> set[str]:
    return {str(kind.__struct_config__.tag) for kind in get_args(union)}


@pytest.mark.parametrize(("direction", "text"), EXAMPLES)
def test_every_example_is_a_message(direction: str, text: str) -> None:
    if direction == "→":
        decode(text.encode(), Encoding.JSON)
    else:
        from_server.decode(text)


def test_every_message_has_an_example() -> None:
    def shown(arrow: str) -> set[str]:
        return {msgspec.json.decode(text)["t"] for found, text in EXAMPLES if found == arrow}

    # A client also answers pings with pongs, and the server asks: prose says so.
    assert shown("→") >= _tags(ClientMessage) - {"pong"}
    assert shown("←") >= _tags(ServerMessage) - {"ping"}


@pytest.mark.parametrize("code", CloseCode)
def test_every_close_code_is_explained(code: CloseCode) -> None:
    assert re.search(rf"^\|[^|]*\b{int(code)}\b", DOC, re.MULTILINE)


def test_every_limit_has_its_default() -> None:
    rows = "\n".join(re.findall(r"^\| `.*$", DOC, re.MULTILINE))
    for name, value in msgspec.structs.asdict(Limits()).items():
        assert f"`{name}`" in rows, name
        line = next(row for row in rows.splitlines() if f"`{name}`" in row)
        assert f"{value:,}" in line, name


def test_every_operation_and_channel_is_named() -> None:
    operations = Operations()
    ListeningOperations(None).register(operations)  # type: ignore[arg-type]
    MarketOperations(None).register(operations)  # type: ignore[arg-type]
    for operation in operations:
        assert f"`{operation.name}`" in DOC, operation.name
    for kind in CHANNEL_KINDS:
        assert f"`{kind}:<id>`" in DOC, kind


def test_the_committed_document_is_fresh() -> None:
    assert asyncapi.FILE.read_text("utf-8") == asyncapi.text(), "run `make openapi`"
