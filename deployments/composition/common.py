"""What several processes are built of."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial

from actors.runtime.handle import Handle
from actors.runtime.metrics import HandleMetrics
from actors.runtime.transport import Transport
from deployments.settings import Settings
from deployments.topology import entity_kinds
from integrations.tokens import AccessTokens, load_signing_keys
from storage import placement
from storage.database import Pool


def now_ms() -> int:
    """Epoch milliseconds."""
    return time.time_ns() // 1_000_000


def open_handles(
    settings: Settings, pool: Pool, transport: Transport, metrics: HandleMetrics
) -> Mapping[str, Handle]:
    """A handle to each kind of entity, by the kind's name."""
    reader = partial(placement.read, pool)
    return {
        name: Handle(kind, transport, reader, metrics=metrics)
        for name, kind in entity_kinds(settings).items()
    }


def open_tokens(settings: Settings) -> AccessTokens:
    """Access tokens, signed and checked with the keys of the data folder."""
    return AccessTokens(load_signing_keys(settings.folder / "keys"))
