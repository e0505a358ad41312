"""A multipart upload streamed to a file: bounded memory, a size limit, digested on the way.

FastAPI reads a form before it asks its dependencies, so a stranger could fill the disk before being
asked who they are. Here the route reads, after it has checked.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException

from messages.music import UploadMalformed, UploadTooLarge, UploadTooSlow

MAX_FIELD_BYTES = 8 * 1024
MAX_FIELDS = 16
MAX_HEADER_BYTES = 4 * 1024
WRITE_BYTES = 256 * 1024
# What boundaries, headers and fields may add to the file itself.
FORM_OVERHEAD_BYTES = 64 * 1024 + MAX_FIELDS * (MAX_FIELD_BYTES + MAX_HEADER_BYTES)


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that has arrived. It is gone when the context that gave it ends."""

    path: Path
    size: int
    sha256: bytes
    fields: dict[str, str]


@dataclass(slots=True)
class _Part:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    header_name: bytearray = field(default_factory=bytearray)
    header_value: bytearray = field(default_factory=bytearray)
    name: str = ""
    is_file: bool = False
    text: bytearray = field(default_factory=bytearray)


@asynccontextmanager
async def receive_upload(
    request: Request, folder: Path, *, file_field: str, max_bytes: int, timeout_s: float
) -> AsyncIterator[Upload]:
    """Read a form with one file named `file_field` and text fields.

    Raises UploadMalformed, UploadTooLarge or UploadTooSlow; HTTPException 415 for another body.
    """
    boundary = _boundary(request)
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile(dir=folder, prefix="upload-") as sink:
        form = _Form(sink, boundary, file_field, max_bytes)
        try:
            async with asyncio.timeout(timeout_s):
                async for chunk in request.stream():
                    await form.feed(chunk)
                await form.finish()
        except TimeoutError:
            raise UploadTooSlow(limit_s=int(timeout_s)) from None
        yield Upload(Path(sink.name), form.size, form.digest.digest(), form.fields)


class _Form:
    """Turns the parser's callbacks into a file and fields."""

    def __init__(self, sink: IO[bytes], boundary: bytes, file_field: str, max_bytes: int) -> None:
        self.size = 0
        self.fields: dict[str, str] = {}
        self.digest = hashlib.sha256()
        self._sink = sink
        self._file_field = file_field
        self._max_bytes = max_bytes
        self._pending = bytearray()
        self._has_file = self._complete = False
        self._part = _Part()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._on_part_begin,
                "on_part_data": self._on_part_data,
                "on_part_end": self._on_part_end,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_end": self._on_end,
            },
        )

    async def feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise UploadMalformed from None
        if len(self._pending) >= WRITE_BYTES:
            await self._flush()

    async def finish(self) -> None:
        try:
            self._parser.finalize()
        except FormParserError:
            raise UploadMalformed from None
        if not self._complete or not self._has_file:
            raise UploadMalformed
        await self._flush()
        await asyncio.to_thread(self._sink.flush)

    async def _flush(self) -> None:
        data, self._pending = bytes(self._pending), bytearray()
        await asyncio.to_thread(self._write, data)

    def _write(self, data: bytes) -> None:
        self.digest.update(data)
        self._sink.write(data)

    def _on_part_begin(self) -> None:
        if len(self.fields) >= MAX_FIELDS:
            raise UploadMalformed
        self._part = _Part()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._part.header_name += data[start:end]
        self._limit_header()

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._part.header_value += data[start:end]
        self._limit_header()

    def _limit_header(self) -> None:
        part = self._part
        if len(part.header_name) + len(part.header_value) > MAX_HEADER_BYTES:
            raise UploadMalformed

    def _on_header_end(self) -> None:
        part = self._part
        if len(part.headers) >= MAX_FIELDS:
            raise UploadMalformed
        part.headers[bytes(part.header_name).lower()] = bytes(part.header_value)
        part.header_name.clear()
        part.header_value.clear()

    def _on_headers_finished(self) -> None:
        part = self._part
        kind, options = parse_options_header(part.headers.get(b"content-disposition", b""))
        part.name = options.get(b"name", b"").decode("utf-8", "replace")
        part.is_file = part.name == self._file_field
        repeated = part.name in self.fields or (part.is_file and self._has_file)
        if kind != b"form-data" or not part.name or repeated:
            raise UploadMalformed
        self._has_file = self._has_file or part.is_file

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if not self._part.is_file:
            self._part.text += data[start:end]
            if len(self._part.text) > MAX_FIELD_BYTES:
                raise UploadMalformed
            return
        self.size += end - start
        if self.size > self._max_bytes:
            raise UploadTooLarge(limit_bytes=self._max_bytes)
        self._pending += data[start:end]

    def _on_part_end(self) -> None:
        if not self._part.is_file:
            try:
                self.fields[self._part.name] = self._part.text.decode()
            except UnicodeDecodeError:
                raise UploadMalformed from None

    def _on_end(self) -> None:
        self._complete = True


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        raise HTTPException(415, "The body must be multipart/form-data.")
    boundary: bytes = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 70:  # RFC 2046
        raise UploadMalformed
    return boundary


def form_schema(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    """The OpenAPI description of such a form."""
    schema = {"type": "object", "properties": properties, "required": required}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
