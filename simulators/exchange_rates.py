"""The European Central Bank's daily reference rates on one machine: the same file, other figures.

    python -m simulators.exchange_rates PORT

They are of the last working day. `POST /_simulator/rates` replaces what is told:
{"day": "2026-11-27", "rates": {"USD": "1.0842"}}, {"status": 503} or {"body": "garbage"}. Loopback.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, date, datetime, timedelta
from typing import Any
from xml.sax.saxutils import quoteattr

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

PATH = "/stats/eurofxref/eurofxref-daily.xml"
RATES = {"USD": "1.0842", "JPY": "162.35", "GBP": "0.85630", "CHF": "0.9362", "SEK": "11.0340"}
SATURDAY = 5
PAGE = """<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01" \
xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
<gesmes:subject>Reference rates</gesmes:subject>
<gesmes:Sender><gesmes:name>European Central Bank</gesmes:name></gesmes:Sender>
<Cube><Cube time={day}>
{cubes}
</Cube></Cube>
</gesmes:Envelope>
"""


class RatesSimulator:
    """Tells the plan's rates, or those of the last working day."""

    def __init__(self) -> None:
        self.plan: dict[str, Any] = {}

    def app(self) -> Starlette:
        """The server."""
        return Starlette(
            routes=[
                Route(PATH, self._tell),
                Route("/_simulator/rates", self._set_plan, methods=["POST"]),
            ]
        )

    async def _set_plan(self, request: Request) -> Response:
        self.plan = await request.json()
        return JSONResponse(self.plan)

    async def _tell(self, _request: Request) -> Response:
        status = int(self.plan.get("status", 200))
        body = self.plan.get("body")
        if body is None:
            day = self.plan.get("day", working_day(datetime.now(UTC).date()).isoformat())
            body = document(day, self.plan.get("rates", RATES))
        return Response(body, status, media_type="text/xml")


def working_day(today: date) -> date:
    """Today, or the Friday before a weekend."""
    return today - timedelta(days=max(0, today.weekday() - SATURDAY + 1))


def document(day: str, rates: dict[str, str]) -> str:
    """The file, as the bank writes it."""
    cubes = "\n".join(
        f"<Cube currency={quoteattr(code)} rate={quoteattr(rate)}/>" for code, rate in rates.items()
    )
    return PAGE.format(day=quoteattr(day), cubes=cubes)


def main() -> None:
    """Serve on loopback until it is ended."""
    config = uvicorn.Config(
        RatesSimulator().app(), "127.0.0.1", int(sys.argv[1]), log_level="critical"
    )
    asyncio.run(uvicorn.Server(config).serve())


if __name__ == "__main__":
    main()
