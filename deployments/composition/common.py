"""What several processes are built of."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Mapping
from functools import partial

from actors.runtime.handle import Handle
from actors.runtime.metrics import HandleMetrics
from actors.runtime.transport import Transport
from deployments.settings import Settings
from deployments.topology import entity_kinds
from integrations import signing_keys
from integrations.signing_keys import load_signing_keys
from integrations.tokens import AccessTokens
from storage import placement
from storage.database import Pool
from storage.users_revocations import Revocations

COLLECT_AFTER = 50_000, 20, 50  # objects; collections of the young; of the middle-aged


_following: set[asyncio.Task[None]] = set()  # the event loop itself keeps no task alive


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
    """Access tokens, signed and checked with the keys that there are now."""
    return AccessTokens(load_signing_keys(settings.keys_folder), revocations=revocations)


async def follow_keys(settings: Settings, tokens: AccessTokens) -> None:
    """Have the keys replaced whenever their folder changes, until the process ends."""
    following = signing_keys.follow(settings.keys_folder, tokens.use)
    _following.add(asyncio.create_task(following, name="signing keys"))


async def open_revocations(url: Callable[[], str]) -> Revocations:
    """Which sessions ended, followed until the process ends."""
    revocations = Revocations(url, now_ms)
    await revocations.start()
    return revocations
