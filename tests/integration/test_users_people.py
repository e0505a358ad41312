"""Profiles, follows and blocks through the gateway on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from storage import users_activity, users_analytics, users_follows, users_people
from storage.database import Pool
from tests.api_services import Api, assert_problem, make_services, open_api

MODULES = (users_activity, users_analytics, users_follows, users_people)
NOBODY = "0197a000-0000-7000-8000-000000000099"


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(make_services(tmp_path, pool)) as opened:
        yield opened


class People:
    """Several signed-in users on one gateway."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.ids: dict[str, str] = {}
        self.tokens: dict[str, str] = {}

    async def join(self, *names: str) -> None:
        for name in names:
            self.api.token = ""
            self.ids[name] = (await self.api.register(name)).json()["user_id"]
            assert (await self.api.sign_in(name)).status_code == 201
            self.tokens[name] = self.api.token

    async def ask(self, who: str, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.tokens[who]}"} if who else {}
        return await self.api.client.request(method, path, json=body, headers=headers)

    async def follow(self, who: str, whom: str) -> httpx.Response:
        return await self.ask(who, "PUT", f"/api/v1/users/me/following/users/{self.ids[whom]}")

    async def unfollow(self, who: str, whom: str) -> httpx.Response:
        return await self.ask(who, "DELETE", f"/api/v1/users/me/following/users/{self.ids[whom]}")

    async def counts(self, who: str) -> tuple[int, int]:
        body = (await self.ask("", "GET", f"/api/v1/users/{who}")).json()
        return body["followers"], body["following"]

    async def events(self, who: str) -> list[tuple[str, int, dict[str, Any]]]:
        """(type, sequence, body) of what was told about a user since they joined."""
        rows = await self.api.pool.fetch(
            "select type, sequence, body from bus.outbox where stream = 'users' and entity_id = $1"
            " order by xid, id",
            self.ids[who],
        )
        told = [(row["type"], row["sequence"], json.loads(row["body"])) for row in rows]
        return [event for event in told if event[0] not in {"UserRegistered", "EmailVerified"}]


@pytest.fixture
async def people(api: Api) -> People:
    made = People(api)
    await made.join("mira", "otto", "nora")
    return made


async def test_every_statement_compiles(pool: Pool) -> None:
    statements = [
        value
        for module in MODULES
        for name, value in vars(module).items()
        if name[0] != "_" and name.isupper() and isinstance(value, str) and name != "PROFILE"
    ]
    assert len(statements) > 25
    async with pool.acquire() as connection:
        for statement in statements:
            await connection.prepare(statement)


async def test_a_profile_is_edited_field_by_field(people: People) -> None:
    url = "/api/v1/users/me/profile"
    first = await people.ask("mira", "PATCH", url, {"display_name": " Mira  Sol ", "bio": "a\nb"})
    assert first.status_code == 200, first.text
    assert (first.json()["display_name"], first.json()["bio"]) == ("Mira Sol", "a\nb")
    links = ["https://example.org/a", "https://example.org/b"]
    second = await people.ask("mira", "PATCH", url, {"bio": None, "links": links})
    shown = (await people.ask("", "GET", "/api/v1/users/MIRA")).json()
    assert shown == second.json() == (await people.ask("mira", "GET", url)).json()
    assert (shown["display_name"], shown["bio"], shown["links"]) == ("Mira Sol", None, links)
    assert "example.org" not in json.dumps({**shown, "links": []}), "no e-mail address"
    again = await people.ask("mira", "PATCH", url, {"links": links})
    assert again.json() == shown
    told = [(type_, body.get("changed")) for type_, _, body in await people.events("mira")]
    assert told == [
        ("ProfileUpdated", ["bio", "display_name"]),
        ("ProfileUpdated", ["bio", "links"]),
    ]
    trail = await people.api.pool.fetch(
        "select subject from audit.entries where action = 'profile.updated'"
    )
    assert [row["subject"] for row in trail] == [f"user:{people.ids['mira']}"] * 2


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"display_name": ""}, "display-name-invalid"),
        ({"display_name": "x" * 51}, "display-name-invalid"),
        ({"bio": "x" * 501}, "bio-invalid"),
        ({"bio": "a\u0000"}, "bio-invalid"),
        ({"avatar_url": "http://example.org/"}, "link-invalid"),
        ({"links": ["javascript:alert(1)"]}, "link-invalid"),
        ({"links": [f"https://example.org/{n}" for n in range(6)]}, "link-invalid"),
        ({"links": None}, "invalid-request"),
        ({"role": "admin"}, "invalid-request"),
        ({"points": 1_000}, "invalid-request"),
    ],
)
async def test_a_bad_profile_changes_nothing(
    people: People, body: dict[str, Any], code: str
) -> None:
    before = await people.ask("", "GET", "/api/v1/users/mira")
    sent = {"bio": "good", **body} if "bio" not in body else body
    assert_problem(await people.ask("mira", "PATCH", "/api/v1/users/me/profile", sent), 422, code)
    assert (await people.ask("", "GET", "/api/v1/users/mira")).json() == before.json()
    assert not await people.events("mira")


@pytest.mark.parametrize("status", ["suspended", "deactivated", "deleted"])
async def test_accounts_that_are_not_active_are_not_shown_and_change_nothing(
    people: People, status: str
) -> None:
    await people.follow("otto", "mira")
    await people.api.pool.execute(
        "update users.users set status = $1 where username = 'mira'", status
    )
    for path in ("", "/followers", "/following"):
        shown = await people.ask("", "GET", f"/api/v1/users/mira{path}")
        assert_problem(shown, 404, "user-not-found")
    assert_problem(await people.follow("nora", "mira"), 404, "user-not-found")
    assert (await people.ask("", "GET", "/api/v1/users/otto/following")).json()["items"] == []
    url = "/api/v1/users/me"
    for method, path, body in (
        ("PATCH", f"{url}/profile", {"bio": "x"}),
        ("PUT", f"{url}/following/users/{people.ids['otto']}", None),
        ("DELETE", f"{url}/following/users/{people.ids['otto']}", None),
        ("PUT", f"{url}/blocks/{people.ids['otto']}", None),
        ("DELETE", f"{url}/blocks/{people.ids['otto']}", None),
    ):
        answer = await people.ask("mira", method, path, body)
        assert answer.status_code in {401, 403}, answer.text
    assert (await people.unfollow("otto", "mira")).json()["following"] is False


async def test_following_is_idempotent_and_told_once(people: People) -> None:
    for _ in range(2):
        state = (await people.follow("mira", "otto")).json()
        assert (state["following"], state["followers"]) == (True, 1)
    assert await people.counts("otto") == (1, 0)
    assert await people.counts("mira") == (0, 1)
    for _ in range(2):
        state = (await people.unfollow("mira", "otto")).json()
        assert (state["following"], state["since_ms"], state["followers"]) == (False, None, 0)
    await people.follow("mira", "otto")
    told = [(type_, body.get("first")) for type_, _, body in await people.events("mira")]
    assert told == [
        ("UserFollowed", True),
        ("UserUnfollowed", None),
        ("UserFollowed", False),
    ]
    sequences = [sequence for _, sequence, _ in await people.events("mira")]
    assert sequences == list(range(sequences[0], sequences[0] + 3))


async def test_who_may_not_be_followed(people: People) -> None:
    assert_problem(await people.follow("mira", "mira"), 409, "self-target")
    people.ids["nobody"] = NOBODY
    assert_problem(await people.follow("mira", "nobody"), 404, "user-not-found")
    artist = await people.ask("mira", "PUT", f"/api/v1/users/me/following/artists/{NOBODY}")
    assert_problem(artist, 404, "artist-not-found")
    bad = await people.ask("mira", "PUT", "/api/v1/users/me/following/users/x")
    assert_problem(bad, 422, "invalid-request")
    anonymous = await people.ask("", "PUT", f"/api/v1/users/me/following/users/{NOBODY}")
    assert_problem(anonymous, 401, "unauthenticated")


async def test_counts_are_exact_under_concurrency(people: People) -> None:
    """All follow and unfollow each other at once, both ways, again and again."""
    await people.join("u-1", "u-2", "u-3")
    names = list(people.ids)
    pairs = [(a, b) for a in names for b in names if a != b]

    async def churn(a: str, b: str) -> None:
        for step in (people.follow, people.follow, people.unfollow, people.unfollow, people.follow):
            assert (await step(a, b)).status_code == 200

    await asyncio.gather(*(churn(a, b) for a, b in pairs))
    for name in names:
        assert await people.counts(name) == (5, 5)
    await asyncio.gather(*(people.unfollow(a, b) for a, b in pairs for _ in range(2)))
    for name in names:
        assert await people.counts(name) == (0, 0)
        sequences = [sequence for _, sequence, _ in await people.events(name)]
        first = sequences[0]
        assert sequences == list(range(first, first + len(sequences))), "in order, without a gap"


async def test_artists_are_followed_and_listed(people: People) -> None:
    people.api.token = people.tokens["otto"]
    made = await people.api.client.post(
        "/api/v1/artists", json={"name": "Otto B"}, headers=people.api.headers()
    )
    artist_id = made.json()["artist_id"]
    for name in ("mira", "nora"):
        url = f"/api/v1/users/me/following/artists/{artist_id}"
        state = await people.ask(name, "PUT", url)
        assert state.status_code == 200, state.text
        people.api.services.clock.now_ms += 1  # type: ignore[attr-defined]
    assert state.json()["followers"] == 2
    await people.follow("mira", "otto")
    url = f"/api/v1/artists/{artist_id}/followers"
    page = (await people.ask("", "GET", f"{url}?limit=1")).json()
    assert [item["username"] for item in page["items"]] == ["nora"]
    rest = (await people.ask("", "GET", f"{url}?limit=1&cursor={page['next_cursor']}")).json()
    assert [item["username"] for item in rest["items"]] == ["mira"]
    assert rest["next_cursor"] is None
    followed = (await people.ask("", "GET", "/api/v1/users/mira/following")).json()["items"]
    assert [(item["kind"], item["name"]) for item in followed] == [
        ("user", "otto"), ("artist", "Otto B"),
    ]  # fmt: skip
    only = (await people.ask("", "GET", "/api/v1/users/mira/following?kind=artist")).json()
    assert [item["id"] for item in only["items"]] == [artist_id]
    profile = (await people.ask("", "GET", "/api/v1/users/otto")).json()
    assert profile["artist"] == {"artist_id": artist_id, "name": "Otto B"}
    unknown = await people.ask("", "GET", f"/api/v1/artists/{NOBODY}/followers")
    assert_problem(unknown, 404, "artist-not-found")


async def test_a_block_ends_follows_both_ways_and_refuses_new_ones(people: People) -> None:
    await people.follow("mira", "otto")
    await people.follow("otto", "mira")
    url = "/api/v1/users/me/blocks"
    for _ in range(2):
        blocked = await people.ask("mira", "PUT", f"{url}/{people.ids['otto']}")
        assert blocked.status_code == 200, blocked.text
    assert await people.counts("mira") == await people.counts("otto") == (0, 0)
    assert_problem(await people.follow("otto", "mira"), 403, "follow-refused")
    assert_problem(await people.follow("mira", "otto"), 403, "follow-refused")
    listed = (await people.ask("mira", "GET", url)).json()["items"]
    assert [item["username"] for item in listed] == ["otto"]
    assert (await people.ask("otto", "GET", url)).json()["items"] == []
    assert [e[0] for e in await people.events("otto")][-1] == "UserUnfollowed"
    for _ in range(2):
        ended = await people.ask("mira", "DELETE", f"{url}/{people.ids['otto']}")
        assert ended.status_code == 204
    assert (await people.follow("otto", "mira")).status_code == 200
    itself = await people.ask("mira", "PUT", f"{url}/{people.ids['mira']}")
    assert_problem(itself, 409, "self-target")
    nobody = await people.ask("mira", "PUT", f"{url}/{NOBODY}")
    assert_problem(nobody, 404, "user-not-found")


async def test_a_block_and_a_follow_at_once_never_leave_a_follow(people: People) -> None:
    for _ in range(10):
        block = people.ask("mira", "PUT", f"/api/v1/users/me/blocks/{people.ids['otto']}")
        await asyncio.gather(block, people.follow("otto", "mira"), people.follow("mira", "otto"))
        assert await people.counts("mira") == await people.counts("otto") == (0, 0)
        await people.ask("mira", "DELETE", f"/api/v1/users/me/blocks/{people.ids['otto']}")


async def test_limits_of_follows_and_blocks(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    from api import users_follows as routes
    from domain.users_people import PeoplePolicy

    monkeypatch.setattr(routes, "POLICY", PeoplePolicy(max_following=1, max_blocks=1))
    await people.follow("mira", "otto")
    assert_problem(await people.follow("mira", "nora"), 409, "follow-limit-reached")
    await people.ask("mira", "PUT", f"/api/v1/users/me/blocks/{people.ids['otto']}")
    more = await people.ask("mira", "PUT", f"/api/v1/users/me/blocks/{people.ids['nora']}")
    assert_problem(more, 409, "block-limit-reached")


async def test_names_that_are_none(people: People) -> None:
    for name in ("nobody", "a%00b", str(uuid.uuid4())):
        assert_problem(await people.ask("", "GET", f"/api/v1/users/{name}"), 404, "user-not-found")
