"""Two Ray nodes on one machine: hosts spread, a node dies under load, its partitions move."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STORY_S = 220

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(240)]


def test_the_partitions_of_a_dead_node_move_and_nothing_is_lost(
    database_url: str, redis_server: str, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "VIBESTREAM_POSTGRES_URL": database_url,
        "VIBESTREAM_REDIS_URL": redis_server,
        "VIBESTREAM_DATA_DIR": str(tmp_path),
    }
    command = [sys.executable, "-W", "ignore", "-m", "tests.chaos.cluster_story"]
    told = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=STORY_S,
        check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr[-4_000:]
