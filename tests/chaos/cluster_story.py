"""The story of `test_cluster.py`, in a process of its own: Ray leaves threads in its driver's."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import ray
from ray._private import state
from ray.cluster_utils import Cluster

from actors.runtime.handle import Handle
from actors.runtime.metrics import HandleMetrics
from deployments import application
from deployments.composition.common import open_handles
from deployments.ray_processes import RayProcesses
from deployments.settings import Settings
from deployments.topology import NAMESPACE
from messages.keys import derive_id, derive_key
from messages.rewards import TREASURY, FundPool, OpenPool, pool_account
from storage import ledger, placement
from storage.database import Pool, open_pool

POOLS, FUNDERS = 24, 12
LOADED_S = 3.0  # under load before and after the move
PATIENCE_S = 90.0
ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def two_nodes() -> Iterator[Any]:
    """Two nodes, and this process as a driver on the first."""
    memory: dict[str, Any] = {"object_store_memory": 80 * 1024 * 1024}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, **memory})
    made.add_node(num_cpus=2, **memory)
    try:
        ray.init(
            address=made.address,
            namespace=NAMESPACE,
            log_to_driver=False,
            runtime_env={"env_vars": {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}},
        )
        yield made
    finally:
        ray.shutdown()
        made.shutdown()  # type: ignore[no-untyped-call]


def nodes_of(class_name: str) -> dict[str, str]:
    """Actor → the node it lives on."""
    return {
        actor["Name"]: actor["Address"]["NodeID"]
        for actor in state.actors().values()
        if actor["ActorClassName"] == class_name and actor["State"] == "ALIVE"
    }


class Funder:
    """Pays one unit after another into pools; remembers what was acknowledged."""

    def __init__(self, name: str, pools: Handle) -> None:
        self._name = name
        self._pools = pools
        self.acknowledged: Counter[str] = Counter()

    async def run(self, done: Callable[[], bool]) -> None:
        number = 0
        while not done():
            number += 1
            pool_id = derive_id("pool", number % POOLS)
            funding = FundPool(derive_id("funding", self._name, number), TREASURY, 1)
            key = derive_key("fund", self._name, number)
            await self._pools.ask(pool_id, funding, key=key, timeout_ms=int(PATIENCE_S * 1000))
            self.acknowledged[pool_id] += 1


async def until(condition: Callable[[], Any], what: str) -> None:
    """Wait for it, as a coroutine's result or a value."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.1)


async def placed(pool: Pool, kind: str) -> Counter[str]:
    """Host → how many partitions of the kind are placed on it."""
    return Counter((await placement.read(pool, kind)).values())


async def tell(cluster: Any, settings: Settings) -> None:
    """Raises AssertionError where the story goes another way."""
    pool = await open_pool(settings.postgres_url)
    actors = application.start_actors(settings)
    await asyncio.to_thread(application.await_actors, actors)
    handles = open_handles(settings, pool, RayProcesses(), HandleMetrics())
    pools: Handle = handles["pools"]
    for number in range(POOLS):
        pool_id = derive_id("pool", number)
        opened = OpenPool(pool_id, f"Pool {number}", 3_600_000)
        await pools.ask(pool_id, opened, key=derive_key("open", number))
    before = await placed(pool, "pools")
    assert set(before) == {"rewards-0", "rewards-1"}

    nodes = nodes_of("EntityHost")
    [second] = cluster.worker_nodes
    lost = sorted(host for host, node in nodes.items() if node == second.node_id)
    assert any(host.startswith("rewards") for host in lost), f"not spread: {nodes}"
    assert len(lost) < len(nodes), f"not spread: {nodes}"
    supervisors = nodes_of("Supervision")
    assert set(supervisors.values()) - {second.node_id}, f"not spread: {supervisors}"

    over = False
    funders = [Funder(str(n), pools) for n in range(FUNDERS)]
    load = [asyncio.create_task(funder.run(lambda: over)) for funder in funders]
    await asyncio.sleep(LOADED_S)
    kill_node(second)

    async def moved() -> bool:
        incidents = await placement.incidents(pool, 20)
        return any(i.host in lost and i.what == "lost" and i.partitions_moved for i in incidents)

    await until(moved, "the supervisor moved nothing")
    answered = sum(total(funders).values())
    await until(lambda: sum(total(funders).values()) > answered + 100, "no command was answered")
    await asyncio.sleep(LOADED_S)
    over = True
    await asyncio.gather(*load)

    await check_books(pool, total(funders))
    # Ray brings the hosts back on the node that is left, and they get their share again.
    await until(lambda: set(nodes_of("EntityHost")) == set(nodes), "the hosts did not come back")

    async def balanced() -> bool:
        return await placed(pool, "pools") == before

    await until(balanced, "the partitions did not return")
    for handle in handles.values():
        await handle.close()
    await pool.close()


def total(funders: list[Funder]) -> Counter[str]:
    """What was acknowledged, by pool."""
    return sum((funder.acknowledged for funder in funders), Counter())


def kill_node(node: Any) -> None:
    """kill -9 of its raylet and of every worker below it, as when a machine loses power."""
    raylet = next(info.process.pid for info in node.all_processes["raylet"])
    family = [psutil.Process(raylet), *psutil.Process(raylet).children(recursive=True)]
    for process in family:
        try:
            os.kill(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


async def check_books(pool: Pool, acknowledged: Mapping[str, int]) -> None:
    """Each pool holds exactly what its funders were told, and the ledger is in balance."""
    async with pool.acquire() as connection:
        accounts = {pool_id: pool_account(pool_id) for pool_id in acknowledged}
        held = await ledger.balances(connection, list(accounts.values()))
        assert {p: held[code] for p, code in accounts.items()} == dict(acknowledged)
        assert await ledger.verify(connection) == []


if __name__ == "__main__":
    with two_nodes() as running:
        asyncio.run(tell(running, Settings(hosts_per_group=2, supervisors=2)))
