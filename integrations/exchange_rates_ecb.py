"""The euro foreign exchange reference rates of the European Central Bank.

One small XML file a working day (`eurofxref-daily.xml`): `Cube` elements of the namespace below,
the inner ones with `currency` and `rate`. It is read event by event and anything with a document
type is refused, so that no entity can be declared, let alone expanded or fetched.
"""

from __future__ import annotations

import asyncio
import re
from datetime import date
from http import HTTPStatus
from xml.parsers import expat

import httpx

from messages.errors import Unavailable
from messages.payments.exchange import PublishedRates, Rate

NAME = "ecb"
BASE = "EUR"
CALL_S = 10.0
MAX_BYTES = 64 * 1024  # the real one has less than two
MAX_CURRENCIES = 200
CUBE = "http://www.ecb.int/vocabulary/2002-08-01/eurofxref Cube"
_RATE = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,9}))?", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


class RatesMalformedError(ValueError):
    """This is no document of reference rates."""


class EcbRates:
    """The file at a URL."""

    def __init__(self, url: str, *, call_s: float = CALL_S) -> None:
        self._url, self._call_s = url, call_s
        self._client = httpx.AsyncClient(timeout=call_s, trust_env=False)

    async def fetch(self) -> PublishedRates:
        """The file's rates. Raises Unavailable."""
        try:
            async with asyncio.timeout(self._call_s):
                return read_rates(await self._download())
        except (httpx.HTTPError, TimeoutError, RatesMalformedError) as error:
            raise Unavailable(f"no exchange rates: {type(error).__name__}") from error

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()

    async def _download(self) -> bytes:
        async with self._client.stream("GET", self._url) as response:
            if response.status_code != HTTPStatus.OK:
                raise RatesMalformedError(f"status {response.status_code}")
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise RatesMalformedError("too long")
            return bytes(body)


def read_rates(document: bytes) -> PublishedRates:
    """The rates of a document. Raises RatesMalformedError."""
    if len(document) > MAX_BYTES:
        raise RatesMalformedError("too long")
    reader = _Reader()
    try:
        reader.parser.Parse(document, True)
    except (expat.ExpatError, UnicodeDecodeError, LookupError) as error:
        raise RatesMalformedError(str(error)) from None
    if reader.day is None or not reader.rates:
        raise RatesMalformedError("there is no day, or there are no rates")
    return PublishedRates(NAME, BASE, reader.day, reader.rates)


class _Reader:
    """Collects what the `Cube` elements say."""

    def __init__(self) -> None:
        self.day: date | None = None
        self.rates: dict[str, Rate] = {}
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.StartElementHandler = self._element
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.EntityDeclHandler = self._refuse

    def _refuse(self, *_: object) -> None:
        raise RatesMalformedError("a document type")

    def _element(self, name: str, attributes: dict[str, str]) -> None:
        if name != CUBE:
            return
        if "time" in attributes:
            self._begin(attributes["time"])
        if "currency" in attributes:
            self._add(attributes["currency"], attributes.get("rate", ""))

    def _begin(self, text: str) -> None:
        if self.day is not None or not _DAY.fullmatch(text):
            raise RatesMalformedError("not one day")
        try:
            self.day = date.fromisoformat(text)
        except ValueError:
            raise RatesMalformedError("no such day") from None

    def _add(self, currency: str, text: str) -> None:
        found = _RATE.fullmatch(text)
        if found is None or not _CURRENCY.fullmatch(currency):
            raise RatesMalformedError("a rate that is none")
        fraction = found[2] or ""
        rate = Rate(int(found[1] + fraction), len(fraction))
        if rate.value == 0 or currency in self.rates or len(self.rates) >= MAX_CURRENCIES:
            raise RatesMalformedError("a rate of nothing, or twice, or too many")
        self.rates[currency] = rate
