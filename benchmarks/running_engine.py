"""A whole engine as an operator has it, for benchmarks that ask it through its doors."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from deployments.cluster import MARK, kill_marked
from deployments.composition.common import open_tokens
from deployments.launcher.server import is_free
from deployments.settings import Settings
from integrations.tokens import Grant
from messages.users import Role
from messages.users_sessions import Method

READY_S = 300.0
VERIFY_S = 120.0
PORTS = cycle(range(18_600, 18_900))
ADD_USER = """
insert into users.users
    (user_id, username, username_key, email, email_key, password_hash, time_zone, locale,
     created_at_ms)
values ($1, $2, $2, $2, $2, '', 'UTC', 'en', 0)"""


class Engine(NamedTuple):
    """A running engine, and what a client with its own keys may do to it.

    url, realtime_url: of the HTTP and the WebSocket door.  pid: of the process that started it all.
    """

    url: str
    realtime_url: str
    settings: Settings
    postgres_url: str
    pid: int

    def token(self, user_id: str) -> str:
        """An access token of the user."""
        now_ms = time.time_ns() // 1_000_000
        session, token_id = str(uuid.uuid4()), str(uuid.uuid4())
        grant = Grant(user_id, session, (Role.USER,), (Method.PASSWORD,), now_ms)
        return open_tokens(self.settings).issue(grant, token_id, now_ms)

    async def verify(self) -> None:
        """Derive the ledger anew and match each book again. CalledProcessError on a difference."""
        command = [sys.executable, "-m", "deployments.cli", "verify"]
        variables = {"VIBESTREAM_DATA_DIR": str(self.settings.folder)}
        await asyncio.to_thread(
            subprocess.run, command, env={**os.environ, **variables}, check=True, timeout=VERIFY_S
        )


@contextmanager
def running(variables: Mapping[str, str] | None = None, keys: Any = None) -> Iterator[Engine]:
    """An engine with its demo, in a folder of its own; nothing of it is left afterwards.

    variables: settings beside those of its own.  keys: a Prover whose test keys it is to have.
    """
    mark, folder = uuid.uuid4().hex, Path(tempfile.mkdtemp(prefix="vs-"))
    ports = [next(port for port in PORTS if is_free(port)) for _ in range(3)]
    named = dict(zip(("HTTP", "REALTIME", "DASHBOARD"), ports, strict=True))
    settings = {
        **(variables or {}),
        **{f"VIBESTREAM_{name}_PORT": str(port) for name, port in named.items()},
        "VIBESTREAM_DATA_DIR": str(folder),
        MARK: mark,
    }
    if keys is not None:
        settings["VIBESTREAM_TEST_PROOF_KEYS"] = str(keys.write_artifacts(folder / "keys"))
    with (folder / "output").open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "deployments.cli", "run"],
            env={**os.environ, **settings},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _await(folder / "output", process)
        notes = json.loads((folder / "run.json").read_text("utf-8"))
        yield Engine(
            f"http://127.0.0.1:{ports[0]}",
            f"ws://127.0.0.1:{ports[1]}/realtime/ws",
            Settings(data_dir=folder),
            notes["postgres_url"],
            process.pid,
        )
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        finally:
            kill_marked(mark)
            shutil.rmtree(folder, ignore_errors=True)


async def new_user(connection: asyncpg.Connection[Any]) -> str:
    """The id of a user made for it, who has no password."""
    user_id = str(uuid.uuid4())
    await connection.execute(ADD_USER, user_id, user_id)
    return user_id


def _await(output: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_S
    while "VibeStream is running." not in output.read_text("utf-8"):
        if time.monotonic() > deadline or process.poll() is not None:
            raise TimeoutError(output.read_text("utf-8")[-2_000:])
        time.sleep(0.2)
