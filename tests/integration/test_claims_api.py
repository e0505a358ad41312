"""Claims through the gateway over real owners and the real verifier: paid, refused, repeated."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis_asyncio

from domain.field import SCALAR_ORDER
from domain.rewards.tree import DEPTH
from domain.statement import Row, element_of, fold
from kernels import merkle
from messages.rewards import TREASURY, ClosePool
from simulators.proofs import VERSION, negated
from tests.api_services import Api, assert_problem, make_services, open_api
from tests.integration.rewards_support import DAY_MS, VIBES, World, open_world, prover, until
from tests.unit.listening_player import session_id

NAMES = ("nullifier", "root", "min_played_ms", "max_gap_ms", "recipient", "epoch")


@pytest.fixture
async def world(
    database_url: str, redis_client: redis_asyncio.Redis, redis_server: str
) -> AsyncIterator[World]:
    async with open_world(database_url, redis_server) as opened:
        yield opened


@pytest.fixture
async def api(world: World, tmp_path: Path) -> AsyncIterator[Api]:
    services = make_services(
        tmp_path,
        world.pool,
        handles=world.handles,
        clock=world.clock,
        key_versions=(VERSION,),
    )
    async with open_api(services) as opened:
        yield opened


@dataclass
class Claimer:
    """A user with a pool and a leaf in its tree, who can prove anything."""

    api: Api
    world: World
    user_id: str
    pool_id: str
    epoch: int
    root: int

    def body(self, nullifier: int = 1, proof: Any = None, **changes: Any) -> dict[str, Any]:
        """A claim. The proof is of the signals as they are, unless another is given."""
        signals = {
            "nullifier": nullifier,
            "root": self.root,
            "min_played_ms": 60_000,
            "max_gap_ms": 10_500,
            "recipient": element_of(self.user_id),
            "epoch": self.epoch,
        }
        outside = {name: changes.pop(name) for name in tuple(changes) if name not in NAMES}
        values = list({**signals, **changes}.values())
        whole = [v if isinstance(v, int) else 0 for v in values]
        return {
            "pool_id": self.pool_id,
            "key_version": VERSION,
            "proof": proof or prover().prove(whole),
            "public_signals": [str(value) for value in values],
            **outside,
        }

    async def claim(self, body: dict[str, Any], key: str | None = None) -> Any:
        return await self.post("rewards/claims", body, key)

    async def post(self, path: str, body: Any, key: str | None = None) -> Any:
        headers = self.api.headers(key)
        return await self.api.client.post(f"/api/v1/{path}", json=body, headers=headers)

    async def get(self, path: str) -> Any:
        return await self.api.client.get(f"/api/v1/{path}", headers=self.api.headers())

    async def holds(self) -> dict[str, Any]:
        """Everything that a claim may change, but for what the day's limits have of it."""
        pool = self.world.pool
        return {
            "nullifiers": await pool.fetchval("select count(*) from rewards.nullifiers"),
            "credits": await pool.fetchval(
                "select count(*) from rewards.credits where payee_id like 'user:%'"
            ),
            "balances": await self.world.balances(
                f"pool:{self.pool_id}:balance/VIBES", f"user:{self.user_id}:accrued/VIBES"
            ),
        }


@pytest.fixture
async def claimer(api: Api, world: World) -> Claimer:
    await _sign_in(api, "admin", "admin")
    opened = await api.client.post(
        "/api/v1/reward-pools", json={"name": "Everyone"}, headers=api.headers()
    )
    pool_id = opened.json()["pool_id"]
    funding = {"amount_minor": 1_000 * VIBES, "source": "treasury"}
    path = f"/api/v1/reward-pools/{pool_id}/fundings"
    await api.client.post(path, json=funding, headers=api.headers())
    user_id = await _sign_in(api, "mira", "user")
    await world.listen(1, 60, user=user_id, pool_id=pool_id, commitment="77")
    await world.grown(1, pool_id)
    signals = await world.signals(1, pool_id=pool_id)
    return Claimer(api, world, user_id, pool_id, int(signals[5]), int(signals[1]))


async def _sign_in(api: Api, name: str, role: str) -> str:
    user_id: str = (await api.register(name)).json()["user_id"]
    await api.pool.execute("update users.users set role = $2 where user_id = $1", user_id, role)
    assert (await api.sign_in(name)).status_code == 201
    return user_id


async def test_a_claim_is_paid_once_however_often_it_is_sent(claimer: Claimer) -> None:
    body = claimer.body()
    paid = await claimer.claim(body, "claim-key-1")
    assert paid.status_code == 201, paid.text
    answer = paid.json()
    assert (answer["nullifier"], answer["min_played_ms"]) == ("1", 60_000)
    assert 499_900 < answer["amount_minor"] <= 500_100
    assert (await claimer.claim(body, "claim-key-1")).json() == answer
    assert_problem(await claimer.claim(body), 409, "claim-already-paid")
    other = await claimer.claim(claimer.body(2), "claim-key-1")
    assert_problem(other, 422, "idempotency-key-reused")
    held = await claimer.holds()
    assert (held["nullifiers"], held["credits"]) == (1, 1)
    assert held["balances"][1] == answer["amount_minor"]
    await claimer.world.verify()


async def test_a_claim_is_the_same_after_its_claimer_rose_and_travelled(claimer: Claimer) -> None:
    body = claimer.body()
    answer = (await claimer.claim(body, "claim-key-1")).json()
    await claimer.api.pool.execute(
        "update users.users set points = 1000, time_zone = 'Asia/Tokyo' where user_id = $1",
        claimer.user_id,
    )
    assert (await claimer.claim(body, "claim-key-1")).json() == answer


async def test_another_valid_proof_of_the_same_cannot_spend_it_again(claimer: Claimer) -> None:
    """(-A, -B, C) and a proof of fresh chance are as valid: only the nullifier is unique."""
    body = claimer.body()
    assert (await claimer.claim(body)).status_code == 201
    values = [int(text) for text in body["public_signals"]]
    for proof in (negated(body["proof"]), prover().prove(values, "fresh")):
        assert_problem(await claimer.claim({**body, "proof": proof}), 409, "claim-already-paid")
    unspent = claimer.body(2)
    unspent["proof"] = negated(unspent["proof"])
    assert (await claimer.claim(unspent)).status_code == 201


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"recipient": 5}, 403, "claim-not-your-recipient"),
    ({"max_gap_ms": 10_499}, 422, "claim-gap-not-offered"),
    ({"min_played_ms": 59_999}, 422, "claim-step-not-offered"),
    ({"nullifier": "01"}, 422, "claim-signals-malformed"),
    ({"nullifier": "x"}, 422, "claim-signals-malformed"),
    ({"nullifier": SCALAR_ORDER + 1}, 422, "claim-signals-malformed"),
    ({"epoch": 77}, 409, "claim-epoch-not-open"),
    ({"epoch": 2**200}, 409, "claim-epoch-not-open"),
    ({"epoch": 0}, 409, "claim-root-unknown"),
    ({"root": 5}, 409, "claim-root-unknown"),
    ({"key_version": "listen-v0"}, 422, "claim-key-unknown"),
    ({"pool_id": str(uuid.uuid4())}, 404, "reward-pool-not-found"),
    ({"proof": {}}, 422, "invalid-request"),
    ({"public_signals": ["1"] * 5}, 422, "invalid-request"),
    ({"public_signals": ["1"] * 7}, 422, "invalid-request"),
    ({"public_signals": ["9" * 81] * 6}, 422, "invalid-request"),
    ({"verdict": "valid"}, 422, "invalid-request"),
    ({"key": {}}, 422, "invalid-request"),
]


async def test_each_refusal_has_its_own_code_and_changes_nothing(claimer: Claimer) -> None:
    before = await claimer.holds()
    for changes, status, code in REFUSED:
        if changes.get("proof") == {}:
            body = {**claimer.body(), "proof": {}}
        else:
            body = claimer.body(**{"nullifier": 1, **changes})
        assert_problem(await claimer.claim(body), status, code)
    assert await claimer.holds() == before
    claimer.api.token = ""
    assert_problem(await claimer.claim(claimer.body()), 401, "unauthenticated")
    assert await claimer.holds() == before


def _bent(proof: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    bent: dict[str, Any] = json.loads(json.dumps(proof))
    bent[name] = value(bent[name])
    return bent


FIELD = 21888242871839275222246405745257275088696311157297823662689037894645226208583
INVALID: list[tuple[str, Any, str]] = [
    ("pi_a", lambda p: [p[1], p[0], p[2]], "point-off-curve"),
    ("pi_a", lambda p: [str(int(p[0]) + FIELD), p[1], p[2]], "coordinate-not-in-field"),
    ("pi_a", lambda _: ["0", "1", "0"], "point-at-infinity"),
    ("pi_c", lambda _: ["1", "2", "1"], "pairing-failed"),
    ("pi_b", lambda p: [p[1], p[0], p[2]], "point-off-curve"),
    ("pi_c", lambda p: ["x", p[1], p[2]], "malformed"),
]


async def test_a_proof_that_does_not_hold_says_why(claimer: Claimer) -> None:
    before = await claimer.holds()
    for name, bend, verdict in INVALID:
        body = claimer.body()
        body["proof"] = _bent(body["proof"], name, bend)
        problem = assert_problem(await claimer.claim(body), 422, "claim-proof-invalid")
        assert problem["params"] == {"verdict": verdict}
    tampered = claimer.body()
    tampered["public_signals"][0] = "2"
    problem = assert_problem(await claimer.claim(tampered), 422, "claim-proof-invalid")
    assert problem["params"] == {"verdict": "pairing-failed"}
    assert await claimer.holds() == before
    assert (await claimer.claim(claimer.body())).status_code == 201, "nothing was used up"


async def test_an_epoch_closes_a_week_after_its_end(claimer: Claimer) -> None:
    world = claimer.world
    world.now_ms += 13 * DAY_MS
    await claimer.api.sign_in()
    # The epoch is over by time, and no fact says so yet; the claim's own batch ends it.
    assert (await claimer.claim(claimer.body(1))).status_code == 201
    shown = (await claimer.get(f"reward-pools/{claimer.pool_id}/epochs/{claimer.epoch}")).json()
    assert shown["claimable_until_ms"] == shown["ended_at_ms"] + 7 * DAY_MS
    world.now_ms = shown["claimable_until_ms"] - 1
    await claimer.api.sign_in()
    assert (await claimer.claim(claimer.body(2))).status_code == 201
    world.now_ms += 1
    await claimer.api.sign_in()
    assert_problem(await claimer.claim(claimer.body(3)), 409, "claim-epoch-not-open")


async def test_limits_depletion_and_closing_have_their_codes(claimer: Claimer) -> None:
    world = claimer.world
    many = {
        "pool_id": claimer.pool_id,
        "key_version": VERSION,
        "claims": [_claim(claimer.body(n, min_played_ms=1_000)) for n in range(1, 31)],
    }
    first = (await claimer.post("rewards/claims/batch", many)).json()
    assert [r["code"] for r in first["results"]] == [None] * 30
    many["claims"] = [_claim(claimer.body(n, min_played_ms=1_000)) for n in range(31, 61)]
    second = (await claimer.post("rewards/claims/batch", many)).json()
    codes = [r["code"] for r in second["results"]]
    assert codes == [None] * 20 + ["claim-limit-reached"] * 10
    limited = await claimer.claim(claimer.body(99))
    problem = assert_problem(limited, 429, "claim-limit-reached")
    assert problem["params"] == {"reason": "daily-sessions"}
    assert (await claimer.holds())["nullifiers"] == 50
    world.now_ms += DAY_MS
    await claimer.api.sign_in()
    [balance] = await world.balances(f"pool:{claimer.pool_id}:balance/VIBES")
    await world.ask("pools", claimer.pool_id, ClosePool(TREASURY))
    assert balance > 0
    assert_problem(await claimer.claim(claimer.body(99)), 409, "reward-pool-closed")
    streak = (await claimer.get("users/me/streak")).json()
    assert streak["left_today_minor"] == 100 * VIBES, "what was admitted is released"


async def test_a_pool_that_cannot_pay_says_so_and_keeps_the_claim(
    claimer: Claimer, world: World
) -> None:
    await _sign_in(claimer.api, "boss", "admin")
    opened = await claimer.post("reward-pools", {"name": "Poor"})
    poor = opened.json()["pool_id"]
    funding = {"amount_minor": 60_000, "source": "treasury"}
    await claimer.post(f"reward-pools/{poor}/fundings", funding)
    await claimer.api.sign_in("mira")
    await world.listen(2, 60, user=claimer.user_id, pool_id=poor, commitment="77")
    await world.grown(1, poor)
    signals = [int(text) for text in await world.signals(9, claimer.user_id, poor)]
    body = {
        "pool_id": poor,
        "key_version": VERSION,
        "proof": prover().prove(signals),
        "public_signals": [str(value) for value in signals],
    }
    assert_problem(await claimer.claim(body), 409, "reward-pool-depleted")
    await claimer.api.sign_in("boss")
    await claimer.post(f"reward-pools/{poor}/fundings", {**funding, "amount_minor": 5 * VIBES})
    await claimer.api.sign_in("mira")
    assert (await claimer.claim(body)).status_code == 201


async def test_several_claims_have_an_outcome_each(claimer: Claimer) -> None:
    bad = _claim(claimer.body(3))
    bad["public_signals"][0] = "4"
    claims = [_claim(claimer.body(1)), bad, _claim(claimer.body(1)), _claim(claimer.body(2))]
    body = {"pool_id": claimer.pool_id, "key_version": VERSION, "claims": claims}
    answered = await claimer.post("rewards/claims/batch", body, "batch-key-1")
    assert answered.status_code == 200, answered.text
    results = answered.json()["results"]
    assert [(r["nullifier"], r["code"], r["detail"]) for r in results] == [
        ("1", None, None),
        ("4", "claim-proof-invalid", "pairing-failed"),
        ("1", "claim-already-paid", None),
        ("2", None, None),
    ]
    paid = sum(r["amount_minor"] for r in results)
    assert answered.json()["amount_minor"] == paid
    assert (await claimer.holds())["balances"][1] == paid
    again = await claimer.post("rewards/claims/batch", body, "batch-key-1")
    assert again.json() == answered.json()
    for count in (0, 33):
        over = {**body, "claims": [claims[0]] * count}
        assert_problem(await claimer.post("rewards/claims/batch", over), 422, "invalid-request")
    await claimer.world.verify()


async def test_claims_of_one_nullifier_at_once_are_paid_once(claimer: Claimer) -> None:
    bodies = [claimer.body(1) for _ in range(8)]
    answers = await asyncio.gather(*(claimer.claim(body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert (await claimer.holds())["nullifiers"] == 1


async def test_what_a_refused_claim_had_reserved_is_free_again(claimer: Claimer) -> None:
    assert_problem(await claimer.claim(claimer.body(1, root=5)), 409, "claim-root-unknown")

    async def released() -> bool:
        streak = (await claimer.get("users/me/streak")).json()
        return bool(streak["left_today_minor"] == 100 * VIBES)

    await until(released)


async def test_leaves_and_roots_are_for_anyone_to_read(claimer: Claimer) -> None:
    world, pool_id = claimer.world, claimer.pool_id
    for number in (2, 3):
        await world.listen(number, 60, user=claimer.user_id, pool_id=pool_id, commitment="78")
    await world.grown(3, pool_id)
    claimer.api.token = ""
    path = f"reward-pools/{pool_id}/epochs/{claimer.epoch}"
    epoch = (await claimer.get(path)).json()
    assert (epoch["leaves"], epoch["depth"], epoch["ended_at_ms"]) == (3, DEPTH, None)
    first = (await claimer.get(f"{path}/leaves?limit=2")).json()
    rest = (await claimer.get(f"{path}/leaves?after={first['next_after']}")).json()
    leaves = [*first["leaves"], *rest["leaves"]]
    assert (len(leaves), rest["first"], rest["next_after"]) == (3, 2, None)
    assert str(merkle.root([int(leaf) for leaf in leaves], DEPTH)) == epoch["root"]
    assert merkle.root([int(leaves[0])], DEPTH) == claimer.root, "an earlier root is as good"
    missing = (f"reward-pools/{pool_id}/epochs/99", f"reward-pools/{uuid.uuid4()}/epochs/0")
    for unknown in missing:
        assert_problem(await claimer.get(unknown), 404, "reward-epoch-not-found")
        assert_problem(await claimer.get(f"{unknown}/leaves"), 404, "reward-epoch-not-found")
    terms = (await claimer.get("rewards/claims/terms")).json()
    assert (terms["key_versions"], terms["max_gap_ms"], terms["rows"]) == ([VERSION], 10_500, 72)
    assert 60_000 in terms["steps_ms"]


async def test_a_witness_is_for_the_listener_alone(claimer: Claimer) -> None:
    path = f"listening/sessions/{session_id(1)}/witness"
    witness = (await claimer.get(path)).json()
    [stretch] = witness["stretches"]
    assert (witness["commitment"], witness["pool_id"]) == ("77", claimer.pool_id)
    rows = [Row(bytes.fromhex(row["nonce"]), row["delta_ms"]) for row in stretch["rows"]]
    assert [str(leaf) for leaf in fold("77", session_id(1), claimer.pool_id, rows)] == [
        stretch["leaf"]
    ]
    epoch = f"reward-pools/{claimer.pool_id}/epochs/{claimer.epoch}"
    assert (await claimer.get(f"{epoch}/leaves")).json()["leaves"] == [stretch["leaf"]]
    await _sign_in(claimer.api, "nova", "user")
    assert_problem(await claimer.get(path), 404, "listening-session-not-found")


def _claim(body: dict[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in ("proof", "public_signals")}
