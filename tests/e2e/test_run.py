"""`vibestream run` as an operator meets it: started, used, hurt, stopped with nothing left."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from benchmarks.node import missing
from demo.sign_in import sign_in_with_google
from demo.story import MUSIC, tell_story
from deployments.launcher.identity import why_missing
from tests.running_system import IN_ORDER, Running, run_system

PROVER = Path(__file__).resolve().parents[2] / "web" / "prover"

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    if reason := missing(PROVER):
        pytest.fail(f"the prover: {reason} (Node 20 and npm are needed)")
    folder = tmp_path_factory.mktemp("vibestream")
    with run_system(folder, VIBESTREAM_BEAT_INTERVAL_MS="500") as started:
        yield started


def _register(running: Running, name: str, key: str) -> httpx.Response:
    body = {
        "username": name,
        "email": f"{name}@example.org",
        "password": "a long winded secret",
        "time_zone": "Europe/Madrid",
        "locale": "es",
    }
    headers = {"Idempotency-Key": key}
    return httpx.post(f"{running.url}/api/v1/users", json=body, headers=headers, timeout=30)


def _confirm(running: Running, name: str) -> httpx.Response:
    token = asyncio.run(running.letters().token(f"{name}@example.org"))
    url = f"{running.url}/api/v1/users/verification"
    return httpx.post(url, json={"token": token}, timeout=30)


def test_a_listen_on_real_music_is_proved_and_rewarded(running: Running) -> None:
    """A song of seven seconds, so that half of it counts soon; a real proof, made in node."""
    running.wait_ready()
    told: list[str] = []
    song = MUSIC / "calm-acoustic-1.opus"
    outcome = asyncio.run(
        tell_story(running.url, running.letters_url, told.append, song=song, seconds=5.8)
    )
    seen = [event["type"] for event in outcome.events]
    for expected in ("ListeningStarted", "ListenCounted", "RewardPaid", "StreakExtended"):
        assert expected in seen, (expected, told)
    assert outcome.session["counted"]
    assert len({event["id"] for event in outcome.events}) == len(outcome.events)
    [reward] = outcome.rewards
    # Half a VIBES a minute, at a multiplier between a tenth and two, for the step that was proved.
    assert reward["claims"] == 1
    assert 50_000 * 5_000 // 60_000 <= reward["amount_minor"] <= 10**6 * 5_000 // 60_000 + 1
    [paid] = [event["data"] for event in outcome.events if event["type"] == "RewardPaid"]
    assert [claim["min_played_ms"] for claim in paid["claims"]] == [5_000]
    assert outcome.session["session_id"] not in str(paid), "the payment names the session"
    assert outcome.streak["days"] == 1
    [accrued] = [b["amount_minor"] for b in outcome.balances if b["purpose"] == "accrued"]
    assert accrued == reward["amount_minor"]
    royalties = [b["amount_minor"] for b in outcome.artist_balances if b["role"] == "artist"]
    assert sum(royalties) > 0
    verified = running.operator("verify")
    assert (verified.returncode, verified.stdout) == (0, IN_ORDER)


def test_a_person_signs_in_with_the_stand_in_of_google(running: Running) -> None:
    if why := why_missing():
        pytest.skip(f"no stand-in of Google and Apple: {why}")
    running.wait_ready()
    told: list[str] = []
    first = asyncio.run(sign_in_with_google(running.url, told.append))
    assert first is not None, told
    assert asyncio.run(sign_in_with_google(running.url, told.append)) == first
    assert len(told) == 2


def test_a_session_survives_its_killed_owner_between_beats(running: Running) -> None:
    running.wait_ready()
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        if line.startswith("beat 3:"):
            for owner in running.titled("EntityHost"):
                owner.kill()

    song = MUSIC / "calm-acoustic-1.opus"
    outcome = asyncio.run(tell_story(running.url, running.letters_url, tell, song=song, seconds=10))
    assert outcome.session["counted"], told
    assert outcome.session["claimable"]
    assert len(outcome.rewards) == 1


def test_readiness_and_metrics_name_every_process(running: Running) -> None:
    report = running.wait_ready()
    names = {check["name"] for check in report["checks"]}  # type: ignore[attr-defined]
    assert names >= {
        "postgres",
        "redis",
        "bus",
        "listening-0",
        "rewards-0",
        "market-0",
        "bus-0",
        "realtime",
    }
    text = httpx.get(f"{running.url}/metrics", timeout=10).text
    for process in (
        "listening-0",
        "rewards-0",
        "market-0",
        "bus-0",
        "supervisor-0",
        "realtime",
        "gateway",
    ):
        assert f'process="{process}"' in text, process


def test_both_realtime_doors_answer(running: Running) -> None:
    doors = httpx.get(f"{running.url}/api/v1/realtime", timeout=10).json()
    for address in (*doors["direct"], doors["fallback"]):
        with connect(address, subprotocols=[Subprotocol("vibestream.v1")]) as socket:
            socket.send('{"t": "hello"}')
            assert '"t":"welcome"' in str(socket.recv(10))


def test_registers_once_however_often_it_is_sent(running: Running) -> None:
    running.wait_ready()
    first = _register(running, "nina", "register-nina-1")
    assert first.status_code == 202
    again = _register(running, "nina", "register-nina-1")
    assert again.json() == first.json()
    assert _register(running, "nina", "register-nina-2").status_code == 409
    account = _confirm(running, "nina")
    assert account.status_code == 201
    assert _confirm(running, "nina").json() == account.json()


def test_what_was_acknowledged_survives_killed_servers(running: Running) -> None:
    running.wait_ready()
    pending = _register(running, "tomas", "register-tomas-1").json()
    account = _confirm(running, "tomas").json()
    for name in ("postgres", "valkey-server"):
        server = running.server(name)
        assert server is not None, name
        server.kill()
        time.sleep(1)
        running.wait_ready()
    assert _register(running, "tomas", "register-tomas-1").json() == pending
    assert _confirm(running, "tomas").json() == account


def test_a_killed_gateway_replica_is_replaced(running: Running) -> None:
    running.wait_ready()
    replicas = running.titled("ServeReplica:gateway")
    assert replicas
    for replica in replicas:
        replica.kill()
    psutil.wait_procs(replicas, timeout=10)
    running.wait_ready()
    assert httpx.get(f"{running.url}/openapi.json", timeout=10).json()["openapi"].startswith("3.1")


def test_sigterm_leaves_no_process(running: Running) -> None:
    running.wait_ready()
    family = running.descendants()
    assert len(family) > 5
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(90) == 0
    _gone, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
    assert "VibeStream has stopped." in running.output()
