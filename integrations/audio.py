"""Is this file a song? The port, and its implementation by a worker process a file."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import Any, Protocol

import msgspec
import structlog

from integrations.audio_probe import OUTPUT_BYTES, AudioFacts
from messages.errors import Overloaded, Unavailable, error_classes
from messages.music import AudioRefused, AudioTooComplex

WORKERS = 2
QUEUE = 16
WALL_SECONDS = 90.0
RETRY_AFTER_MS = 5_000
ROOT = Path(__file__).resolve().parent.parent
KILLED_BY_LIMIT = frozenset({-9, -24, -25})  # SIGKILL (memory), SIGXCPU, SIGXFSZ

log = structlog.get_logger(__name__)


class AudioInspector(Protocol):
    """What the rest of VibeStream knows of audio validation."""

    async def inspect(self, file: Path) -> AudioFacts:
        """The facts of an acceptable file. Raises a leaf of AudioRefused, or a Transient."""


class ProcessInspector:
    """Runs `integrations.audio_probe` in a process that may die without harm.

    At most `workers` at once and `queue` waiting; more are refused with Overloaded.
    """

    def __init__(
        self, *, workers: int = WORKERS, queue: int = QUEUE, wall_seconds: float = WALL_SECONDS
    ) -> None:
        self._places = asyncio.Semaphore(workers)
        self._limit = workers + queue
        self._under_way = 0
        self._wall_seconds = wall_seconds

    async def inspect(self, file: Path) -> AudioFacts:
        """See AudioInspector."""
        if self._under_way >= self._limit:
            raise Overloaded(retry_after_ms=RETRY_AFTER_MS)
        self._under_way += 1
        try:
            async with self._places:
                return _verdict(*await self._run(file))
        finally:
            self._under_way -= 1

    async def _run(self, file: Path) -> tuple[int, bytes]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "integrations.audio_probe",
            str(file),
            cwd=ROOT,
            env=_environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(self._wall_seconds):
                output = await process.stdout.read(OUTPUT_BYTES)
                return await process.wait(), output
        except TimeoutError:
            log.warning("audio worker took too long", seconds=self._wall_seconds)
            raise AudioTooComplex from None
        finally:
            # Also when the caller gave up: nobody waits for this answer any more.
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


def _verdict(status: int, output: bytes) -> AudioFacts:
    if status in KILLED_BY_LIMIT:
        raise AudioTooComplex
    try:
        answer: dict[str, Any] = msgspec.json.decode(output)
    except msgspec.DecodeError:
        log.warning("audio worker crashed", status=status)
        # A decoder that crashes on a file crashes on it again: the file is refused, not retried.
        raise (AudioTooComplex() if status < 0 else Unavailable()) from None
    if "facts" in answer:
        return msgspec.convert(answer["facts"], AudioFacts)
    refusal = error_classes()[answer["refused"]]()
    assert isinstance(refusal, AudioRefused), "the worker refuses with the leaves it knows"
    refusal.params = answer.get("params", {})
    raise refusal


def _environment() -> dict[str, str]:
    """No secrets of ours, one thread: numeric libraries reserve address space for each."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", ""),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "LANG": "C.UTF-8",
    }
