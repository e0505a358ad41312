"""kill -9 at random moments under load; then what clients were told and what is there must agree.

`make test` runs a few rounds; `make chaos ROUNDS=200 SEED=1` runs many.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections import Counter
from collections.abc import Container, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from demo.client import Api
from messages.bus import Position, parse_position
from messages.keys import derive_id
from messages.rewards import pool_channel
from simulators.proofs import Prover
from tests import audio_files
from tests.chaos.load import PATIENCE_S, Fan, Funder
from tests.chaos.market_checks import check_market
from tests.chaos.market_load import Trader, open_market
from tests.integration.realtime_support import Follower
from tests.running_system import IN_ORDER, Running, run_system

ROUNDS = int(os.environ.get("VIBESTREAM_CHAOS_ROUNDS", "6"))
SEED = int(os.environ.get("VIBESTREAM_CHAOS_SEED", "20261124"))
FANS, FUNDERS, TRADERS = 4, 3, 4
NEXT_ENGINE = "starting another"
ROUND_S = 60.0
# What is killed, and how often of a hundred. A node's death costs all of Ray, so it is rarer.
TARGETS = {"actor": 30, "replica": 25, "valkey": 20, "postgres": 17, "node": 8}
SHARES = """
select credit_id::text as share, count(*) as credits from rewards.credits
where credit_id = any($1::uuid[]) group by credit_id"""
LEAVES = (
    "select coalesce(sum(cardinality(leaves)), 0)::bigint from listening.folds where pool_id = $1"
)
TREES = "select count(*) from rewards.leaves where pool_id = $1"
CLAIMS = """
select n.nullifier, n.payment_id::text as payment_id, c.amount_minor
from rewards.nullifiers n left join rewards.credits c on c.credit_id = n.payment_id
where n.pool_id = $1"""
PAID = "select coalesce(sum(amount_minor), 0)::bigint from rewards.credits where pool_id = $1"
SHOWN = """
select event_id::text as event_id, stream, xid || '-' || id as position
from bus.outbox where channels @> array[$1::text]"""
DEAD = "select error from bus.dead_letters where id > $1"

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.chaos,
    pytest.mark.timeout(300 + ROUNDS * ROUND_S),
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("chaos")
    keys = Prover().write_artifacts(folder / "keys")
    variables = {
        "VIBESTREAM_BEAT_INTERVAL_MS": "250",
        "VIBESTREAM_AUCTION_MS": "2000",
        "VIBESTREAM_TEST_PROOF_KEYS": str(keys),
        "VIBESTREAM_ENVIRONMENT": "test",
    }
    with run_system(folder, **variables) as started:
        yield started


def test_nothing_acknowledged_is_lost_or_done_twice(running: Running, tmp_path: Path) -> None:
    asyncio.run(_rounds(running, tmp_path))
    verified = running.operator("verify")
    assert (verified.returncode, verified.stdout) == (0, IN_ORDER)


async def _rounds(running: Running, folder: Path) -> None:
    print(f"chaos: {ROUNDS} rounds, seed {SEED}")  # noqa: T201 - to run it again
    chance = random.Random(SEED)
    password = json.loads((running.folder / "demo.json").read_text("utf-8"))["password"]
    song = await _publish(running, folder, password)
    async with Api(running.url) as anyone:
        [pool] = (await anyone.get("/reward-pools"))["items"]
    prover, pool_id = Prover(), pool["pool_id"]
    doors = (running.url, running.letters())
    fans = [Fan(*doors, f"fan-{n}", song, pool_id, prover) for n in range(FANS)]
    funders = [Funder(running.url, f"f{n}", pool["pool_id"], password) for n in range(FUNDERS)]
    traders = [Trader(*doors, f"trader-{n}", SEED + n) for n in range(TRADERS)]
    issue_id = await open_market(running.url, song["song_id"], password, traders)
    follower = Follower((pool_channel(pool["pool_id"]),))
    earlier = await _written(running, pool)
    over = False
    following = asyncio.create_task(_follow(running, follower))
    await asyncio.wait_for(follower.ready.wait(), 30)
    clients = [asyncio.create_task(fan.run(lambda: over)) for fan in fans]
    clients += [asyncio.create_task(funder.run(lambda: over)) for funder in funders]
    clients += [asyncio.create_task(trader.run(lambda: over)) for trader in traders]
    try:
        killed = await _kill(running, chance, clients)
    finally:
        over = True
    async with asyncio.timeout(2 * PATIENCE_S):
        await asyncio.gather(*clients)
    funded = sum(sum(funder.acknowledged_minor) for funder in funders)
    ended = {session_id: view for fan in fans for session_id, view in fan.ended.items()}
    claimed = {nullifier: paid for fan in fans for nullifier, paid in fan.claimed.items()}
    orders = await check_market(partial(_fetch, running), issue_id, traders)
    print(  # noqa: T201
        f"chaos: {dict(killed)}, {len(ended)} sessions, {len(claimed)} claims, {funded} minor, "
        f"{orders} orders"
    )
    assert ended
    assert claimed
    assert funded
    assert orders
    await _check_shares(running, pool, ended)
    await _check_claims(running, pool, claimed)
    await _check_balance(running, pool, funded)
    await _check_shown(running, pool, earlier, follower)
    assert follower.resyncs <= killed["postgres"] + killed["node"], "told to reload without cause"
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def _kill(
    running: Running, chance: random.Random, clients: list[asyncio.Task[None]]
) -> Counter[str]:
    killed: Counter[str] = Counter()
    # Each once in a short run, then by weight.
    kinds = list(TARGETS) + chance.choices(list(TARGETS), list(TARGETS.values()), k=ROUNDS)
    for number, kind in enumerate(kinds[:ROUNDS], 1):
        await asyncio.sleep(chance.uniform(0.2, 1.5))
        victims = await asyncio.to_thread(_victims, running, kind)
        assert victims, f"nothing to kill: {kind}"
        victim = chance.choice(victims)
        began = time.monotonic()
        engines = running.output().count(NEXT_ENGINE)
        with suppress(psutil.NoSuchProcess):  # it was on its way out
            victim.kill()
        killed[kind] += 1
        await asyncio.sleep(0.3)  # until it shows
        if kind == "node":
            async with asyncio.timeout(30):
                while running.output().count(NEXT_ENGINE) == engines:  # noqa: ASYNC110 - a file
                    await asyncio.sleep(0.1)
        await asyncio.to_thread(running.wait_ready)
        print(f"chaos: round {number} {kind} {time.monotonic() - began:.1f} s", flush=True)  # noqa: T201
        for client in clients:
            if client.done():
                client.result()  # a client never ends by itself: this says why it did
    return killed


def _victims(running: Running, kind: str) -> list[psutil.Process]:
    deadline = time.monotonic() + 30
    while True:
        if kind == "actor":
            titles = ("ray::EntityHost", "ray::BusWorker", "ray::Supervis")
            found = [p for title in titles for p in running.titled(title)]
        elif kind == "replica":
            found = running.titled("ray::ServeReplica")
        elif kind == "node":
            found = running.named("raylet", "gcs_server")
        else:
            server = running.server({"valkey": "valkey-server"}.get(kind, kind))
            found = [server] if server else []
        if found or time.monotonic() > deadline:
            return sorted(found, key=lambda process: process.pid)
        time.sleep(0.2)


async def _fetch(running: Running, query: str, argument: Any) -> list[asyncpg.Record]:
    notes = json.loads((running.folder / "run.json").read_text("utf-8"))
    connection = await asyncpg.connect(notes["postgres_url"])
    try:
        found: list[asyncpg.Record] = await connection.fetch(query, argument)
        return found
    finally:
        await connection.close()


async def _written(running: Running, pool: dict[str, Any]) -> dict[str, tuple[str, Position]]:
    """Event → its stream and position, of all that the pool's channel shows."""
    rows = await _fetch(running, SHOWN, pool_channel(pool["pool_id"]))
    return {r["event_id"]: (r["stream"], parse_position(r["position"])) for r in rows}


def _was_skipped(follower: Follower, stream: str, position: Position) -> bool:
    """Whether the follower was told to reload what happened at the position.

    That is the protocol's answer when PostgreSQL dies while it is read for who resumes.
    """
    return any(
        parse_position(start.get(stream, "")) < position <= parse_position(end.get(stream, ""))
        for start, end in follower.skipped
    )


async def _check_shares(
    running: Running, pool: dict[str, Any], ended: dict[str, dict[str, Any]]
) -> None:
    """A session that counted gave its artist one share, and the tree each of its leaves once."""
    counted = {session_id: view["counted"] for session_id, view in ended.items()}
    assert any(counted.values()), "no session counted"
    shares = {derive_id("artist-share", session_id): yes for session_id, yes in counted.items()}
    wanted = {share: 1 for share, yes in shares.items() if yes}
    found: dict[str, int] = {}
    try:
        async with asyncio.timeout(90):  # the process may still be under way
            while found != wanted:
                await asyncio.sleep(0.5)
                rows = await _fetch(running, SHARES, list(shares))
                found = {row["share"]: row["credits"] for row in rows}
    except TimeoutError:
        wrong = {s: (found.get(s), wanted.get(s)) for s in shares if found.get(s) != wanted.get(s)}
        pytest.fail(f"share: (credits, wanted): {wrong}")
    [[leaves]] = await _fetch(running, LEAVES, pool["pool_id"])
    [[in_trees]] = await _fetch(running, TREES, pool["pool_id"])
    assert in_trees == leaves >= len(wanted)
    assert await _fetch(running, DEAD, 0) == []


async def _check_claims(
    running: Running, pool: dict[str, Any], claimed: dict[str, dict[str, Any]]
) -> None:
    """What was spent is what was acknowledged, each for its own payment of that amount."""
    rows = await _fetch(running, CLAIMS, pool["pool_id"])
    spent = {row["nullifier"]: (row["payment_id"], row["amount_minor"]) for row in rows}
    told = {n: (paid["payment_id"], paid["amount_minor"]) for n, paid in claimed.items()}
    assert spent == told


async def _check_balance(running: Running, pool: dict[str, Any], funded: int) -> None:
    [[paid]] = await _fetch(running, PAID, pool["pool_id"])
    async with Api(running.url) as anyone:
        balance = (await anyone.get(f"/reward-pools/{pool['pool_id']}"))["balance_minor"]
    assert balance == pool["balance_minor"] + funded - paid


async def _check_shown(
    running: Running, pool: dict[str, Any], earlier: Container[str], follower: Follower
) -> None:
    """Who follows the pool's channel, through every lost connection, saw each event once.

    All but those that it was told to reload: nothing goes missing in silence.
    """
    written = {
        event_id
        for event_id, place in (await _written(running, pool)).items()
        if event_id not in earlier and not _was_skipped(follower, *place)
    }
    seen = follower.seen[pool_channel(pool["pool_id"])]
    try:
        async with asyncio.timeout(60):
            while not written <= {event_id for _, event_id in seen}:  # noqa: ASYNC110 - grows
                await asyncio.sleep(0.2)
    except TimeoutError:
        missing = len(written - {event_id for _, event_id in seen})
        lines = f"{follower.connections} connections, {follower.resyncs} resyncs"
        pytest.fail(f"{missing} of {len(written)} events were not shown ({lines})")
    assert len(seen) == len(set(seen)), "an event was shown twice"


async def _publish(running: Running, folder: Path, password: str) -> dict[str, Any]:
    """A song of one second, of which half counts."""
    file = audio_files.encode(folder / "short.flac", audio_files.tone(1.2), "flac")
    async with Api(running.url) as artist:
        await artist.sign_in("demo-artist", password)
        song: dict[str, Any] = await artist.publish("Short", file)
    return song


async def _follow(running: Running, follower: Follower) -> None:
    async with Api(running.url, PATIENCE_S) as api:
        while True:
            try:
                address = (await api.get("/realtime"))["direct"][0]
                await follower.run(address)
            except Exception:  # noqa: BLE001 - it comes back, whatever ended the connection
                await asyncio.sleep(0.1)
