"""The doors without any store: pages of other origins, schemes, heads, bodies, addresses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Request

from api.doors import MAX_HEADERS, DoorSettings, client_address, client_network
from domain.client_address import parse_networks
from tests.api_services import Api, assert_problem, make_services, open_api

PAGE = "https://app.example.org"
PREFLIGHT = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
ALLOW = "access-control-allow-origin"


def doors(tmp_path: Path, **changes: Any) -> Any:
    return open_api(make_services(tmp_path, doors=DoorSettings(**changes)))


async def test_a_page_on_the_list_may_call_and_read(tmp_path: Path) -> None:
    async with doors(tmp_path, allowed_origins=(PAGE,)) as api:
        before = await api.client.options("/api/v1/sessions", headers=PREFLIGHT)
        assert before.status_code == 204
        assert before.headers[ALLOW] == PAGE
        assert before.headers["access-control-allow-credentials"] == "true"
        assert int(before.headers["access-control-max-age"]) > 600
        assert "idempotency-key" in before.headers["access-control-allow-headers"].lower()
        for path in ("/api/v1/ping", "/nowhere"):
            answer = await api.client.get(path, headers={"Origin": PAGE})
            assert answer.headers[ALLOW] == PAGE
            assert "Origin" in answer.headers.get_list("vary", split_commas=True)
            exposed = answer.headers["access-control-expose-headers"]
            for name in ("RateLimit", "Retry-After", "X-Request-ID", "Idempotency-Replayed"):
                assert name in exposed


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example.org", "null", PAGE + ".evil.org", PAGE.upper(), PAGE + ":8443", "*"],
)
async def test_another_page_is_given_no_permission(tmp_path: Path, origin: str) -> None:
    async with doors(tmp_path, allowed_origins=(PAGE,)) as api:
        asked = await api.client.options("/api/v1/users", headers={**PREFLIGHT, "Origin": origin})
        answer = await api.client.get("/api/v1/ping", headers={"Origin": origin})
        for one in (asked, answer):
            assert not [name for name in one.headers if name.startswith("access-control")]
            assert one.headers["vary"] == "Origin", "a cache must not give it to the other page"


async def test_a_wildcard_never_comes_with_credentials(tmp_path: Path) -> None:
    async with doors(tmp_path, allowed_origins=("*",)) as api:
        for answer in (
            await api.client.options("/api/v1/users", headers=PREFLIGHT),
            await api.client.get("/api/v1/ping", headers={"Origin": PAGE}),
        ):
            assert answer.headers[ALLOW] == "*"
            assert "access-control-allow-credentials" not in answer.headers


async def test_without_a_list_there_is_no_cors(tmp_path: Path) -> None:
    async with doors(tmp_path) as api:
        answer = await api.client.get("/api/v1/ping", headers={"Origin": PAGE})
        assert ALLOW not in answer.headers
        refused = await api.client.options("/api/v1/ping", headers=PREFLIGHT)
        assert ALLOW not in refused.headers


async def test_a_document_is_kept_apart_from_others(tmp_path: Path) -> None:
    async with doors(tmp_path) as api:
        page = (await api.client.get("/docs")).headers
        assert page["cross-origin-opener-policy"] == "same-origin"
        assert page["cross-origin-embedder-policy"] == "require-corp"
        assert "microphone=()" in page["permissions-policy"]
        data = (await api.client.get("/api/v1/ping")).headers
        assert "base-uri 'none'" in data["content-security-policy"]
        assert data["cross-origin-resource-policy"] == "same-site"


# --- HTTPS --------------------------------------------------------------------------------------

TRUSTED = parse_networks(["10.0.0.0/8"])


def behind_proxy(api: Api, peer: str = "10.0.0.1") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=api.app, client=(peer, 4711))
    return httpx.AsyncClient(transport=transport, base_url="http://api.test")


async def test_plain_requests_are_redirected_if_they_only_read(tmp_path: Path) -> None:
    async with doors(tmp_path, https_only=True, trusted_proxies=TRUSTED) as api:
        plain = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "http"}
        async with behind_proxy(api) as client:
            moved = await client.get("/api/v1/songs?q=a%20b", headers=plain)
            assert moved.status_code == 308
            assert moved.headers["location"] == "https://api.test/api/v1/songs?q=a%20b"
            assert "strict-transport-security" not in moved.headers, "RFC 6797, 7.2"
            refused = await client.post("/api/v1/sessions", json={}, headers=plain)
            assert_problem(refused, 403, "https-required")
            secure = {**plain, "X-Forwarded-Proto": "https"}
            answer = await client.get("/api/v1/ping", headers=secure)
            assert answer.status_code == 200
            assert "includeSubDomains" in answer.headers["strict-transport-security"]
            assert (await client.get("/health/live", headers=plain)).status_code == 200


async def test_only_a_trusted_proxy_is_believed_that_it_was_https(tmp_path: Path) -> None:
    said = {"X-Forwarded-Proto": "https"}
    async with doors(tmp_path, https_only=True, trusted_proxies=TRUSTED) as api:
        async with behind_proxy(api, "203.0.113.7") as client:
            assert (await client.get("/api/v1/ping", headers=said)).status_code == 308
        async with behind_proxy(api, "127.0.0.1") as client:  # the engine's own HAProxy
            direct = {**said, "X-Forwarded-For": "203.0.113.7"}
            assert (await client.get("/api/v1/ping", headers=direct)).status_code == 308
            through = {**said, "X-Forwarded-For": "203.0.113.7, 10.0.0.1"}
            assert (await client.get("/api/v1/ping", headers=through)).status_code == 200


@pytest.mark.parametrize("host", ["evil.org/x?", "a b", "x@y", "a\r\nb", ""])
async def test_no_redirect_to_a_host_that_is_none(tmp_path: Path, host: str) -> None:
    async with doors(tmp_path, https_only=True) as api:
        scope = {"type": "http", "method": "GET", "path": "/api/v1/ping", "query_string": b"",
                 "headers": [(b"host", host.encode())], "scheme": "http",
                 "client": ("203.0.113.7", 1)}  # fmt: skip
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": b""}

        await api.app(scope, receive, send)
        assert sent[0]["status"] == 403
        assert b"location" not in dict(sent[0]["headers"])


async def test_a_redirect_stays_on_its_host(tmp_path: Path) -> None:
    async with doors(tmp_path, https_only=True) as api:
        moved = await api.client.get("http://api.test//evil.org/%0d%0aX-Bad:%201")
        assert moved.headers["location"].startswith("https://api.test//evil.org/%0D%0AX-Bad:%201")


# --- heads and bodies ---------------------------------------------------------------------------


async def test_heads_are_limited(tmp_path: Path) -> None:
    async with doors(tmp_path) as api:
        many = {f"x-{number}": "1" for number in range(MAX_HEADERS)}
        assert_problem(await api.client.get("/api/v1/ping", headers=many), 431, "headers-too-large")
        long = {"x-long": "x" * 17_000}
        assert_problem(await api.client.get("/api/v1/ping", headers=long), 431, "headers-too-large")


async def test_a_body_that_dawdles_is_given_up(tmp_path: Path) -> None:
    async def dawdle() -> AsyncIterator[bytes]:
        yield b'{"username": '
        await asyncio.sleep(60)
        yield b'"x"}'

    services = make_services(tmp_path, body_timeout_s=0.05)
    async with open_api(services) as api:
        headers = {"Content-Type": "application/json"}
        answer = await asyncio.wait_for(
            api.client.post("/api/v1/sessions", content=dawdle(), headers=headers), 10
        )
        assert_problem(answer, 408, "request-too-slow")


async def test_routes_learn_who_asked(tmp_path: Path) -> None:
    async with doors(tmp_path, trusted_proxies=TRUSTED) as api:

        async def route(request: Request) -> list[str]:
            return [client_address(request), client_network(request)]

        api.app.get("/who")(route)
        async with behind_proxy(api) as client:
            answer = await client.get("/who", headers={"X-Forwarded-For": "1.1.1.1, 2001:db8::7"})
            assert answer.json() == ["2001:db8::7", "2001:db8::/64"]
        async with behind_proxy(api, "203.0.113.7") as client:
            answer = await client.get("/who", headers={"X-Forwarded-For": "1.1.1.1"})
            assert answer.json() == ["203.0.113.7", "203.0.113.7"]
