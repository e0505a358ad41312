"""The story of an attack: many addresses hammer one account, and its owner still gets in."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import redis.asyncio as redis_asyncio

from deployments.launcher.valkey import EmbeddedValkey
from domain.throttle import ACCOUNT, MINUTE_MS, PAIR, Budget, Charge, Standing, attempt, succeed
from storage.database import Pool
from storage.rate_limits import open_client
from storage.throttle import LocalAttempts, RedisAttempts, SteadyAttempts
from tests.api_services import PASSWORD, Api, Clock, assert_problem, make_services, open_api

WRONG = "not the password at all"


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[Api]:
    clock = Clock()
    services = make_services(tmp_path, pool, clock=clock, attempts=LocalAttempts(clock))
    async with open_api(services) as opened:
        await opened.register()
        yield opened


@asynccontextmanager
async def at(api: Api, address: str) -> AsyncIterator[httpx.AsyncClient]:
    """A browser at an address, which keeps its cookies."""
    transport = httpx.ASGITransport(app=api.app, client=(address, 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
        yield client


async def sign_in(
    client: httpx.AsyncClient, password: str = PASSWORD, name: str = "mira"
) -> httpx.Response:
    body = {"username": name, "password": password}
    return await client.post("/api/v1/sessions", json=body)


async def hammer(api: Api, networks: int, each: int) -> int:
    """How many guesses at mira's password were tried, from so many networks at once."""

    async def one(number: int) -> int:
        async with at(api, f"198.51.{number // 250}.{number % 250}") as client:
            made = [(await sign_in(client, WRONG)).status_code for _ in range(each)]
            assert set(made) <= {401, 429}
            return made.count(401)

    return sum(await asyncio.gather(*(one(number) for number in range(networks))))


async def test_attackers_cannot_lock_the_owner_out(api: Api) -> None:
    async with at(api, "203.0.113.7") as home:
        assert (await sign_in(home)).status_code == 201, "the browser is known from now on"
        tried = await hammer(api, networks=40, each=8)
        assert tried == ACCOUNT.free, "320 guesses from 40 networks: no more than this were tried"
        assert (await sign_in(home)).status_code == 201
        assert_problem(await sign_in(home, WRONG), 401, "credentials-wrong")
        assert (await sign_in(home)).status_code == 201, "and may mistype"
    async with at(api, "203.0.113.7") as unknown:  # the same address without the cookie
        refused = await sign_in(unknown)
        assert_problem(refused, 429, "too-many-attempts")
        assert 0 < int(refused.headers["retry-after"]) <= ACCOUNT.longest_ms // 1_000


async def test_one_attacker_costs_nobody_else_anything(api: Api) -> None:
    await api.register("other")
    async with at(api, "198.51.100.1") as attacker:
        made = [(await sign_in(attacker, WRONG)).status_code for _ in range(100)]
        assert made == [401] * PAIR.free + [429] * (100 - PAIR.free)
        assert (await sign_in(attacker)).status_code == 429, "also with the right one"
        assert (await sign_in(attacker, name="other")).status_code == 201
    async with at(api, "203.0.113.7") as new_device:
        assert (await sign_in(new_device)).status_code == 201


async def test_waits_end_and_success_ends_them_all(api: Api) -> None:
    clock = api.services.clock
    assert isinstance(clock, Clock)
    async with at(api, "203.0.113.7") as home:
        for _ in range(PAIR.free):
            assert (await sign_in(home, WRONG)).status_code == 401
        waits = []
        for _ in range(12):
            refused = await sign_in(home)
            assert_problem(refused, 429, "too-many-attempts")
            waits.append(int(refused.headers["retry-after"]))
            clock.now_ms += waits[-1] * 1_000
            assert (await sign_in(home, WRONG)).status_code == 401
        assert waits[:5] == [1, 2, 4, 8, 16]
        assert waits[-1] == PAIR.longest_ms // 1_000
        clock.now_ms += PAIR.longest_ms
        assert (await sign_in(home)).status_code == 201
        assert (await sign_in(home, WRONG)).status_code == 401


async def test_a_network_that_tries_many_names_is_slowed(api: Api) -> None:
    async with at(api, "2001:db8:1:2::1") as attacker:
        made = [await sign_in(attacker, WRONG, f"user-{number}") for number in range(60)]
    statuses = [answer.status_code for answer in made]
    assert statuses == [401] * 50 + [429] * 10
    async with at(api, "2001:db8:1:2:ffff::9") as neighbour:  # the same subscriber's network
        assert (await sign_in(neighbour, WRONG, "user-x")).status_code == 429
    async with at(api, "2001:db8:1:3::1") as other:
        assert (await sign_in(other)).status_code == 201


async def test_names_that_nobody_has_are_throttled_alike(api: Api) -> None:
    answers = {}
    for name, address in (("mira", "198.51.100.1"), ("nobody", "198.51.100.2")):
        async with at(api, address) as client:
            answers[name] = [(await sign_in(client, WRONG, name)).status_code for _ in range(20)]
    assert answers["mira"] == answers["nobody"]


async def test_a_known_device_is_known_to_one_account_and_cannot_be_forged(api: Api) -> None:
    await api.register("eve")
    async with at(api, "203.0.113.7") as home, at(api, "198.51.100.1") as attacker:
        await sign_in(home)
        await sign_in(attacker, name="eve")
        (mine,) = home.cookies.jar
        (hers,) = attacker.cookies.jar
        assert mine.name != hers.name
        assert mine.value is not None
        assert hers.value is not None
        await hammer(api, networks=40, each=8)
        flipped = mine.value[:30] + ("A" if mine.value[30] != "A" else "B") + mine.value[31:]
        for forged in (hers.value, flipped, mine.value[:-1], "", "é", "A" * 71):
            cookie = {b"Cookie": f"{mine.name}={forged}".encode()}
            answer = await attacker.post(
                "/api/v1/sessions", json={"username": "mira", "password": PASSWORD}, headers=cookie
            )
            assert answer.status_code == 429, forged
        again = {"Cookie": f"{mine.name}={mine.value}"}
        answer = await attacker.post(
            "/api/v1/sessions", json={"username": "mira", "password": PASSWORD}, headers=again
        )
        assert answer.status_code == 201, "the true one is good anywhere"


async def test_the_cookie_is_for_this_host_alone(api: Api) -> None:
    plain = (await api.sign_in()).headers["set-cookie"]
    assert "HttpOnly" in plain
    assert "SameSite=Strict" in plain
    assert "Secure" not in plain
    body = {"username": "mira", "password": PASSWORD}
    secure = await api.client.post("https://api.test/api/v1/sessions", json=body)
    cookie = secure.headers["set-cookie"]
    assert cookie.startswith("__Host-device-")
    assert "; Secure" in cookie
    assert "Domain" not in cookie
    assert "set-cookie" not in (await api.client.get("/api/v1/ping")).headers


async def test_an_attempt_that_was_not_decided_costs_nothing(api: Api) -> None:
    from messages.errors import Overloaded

    verify = api.services.passwords.verify

    async def full(encoded: str | None, password: str) -> bool:
        raise Overloaded

    async with at(api, "203.0.113.7") as home:
        api.services.passwords.verify = full  # type: ignore[method-assign]
        assert {(await sign_in(home)).status_code for _ in range(20)} == {503}
        api.services.passwords.verify = verify  # type: ignore[method-assign]
        assert (await sign_in(home)).status_code == 201


# --- Redis --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
async def test_the_script_does_what_the_rule_says(
    redis_client: redis_asyncio.Redis, seed: int
) -> None:
    """Waits are so long that the moments between two calls do not matter."""
    chance = random.Random(seed)
    attempts, standings = RedisAttempts(redis_client), dict[str, Standing]()
    budgets = [Budget("slow", 3, 60 * MINUTE_MS, 90 * MINUTE_MS, MINUTE_MS),
               Budget("free", 10**6, 60 * MINUTE_MS, 90 * MINUTE_MS)]  # fmt: skip
    for _ in range(60):
        asked = tuple(
            Charge(f"{budget.name}{chance.randrange(2)}", budget, chance.random() < 0.5)
            for budget in chance.sample(budgets, chance.randint(1, 2))
        )
        seconds, micros = await redis_client.time()
        wait_ms = await attempts.attempt(asked)
        wanted_ms, after = attempt(standings, asked, int(seconds) * 1_000 + int(micros) // 1_000)
        assert abs(wait_ms - max(0, wanted_ms)) < 5_000
        standings = dict(after)
        if not wait_ms and chance.random() < 0.3:
            await attempts.succeed(asked)
            standings = dict(succeed(standings, asked))
        for charge in asked:
            found = await redis_client.hget(f"throttle:{charge.key}", "failures")
            assert int(found or 0) == standings.get(charge.key, Standing()).failures


async def test_counts_are_forgotten(redis_client: redis_asyncio.Redis) -> None:
    await RedisAttempts(redis_client).attempt((Charge("k", PAIR, True),))
    left_ms = await redis_client.pttl("throttle:k")
    assert PAIR.forget_ms - MINUTE_MS < left_ms <= PAIR.forget_ms


async def test_without_redis_guessing_is_neither_free_nor_impossible(
    pool: Pool, tmp_path: Path
) -> None:
    with EmbeddedValkey(tmp_path / "valkey") as server:
        client = open_client(server.url)
        clock = Clock()
        attempts = SteadyAttempts(RedisAttempts(client), LocalAttempts(clock))
        services = make_services(tmp_path, pool, clock=clock)
        async with open_api(replace(services, attempts=attempts)) as api:
            await api.register()
            assert (await api.sign_in()).status_code == 201
            server.stop()
            async with at(api, "198.51.100.1") as attacker:
                made = [(await sign_in(attacker, WRONG)).status_code for _ in range(20)]
                assert made == [401] * PAIR.free + [429] * 15
            assert (await api.sign_in()).status_code == 201
        await client.aclose()
