"""The gateway's edge without any store: ids, limits, headers, health, metrics, documentation."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from api.edge import BrokenResponseError
from api.health import run_check
from api.metrics import merge
from api.pagination import BadCursor, decode_cursor, encode_cursor
from api.ranges import NotSatisfiableError, Span, matches_etag, parse_range
from api.services import HealthCheck
from messages.errors import Unavailable
from storage.database import PASSING_ERRORS
from tests.api_services import Api, assert_problem, make_services, open_api


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(make_services(tmp_path)) as opened:
        yield opened


def add_route(app: FastAPI, path: str, error: BaseException) -> None:
    async def route() -> None:
        raise error

    app.get(path)(route)


async def test_ping_does_nothing(api: Api) -> None:
    answer = await api.client.get("/api/v1/ping")
    assert (answer.status_code, answer.json()) == (200, {"pong": True})


@pytest.mark.parametrize("given_id", ["my-request-0001", "A.b_c-12"])
async def test_a_sane_request_id_is_taken_over(api: Api, given_id: str) -> None:
    answer = await api.client.get("/api/v1/ping", headers={"X-Request-ID": given_id})
    assert answer.headers.get_list("x-request-id") == [given_id]


@pytest.mark.parametrize("given_id", ["", "short", "x" * 65, "has space in", "semi;colon", "ñ" * 9])
async def test_another_request_id_is_replaced(api: Api, given_id: str) -> None:
    answer = await api.client.get("/api/v1/ping", headers={b"X-Request-ID": given_id.encode()})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


async def test_every_answer_carries_the_security_headers(api: Api) -> None:
    for path in ("/api/v1/ping", "/nowhere", "/docs", "/health/live"):
        headers = (await api.client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert len(headers.get_list("content-security-policy")) == 1
        assert "strict-transport-security" not in headers
    secure = await api.client.get("https://api.test/api/v1/ping")
    assert secure.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"


async def test_what_http_refuses_is_a_problem_too(api: Api) -> None:
    assert_problem(await api.client.get("/nowhere"), 404, "no-such-route")
    wrong = await api.client.delete("/api/v1/ping")
    assert_problem(wrong, 405, "method-not-allowed")
    assert wrong.headers["allow"] == "GET"
    key = {"Idempotency-Key": "some-key-1"}
    json = {"Content-Type": "application/json"}
    bad = await api.client.post("/api/v1/users", content=b"{nope", headers=key | json)
    assert_problem(bad, 400, "malformed-json")
    text = {"Content-Type": "text/plain"}
    plain = await api.client.post("/api/v1/users", content=b"{}", headers=key | text)
    assert_problem(plain, 415, "unsupported-media-type")
    for content in (b"", b"[]", b"null", b"7", b'"x"', b"\xff"):
        odd = await api.client.post("/api/v1/users", content=content, headers=key | json)
        assert odd.status_code in {400, 422}
        assert odd.headers["content-type"] == "application/problem+json"
    deep = await api.client.post("/api/v1/users", content=b"[" * 100_000, headers=key | json)
    assert deep.status_code in {400, 422}
    surrogate = b'{"username": "\\ud800abc", "password": "\\ud800"}'
    lone = await api.client.post("/api/v1/sessions", content=surrogate, headers=json)
    assert_problem(lone, 422, "invalid-request")


async def test_validation_lists_all_that_is_wrong(api: Api) -> None:
    answer = await api.client.post("/api/v1/users", json={"email": 7, "extra": 1})
    problem = assert_problem(answer, 422, "invalid-request")
    found = {(e["location"], e["pointer"], e["code"]) for e in problem["errors"]}
    assert found == {
        ("header", "/Idempotency-Key", "missing"),
        ("body", "/username", "missing"),
        ("body", "/email", "string_type"),
        ("body", "/password", "missing"),
        ("body", "/extra", "extra_forbidden"),
    }


async def test_a_bug_is_a_problem_without_internals(api: Api) -> None:
    add_route(api.app, "/bug", RuntimeError("the password is hunter2"))
    answer = await api.client.get("/bug")
    assert_problem(answer, 500, "internal")
    assert "hunter2" not in answer.text


@pytest.mark.parametrize("error", PASSING_ERRORS)
async def test_a_lost_store_is_unavailable(api: Api, error: type[Exception]) -> None:
    add_route(api.app, "/lost", error("10.0.0.7"))
    answer = await api.client.get("/lost")
    assert_problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "1"
    assert "10.0.0.7" not in answer.text


async def test_an_error_after_the_answer_began_breaks_it_off(api: Api) -> None:
    from starlette.responses import StreamingResponse

    async def broken() -> AsyncIterator[bytes]:
        yield b"begin"
        raise RuntimeError

    async def route() -> StreamingResponse:
        return StreamingResponse(broken())

    api.app.get("/broken")(route)
    with pytest.raises(BrokenResponseError):
        await api.client.get("/broken")


async def stream(size: int, read: list[int]) -> AsyncIterator[bytes]:
    for _ in range(size // 1_000):
        read.append(1_000)
        yield b"x" * 1_000


async def test_bodies_are_limited_while_they_stream(api: Api) -> None:
    limit = api.services.settings.max_json_bytes
    headers = {"Content-Type": "application/json", "Idempotency-Key": "some-key-1"}
    declared = await api.client.post("/api/v1/users", content=bytes(limit + 1), headers=headers)
    assert_problem(declared, 413, "request-too-large")
    read: list[int] = []
    chunked = await api.client.post(
        "/api/v1/users", content=stream(10 * limit, read), headers=headers
    )
    assert_problem(chunked, 413, "request-too-large")
    assert sum(read) < limit + 5_000, "it stopped reading at the limit"


async def test_realtime_addresses_name_the_host_the_caller_used(api: Api) -> None:
    async def ask(host: str) -> dict[str, Any]:
        answer = await api.client.get("/api/v1/realtime", headers={"Host": host})
        body: dict[str, Any] = answer.json()
        return body

    assert await ask("music.example.org:9000") == {
        "direct": ["ws://music.example.org:8011/"],
        "fallback": "ws://music.example.org:9000/realtime/ws",
    }
    assert (await ask("[::1]:9000"))["direct"] == ["ws://[::1]:8011/"]
    assert (await ask("evil/?x=<script>"))["direct"] == ["ws://127.0.0.1:8011/"]


async def check(name: str, result: str | Exception, **how: Any) -> HealthCheck:
    async def run() -> str:
        if isinstance(result, Exception):
            raise result
        if result == "hang":
            await asyncio.Event().wait()
        return result

    return HealthCheck(name, run, **how)


async def test_readiness_tells_each_parts_state(tmp_path: Path) -> None:
    good = await check("postgres", "18.6")
    bad = await check("redis", ConnectionRefusedError("10.0.0.7:6379"), critical=False)
    slow = await check("actors", "hang", timeout_s=0.01)
    for checks, status, verdict in (
        ((), 200, "ready"), ((good,), 200, "ready"), ((good, bad), 200, "degraded"),
        ((good, bad, slow), 503, "unready"),
    ):  # fmt: skip
        async with open_api(make_services(tmp_path, health_checks=checks)) as api:
            answer = await api.client.get("/health/ready")
            assert (answer.status_code, answer.json()["status"]) == (status, verdict)
            assert [c["name"] for c in answer.json()["checks"]] == [c.name for c in checks]
            assert (await api.client.get("/health/live")).json() == {"status": "live"}
    results = await asyncio.gather(*(run_check(c) for c in (good, bad, slow)))
    assert [r.status for r in results] == ["ok", "failed", "timeout"]
    assert results[0].detail == "18.6"
    assert results[1].detail == "ConnectionRefusedError", "no address leaves the process"
    assert all(r.latency_ms >= 0 for r in results)


def samples(text: str) -> dict[tuple[str, ...], float]:
    return {
        (s.name, *(f"{k}={v}" for k, v in sorted(s.labels.items()))): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


async def test_metrics_count_by_route_template(api: Api) -> None:
    add_route(api.app, "/api/v1/things/{thing}", Unavailable())
    for path in (
        "/api/v1/things/1",
        "/api/v1/things/2",
        "/nowhere/1",
        "/nowhere/2",
        "/api/v1/ping",
    ):
        await api.client.get(path)
    answer = await api.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = samples(answer.text)
    name = "vibestream_http_requests_total"
    where = ("method=GET", "process=gateway")
    assert found[name, *where, "route=/api/v1/things/{thing}", "status=503"] == 2
    assert found[name, *where, "route=unmatched", "status=404"] == 2
    assert found[name, *where, "route=/api/v1/ping", "status=200"] == 1
    count = "vibestream_http_request_seconds_count"
    assert found[count, *where, "route=/api/v1/things/{thing}"] == 2


async def test_metrics_of_other_processes_are_merged(tmp_path: Path) -> None:
    async def host(number: int) -> bytes:
        return (
            b"# HELP commands_total Commands.\n# TYPE commands_total counter\n"
            b'commands_total{kind="pools"} %d.0\n'
            b"# HELP wait Seconds.\n# TYPE wait histogram\n"
            b'wait_bucket{le="1.0"} 1.0\nwait_bucket{le="+Inf"} 2.0\nwait_count 2.0\nwait_sum 3.5\n'
            % number
        )

    async def lost() -> bytes:
        raise ConnectionError

    async def hangs() -> bytes:
        await asyncio.Event().wait()
        return b""

    async def garbage() -> bytes:
        return b"{{{ not metrics"

    scrapers = {"a": lambda: host(1), "b": lambda: host(2), "lost": lost, "hangs": hangs,
                "garbage": garbage}  # fmt: skip
    services = make_services(tmp_path, scrapers=scrapers, scrape_timeout_s=0.05)
    async with open_api(services) as api:
        text = (await api.client.get("/metrics")).text
    found = samples(text)
    assert text.count("# TYPE commands_total counter") == 1
    assert text.count("# TYPE wait histogram") == 1
    assert found["commands_total", "kind=pools", "process=a"] == 1
    assert found["commands_total", "kind=pools", "process=b"] == 2
    assert found["wait_bucket", "le=+Inf", "process=b"] == 2
    up = {p: found["vibestream_scrape_up", f"process={p}"] for p in ("gateway", *scrapers)}
    assert up == {"gateway": 1, "a": 1, "b": 1, "lost": 0, "hangs": 0, "garbage": 1}


def test_a_metric_of_two_types_does_not_spoil_the_text() -> None:
    gauge = b"# TYPE x gauge\nx 1.0\n"
    text = merge({"a": gauge, "b": b"# TYPE x summary\nx_count 1.0\nx_sum 1.0\n"}).decode()
    assert samples(text) == {("x", "process=a"): 1.0}


async def test_documentation_is_served_from_here_alone(api: Api) -> None:
    for page, library in (("/docs", "swagger-ui-bundle.js"), ("/redoc", "redoc.standalone.js")):
        answer = await api.client.get(page)
        assert "script-src 'self';" in answer.headers["content-security-policy"]
        html = answer.text
        assert library in html
        assert "://" not in html
        assert not re.search(r"<script(?![^>]*src)", html), "no inline script"
        for asset in re.findall(r'(?:src|href)="([^"]+)"', html):
            found = await api.client.get(asset)
            assert found.status_code == 200, asset
            assert len(found.content) > 50
    assert_problem(await api.client.get("/docs/assets/..%2f__init__.py"), 404, "no-such-route")
    assert_problem(await api.client.get("/docs/assets/core.py"), 404, "no-such-route")


@given(st.integers(0, 2**63 - 1), st.uuids())
def test_cursors_come_back(at_ms: int, item: Any) -> None:
    assert decode_cursor(encode_cursor(at_ms, str(item))) == (at_ms, str(item))


@given(st.text(max_size=60) | st.binary(max_size=40).map(lambda b: b.hex()))
def test_other_cursors_are_refused(text: str) -> None:
    try:
        decoded = decode_cursor(text)
    except BadCursor:
        return
    assert 0 <= decoded[0] < 2**63


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None), ("", None), ("bytes=0-0", Span(0, 1)), ("bytes=0-", Span(0, 10)),
        ("bytes=9-20", Span(9, 10)), ("bytes=-3", Span(7, 10)), ("bytes=-30", Span(0, 10)),
        ("bytes=4-2", None), ("bytes=-", None), ("bytes=0-1,2-3", None), ("items=0-1", None),
        ("bytes=\u0661-", None), ("bytes=" + "9" * 20 + "-", None),
    ],
)  # fmt: skip
def test_ranges(header: str | None, expected: Span | None) -> None:
    assert parse_range(header, 10) == expected


@pytest.mark.parametrize(
    "header", ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=" + "9" * 19 + "-"]
)
def test_ranges_outside(header: str) -> None:
    with pytest.raises(NotSatisfiableError):
        parse_range(header, 10)


@given(st.text(alphabet="bytes=0123456789-, ", max_size=20), st.integers(1, 50))
def test_any_range_lies_within(header: str, size: int) -> None:
    try:
        span = parse_range(header, size)
    except NotSatisfiableError:
        return
    assert span is None or 0 <= span.start < span.stop <= size


def test_etags() -> None:
    assert matches_etag('"a"', '"a"', weak=False)
    assert not matches_etag('W/"a"', '"a"', weak=False)
    assert matches_etag('W/"a"', '"a"', weak=True)
    assert matches_etag("*", '"a"', weak=True)
    assert not matches_etag(None, '"a"', weak=True)


async def test_the_services_reach_their_routes(api: Api) -> None:
    async def route(request: Request) -> bool:
        return request.app.state.services is api.services

    api.app.get("/services")(route)
    assert (await api.client.get("/services")).json() is True
