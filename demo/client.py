"""A small client: HTTP with idempotency keys, and one realtime connection that resumes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

API = "/api/v1"
TIMEOUT_S = 30.0
# What passes by itself: the same request, with the same key, may be sent again.
PASSING = {429, 502, 503, 504}
PATIENCE_S = 15.0
PAUSE_S = 0.3
TOKEN = re.compile(r"^([A-Za-z0-9_-]{43})$", re.MULTILINE)  # on a line of its own


class Refused(Exception):  # noqa: N818 - an answer, told by its stable code
    """The engine refused a request; nothing changed."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code


class Api:
    """One user's HTTP session. A changing request keeps its key through retries.

    patience_s: how long a request is sent again while the engine does not answer.
    """

    def __init__(self, base_url: str, patience_s: float = PATIENCE_S) -> None:
        self._http = httpx.AsyncClient(base_url=base_url, timeout=TIMEOUT_S)
        self._patience_s = patience_s
        self.token = ""
        self.user_id = ""

    async def __aenter__(self) -> Api:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def get(self, path: str) -> Any:
        """The resource. Raises Refused."""
        return await self._send("GET", path, {})

    async def post(self, path: str, body: Any, key: str | None = None) -> Any:
        """Change something, once. Raises Refused."""
        return await self._send("POST", path, {"json": body}, key or str(uuid.uuid4()))

    async def delete(self, path: str, key: str | None = None) -> Any:
        """End something, once. Raises Refused."""
        return await self._send("DELETE", path, {}, key or str(uuid.uuid4()))

    async def put(self, path: str, body: Any) -> Any:
        """Set something to what it shall be, however often. Raises Refused."""
        return await self._send("PUT", path, {"json": body})

    async def sign_in(self, username: str, password: str) -> None:
        """Use the user's access token from now on. Raises Refused."""
        session = await self.post("/sessions", {"username": username, "password": password})
        self.token, self.user_id = session["access_token"], session["user_id"]

    async def register(
        self, letters: Letters, body: dict[str, Any], key: str | None = None
    ) -> None:
        """Register, read the letter, show its token. Raises Refused, TimeoutError.

        With the same key it may be done again, whatever became of it the time before.
        """
        await self.post("/users", body, key)
        token = await letters.token(body["email"], self._patience_s)
        await self.post("/users/verification", {"token": token})

    async def publish(self, title: str, file: Path, key: str | None = None) -> Any:
        """Upload a song. Raises Refused."""
        content = await asyncio.to_thread(file.read_bytes)
        form = {"data": {"title": title}, "files": {"file": (file.name, content)}}
        return await self._send("POST", "/songs", form, key or str(uuid.uuid4()))

    async def _send(
        self, method: str, path: str, content: dict[str, Any], key: str | None = None
    ) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if key is not None:
            headers["Idempotency-Key"] = key
        began = time.monotonic()
        while True:
            answer = await self._try(method, API + path, headers, content)
            passing = answer is None or answer.status_code in PASSING
            if not passing or time.monotonic() - began > self._patience_s:
                break
            await asyncio.sleep(PAUSE_S)
        if answer is None:
            raise Refused("unreachable", f"{self._http.base_url} does not answer")
        if answer.is_error:
            raise _refused(answer)
        return answer.json()

    async def _try(
        self, method: str, path: str, headers: dict[str, str], content: dict[str, Any]
    ) -> httpx.Response | None:
        try:
            return await self._http.request(method, path, headers=headers, **content)
        except httpx.TransportError:
            return None


def _refused(answer: httpx.Response) -> Refused:
    try:
        problem = answer.json()
        return Refused(problem["code"], problem.get("detail") or problem["title"])
    except (ValueError, KeyError):
        return Refused(str(answer.status_code), answer.text[:200])


class Letters:
    """What the local mail server has taken (`simulators/mail.py`; its address is in `run.json`)."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def token(self, to: str, patience_s: float = PATIENCE_S) -> str:
        """The token in the last letter to an address that has one. TimeoutError if none comes."""
        asked = {"to": to, "wait": "5"}
        async with asyncio.timeout(patience_s), httpx.AsyncClient(timeout=TIMEOUT_S) as http:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    letters = (await http.get(f"{self._url}/messages", params=asked)).json()
                    found = [token for letter in letters for token in TOKEN.findall(letter["text"])]
                    if found:
                        return str(found[-1])
                await asyncio.sleep(PAUSE_S)


class Realtime:
    """One WebSocket of the protocol `vibestream.v1`: calls, and events as they come."""

    def __init__(self, socket: ClientConnection, show: Callable[[dict[str, Any]], None]) -> None:
        self._socket = socket
        self._show = show
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self.events: list[dict[str, Any]] = []
        self.changed = asyncio.Event()

    async def call(self, operation: str, params: dict[str, Any], key: str | None = None) -> Any:
        """An operation's result. With a key it happens once, also across connections."""
        message = {"t": "call", "op": operation, "params": params}
        return (await self.ask({**message, "key": key} if key else message))["data"]

    async def subscribe(self, channel: str) -> None:
        """Have the channel's events from now on."""
        await self.ask({"t": "subscribe", "channel": channel})

    async def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send a request and return its answer. Raises Refused, or what a lost socket raises."""
        request_id = str(uuid.uuid4())
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[request_id] = answer
        try:
            await self._socket.send(json.dumps({**message, "id": request_id}))
            async with asyncio.timeout(TIMEOUT_S):
                found = await answer
        finally:
            del self._answers[request_id]
        if found["t"] == "error":
            raise Refused(found["code"], found["detail"])
        return found

    async def wait_for(self, *kinds: str, seconds: float = TIMEOUT_S) -> dict[str, Any]:
        """The first event of one of these types, past or to come. TimeoutError if none comes."""
        async with asyncio.timeout(seconds):
            while True:
                found = next((e for e in self.events if e["type"] in kinds), None)
                if found is not None:
                    return found
                self.changed.clear()
                await self.changed.wait()

    async def listen(self) -> None:
        """Take what comes, until the socket ends."""
        try:
            async for data in self._socket:
                self._take(json.loads(data))
        except ConnectionClosed:
            pass
        finally:
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(ConnectionError("the connection was lost"))

    def _take(self, message: dict[str, Any]) -> None:
        answer = self._answers.get(message.get("id", ""))
        if message["t"] == "event":
            self.events.append(message)
            self.changed.set()
            self._show(message)
        elif answer is not None and not answer.done():
            answer.set_result(message)


@asynccontextmanager
async def open_realtime(
    api: Api, show: Callable[[dict[str, Any]], None] = lambda _: None
) -> AsyncIterator[Realtime]:
    """A signed-in realtime connection, at the address that the gateway names."""
    address = (await api.get("/realtime"))["direct"][0]
    protocols = [Subprotocol("vibestream.v1")]
    async with connect(address, subprotocols=protocols, proxy=None) as socket:
        await socket.send(json.dumps({"t": "hello", "token": api.token, "client": "demo"}))
        welcome = json.loads(await socket.recv())
        if welcome["t"] != "welcome":
            raise Refused(welcome["code"], welcome["detail"])
        realtime = Realtime(socket, show)
        listening = asyncio.create_task(realtime.listen())
        try:
            yield realtime
        finally:
            await socket.close()
            await listening
