"""The stand-in of Google and Apple, started once a session where node is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.composition.identity import callback_url
from deployments.launcher.identity import EmbeddedIdentity, why_missing
from deployments.settings import Settings
from messages.users_external import Provider

WHERE = "http://api.test"


def now_ms() -> int:
    """The provider's tokens are of today, so the clock is real."""
    return time.time_ns() // 1_000_000


def started(folder: Path) -> Iterator[EmbeddedIdentity]:
    if missing := why_missing():
        pytest.skip(f"no stand-in of Google and Apple: {missing}")
    redirects = {p.value: callback_url(WHERE, p) for p in Provider}
    with EmbeddedIdentity(folder, redirects, control=True) as server:
        yield server


def settings_of(server: EmbeddedIdentity) -> Settings:
    return Settings(_env_file=None, environment="test", public_url=WHERE, **server.settings())  # type: ignore[arg-type]
