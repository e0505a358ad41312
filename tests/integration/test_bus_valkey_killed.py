"""A real Valkey is killed under load, and comes back with less than it had acknowledged."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.launcher.server import free_port
from deployments.launcher.valkey import EmbeddedValkey
from storage.database import Pool
from tests.integration.bus_support import EFFECTS, Effects, Writers, running

ROUNDS = 4


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(tmp_path, free_port()) as server:
        yield server


def kill_and_cut(server: EmbeddedValkey, chance: random.Random) -> None:
    """SIGKILL; then the file's last part is lost, as it is with the machine (fsync each second)."""
    os.kill(server.pid, signal.SIGKILL)
    while server.is_alive():
        pass
    (file,) = server.folder.glob("appendonlydir/*.incr.aof")
    size = file.stat().st_size
    os.truncate(file, int(size * chance.uniform(0.5, 1.0)))
    server.start()


async def test_nothing_is_lost_or_repeated_when_valkey_forgets_its_last_second(
    pool: Pool, database_url: str, valkey: EmbeddedValkey
) -> None:
    await pool.execute(EFFECTS)
    writers, chance = Writers(pool, seed=11), random.Random(11)
    async with running(database_url, valkey.url, Effects()) as worker:
        for _ in range(ROUNDS):
            writing = asyncio.create_task(writers.all(25))
            await asyncio.sleep(chance.random() * 0.3)
            await asyncio.to_thread(kill_and_cut, valkey, chance)
            await writing
        await writers.check()
        assert worker.status().running
