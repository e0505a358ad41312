"""Passkeys with a real browser: Chromium's own authenticator and its own JSON (over CDP).

Skipped where no Chromium is installed.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from websockets.asyncio.client import ClientConnection, connect

from integrations.passkeys import RelyingParty
from storage.database import Pool
from tests.api_services import Api, make_services, open_api
from tests.integration.factors_support import Person

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
    "--remote-debugging-port=0", "--disable-background-networking", "--disable-sync",
)  # fmt: skip
SECONDS = 60
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}
# What a page does: ask for a challenge, let the browser answer it, send what the browser made.
PAGE = """
async (token, pending) => {
  const post = async (path, body) => {
    const headers = {"content-type": "application/json"};
    if (token) headers.authorization = "Bearer " + token;
    const answer = await fetch("/api/v1" + path, {method: "POST", headers,
      body: body === undefined ? undefined : JSON.stringify(body)});
    const text = await answer.text();
    return {status: answer.status, body: text ? JSON.parse(text) : null};
  };
  const get = async asked => (await navigator.credentials.get({publicKey:
    PublicKeyCredential.parseRequestOptionsFromJSON(asked.body.options)})).toJSON();
  const challenge_id = asked => asked.body.challenge_id;
  const done = {};
  let asked = await post("/users/me/passkeys/options");
  const made = await navigator.credentials.create({publicKey:
    PublicKeyCredential.parseCreationOptionsFromJSON(asked.body.options)});
  done.added = await post("/users/me/passkeys",
    {challenge_id: challenge_id(asked), name: "browser", credential: made.toJSON()});
  asked = await post("/sessions/current/step-up/options");
  done.stepped = await post("/sessions/current/step-up",
    {method: "hwk", challenge_id: challenge_id(asked), credential: await get(asked)});
  token = "";
  asked = await post("/sessions/passkey/options");
  done.alone = await post("/sessions/passkey",
    {challenge_id: challenge_id(asked), credential: await get(asked)});
  done.first = await post("/sessions", {username: "mira", password: PASSWORD});
  pending = done.first.body.pending;
  asked = await post("/sessions/second-factor/options", {pending});
  done.second = await post("/sessions/second-factor",
    {pending, method: "hwk", challenge_id: challenge_id(asked), credential: await get(asked)});
  return done;
}
"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


class Browser:
    """Just enough of the Chrome DevTools Protocol."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self._session: dict[str, str] = {}

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params, **self._session}
        await self._connection.send(json.dumps(message))
        async for text in self._connection:
            found: dict[str, Any] = json.loads(text)
            if found.get("id") == number:
                assert "error" not in found, found
                result: dict[str, Any] = found["result"]
                return result
        raise AssertionError("the browser went away")

    async def open(self, url: str) -> None:
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        self._session = {"sessionId": attached["sessionId"]}
        await self.call("WebAuthn.enable")
        await self.call("WebAuthn.addVirtualAuthenticator", options=AUTHENTICATOR)
        await self.call("Page.navigate", url=url)
        expected = url_origin(url)
        while await self.run("location.origin + document.readyState") != expected:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    async def run(self, expression: str) -> Any:
        found = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True,
            userGesture=True,
        )  # fmt: skip
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")


def url_origin(url: str) -> str:
    return "/".join(url.split("/")[:3]) + "complete"


@asynccontextmanager
async def chromium(folder: Path) -> AsyncIterator[Browser]:
    assert CHROMIUM is not None
    process = await asyncio.create_subprocess_exec(
        CHROMIUM, *FLAGS, f"--user-data-dir={folder}", "about:blank",
        stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        async for line in process.stderr:
            if b"DevTools listening on " in line:
                url = line.decode().split(" on ", 1)[1].strip()
                break
        else:
            raise AssertionError("Chromium did not start")
        async with connect(url, max_size=None, proxy=None) as connection:
            browser = Browser(connection)
            yield browser
            await browser.call("Browser.close")
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


@asynccontextmanager
async def served(api: Api, listener: socket.socket) -> AsyncIterator[None]:
    config = uvicorn.Config(api.app, log_level="warning", access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await task


async def test_chromium_registers_signs_in_and_steps_up(pool: Pool, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://localhost:{listener.getsockname()[1]}"
        services = make_services(tmp_path, pool, relying_party=RelyingParty.of(url))
        async with asyncio.timeout(SECONDS), open_api(services) as api:
            mira = await Person(api).join()
            async with served(api, listener), chromium(tmp_path / "browser") as browser:
                await browser.open(f"{url}/docs")
                page = PAGE.replace("PASSWORD", json.dumps("plinth marmot 42 quilt"))
                done = await browser.run(f"({page})({json.dumps(mira.token)})")
    statuses = {name: answer["status"] for name, answer in done.items()}
    assert statuses == {"added": 201, "stepped": 200, "alone": 201, "first": 200, "second": 201}
    assert len(done["added"]["body"]["recovery_codes"]) == 10
    verify = api.services.tokens.verify
    methods = {
        name: verify(done[name]["body"]["access_token"], api.services.clock()).methods
        for name in ("stepped", "alone", "second")
    }
    assert methods == {"stepped": ("pwd", "hwk"), "alone": ("hwk",), "second": ("pwd", "hwk")}
