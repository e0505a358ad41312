"""A stand-in for an external scorer of payments: checks the signature, answers a score.

    python simulators/risk_scorer.py PORT SECRET

It scores by a plain rule (the amount in hundreds of units, at most 100), or as it is told:
`POST /_simulator/plan` with {"score": 80}, {"delay_ms": 500}, {"status": 503}, {"body": "garbage"}.
Loopback only.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import sys
import time
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TOLERANCE_S = 300
KEPT = 1_000


class RiskScorerSimulator:
    """Remembers what it was asked, and does what the plan says."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self.plan: dict[str, Any] = {}
        self.asked: list[dict[str, Any]] = []

    def app(self) -> Starlette:
        """The server."""
        return Starlette(
            routes=[
                Route("/score", self._score, methods=["POST"]),
                Route("/_simulator/plan", self._set_plan, methods=["POST"]),
            ]
        )

    async def _set_plan(self, request: Request) -> Response:
        self.plan = await request.json()
        return JSONResponse(self.plan)

    async def _score(self, request: Request) -> Response:
        body = await request.body()
        if not self._is_signed(request.headers.get("vibestream-signature", ""), body):
            return JSONResponse({"error": "signature"}, 401)
        question = json.loads(body)
        self.asked = [*self.asked[-KEPT:], question]
        plan = self.plan
        await asyncio.sleep(plan.get("delay_ms", 0) / 1_000)
        if "status" in plan:
            return Response(status_code=plan["status"])
        if "body" in plan:
            return Response(plan["body"], media_type="application/json")
        score = plan.get("score", min(100, question["features"]["amount_cents"] // 10_000))
        return JSONResponse({"score": score})

    def _is_signed(self, header: str, body: bytes) -> bool:
        parts = dict(part.partition("=")[::2] for part in header.split(","))
        at_s = parts.get("t", "")
        if not at_s.isdigit() or abs(time.time() - int(at_s)) > TOLERANCE_S:
            return False
        signed = f"{at_s}.".encode() + body
        expected = hmac.new(self._secret.encode(), signed, hashlib.sha256).hexdigest()
        return hmac.compare_digest(parts.get("v1", ""), expected)


def main() -> None:
    """Serve until the process ends."""
    port, secret = int(sys.argv[1]), sys.argv[2]
    uvicorn.run(RiskScorerSimulator(secret).app(), host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main()
