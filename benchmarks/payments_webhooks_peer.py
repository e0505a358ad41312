"""A webhook's route as tutorials show it, for `benchmarks/payments_webhooks.py`.

    python -m benchmarks.payments_webhooks_peer PORT POSTGRES_URL SECRET

Says `ready` and ends when its input ends.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import stripe
import uvicorn
import uvloop
from fastapi import FastAPI, Request

TABLE = """
create table if not exists events (id text primary key, type text not null, body jsonb not null,
    at timestamptz not null default now())"""
ADD = "insert into events (id, type, body) values ($1, $2, $3) on conflict do nothing"
CONNECTIONS = 16


def create_app(url: str, secret: str) -> FastAPI:
    """The application."""
    state: dict[str, Any] = {}

    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(url, max_size=CONNECTIONS) as pool:
            await pool.execute(TABLE)
            state["pool"] = pool
            yield

    app = FastAPI(lifespan=life)

    @app.post("/api/v1/webhooks/stripe")
    async def take(request: Request) -> dict[str, bool]:
        body = await request.body()
        signature = request.headers["stripe-signature"]
        event: Any = stripe.Webhook.construct_event(body, signature, secret)
        await state["pool"].execute(ADD, event.id, event.type, body.decode())
        return {"received": True}

    return app


async def serve(port: int, url: str, secret: str) -> None:
    """Until the input ends."""
    config = uvicorn.Config(
        create_app(url, secret), port=port, log_level="warning", access_log=False
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event to await
        await asyncio.sleep(0.01)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
