"""Entity hosts and the supervisor that watches them."""

from __future__ import annotations

import asyncio

from actors.rewards import PoolsKind
from actors.runtime.host import Host
from actors.runtime.limits import Limits
from actors.runtime.supervisor import Supervisor
from actors.runtime.transport import Transport
from deployments.composition.common import collect_seldom, now_ms
from deployments.composition.kernels import load_hashes
from deployments.secrets import open_secrets
from deployments.settings import Settings
from deployments.topology import HostSpec, entity_kinds, host_specs, plan
from storage.database import KEYED, open_pool

SPARE_CONNECTIONS = 2  # of a host: its timers and its registration


async def open_host(spec: HostSpec, settings: Settings) -> Host:
    """The host of that name, started."""
    limits = Limits()
    await asyncio.to_thread(load_hashes)
    verifier = None
    if PoolsKind.name in spec.kinds:
        from deployments.composition.proofs import open_verifier

        verifier = await asyncio.to_thread(open_verifier, settings)
    kinds = entity_kinds(settings, verifier)
    pool = await open_pool(
        settings.postgres_url,
        max_size=limits.lanes * len(spec.kinds) + SPARE_CONNECTIONS,
        application_name=spec.name,
        settings=KEYED,
        present_url=open_secrets(settings).present("postgres_url"),
    )
    host = Host(spec.name, [kinds[name] for name in spec.kinds], pool, now_ms, limits)
    await host.start()
    collect_seldom()
    return host


async def open_supervisor(settings: Settings, transport: Transport) -> Supervisor:
    """The supervisor of all hosts, started."""
    pool = await open_pool(
        settings.postgres_url,
        max_size=2,
        application_name="supervisor",
        present_url=open_secrets(settings).present("postgres_url"),
    )
    wanted = plan(entity_kinds(settings), host_specs(settings))
    supervisor = Supervisor(wanted, pool, transport, now_ms)
    await supervisor.start()
    return supervisor
