"""What several processes are built of."""

from __future__ import annotations

import gc
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
from storage.users_revocations import Revocations

COLLECT_AFTER = 50_000, 20, 50  # objects; collections of the young; of the middle-aged


def collect_seldom() -> None:
    """Have the collector of cycles leave alone what is there, and look at the rest more seldom.

    A batch makes some ten thousand objects that die by themselves; by default each of them would be
    looked at several times (measured on the order books' owner: a fifth of its processor time).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


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


def open_tokens(settings: Settings, revocations: Revocations | None = None) -> AccessTokens:
    """Access tokens, signed and checked with the keys of the data folder."""
    return AccessTokens(load_signing_keys(settings.folder / "keys"), revocations=revocations)


async def open_revocations(settings: Settings) -> Revocations:
    """Which sessions ended, followed until the process ends."""
    revocations = Revocations(settings.postgres_url, now_ms)
    await revocations.start()
    return revocations
