"""Artists' profiles, claims and verification through the gateway on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from domain.artists import Standing, check_decision, check_owner, check_rename, check_request
from messages.artists import (
    ArtistIsClaimed,
    ArtistIsVerified,
    ArtistNameVerified,
    ArtistRequestDecidedBefore,
    NotYourArtist,
    RequestKind,
    RequestStatus,
)
from messages.moderation import SelfModeration
from messages.users import Role
from storage import artists as storage
from storage.database import Pool
from tests.api_services import assert_problem, make_services, open_api
from tests.integration.test_moderation import NOBODY, Desk

EVIDENCE = {"evidence": "My site links here.", "links": ["https://example.org/proof"]}


@pytest.fixture
async def desk(pool: Pool, tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_api(make_services(tmp_path, pool)) as api:
        made = Desk(api)
        for name in ("mira", "otto"):
            await made.join(name)
        for name in ("mod-a", "mod-b"):
            await made.join(name, Role.MODERATOR)
        yield made


async def artist(desk: Desk, who: str = "mira", name: str = "Mira") -> str:
    made = await desk.ask(who, "POST", "/artists", {"name": name})
    assert made.status_code == 201, made.text
    return str(made.json()["artist_id"])


async def catalogue(desk: Desk, name: str = "The Old Band") -> str:
    made = await desk.ask("mod-a", "POST", "/moderation/artists", {"name": name})
    assert made.status_code == 201, made.text
    assert (made.json()["claimed"], made.json()["verified"]) == (False, False)
    return str(made.json()["artist_id"])


async def decide(
    desk: Desk, who: str, request: httpx.Response, decision: str = "approve"
) -> httpx.Response:
    assert request.status_code == 201, request.text
    path = f"/moderation/artist-requests/{request.json()['request_id']}/decision"
    return await desk.ask(who, "PUT", path, {"decision": decision, "explanation": "Seen."})


async def shown(desk: Desk, artist_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await desk.ask("", "GET", f"/artists/{artist_id}")).json()
    return found


async def told(desk: Desk, artist_id: str) -> list[tuple[str, int]]:
    rows = await desk.api.pool.fetch(
        "select type, sequence from bus.outbox where stream = 'music' and entity_id = $1"
        " order by xid, id",
        artist_id,
    )
    return [tuple(row) for row in rows]


async def test_every_statement_compiles(pool: Pool) -> None:
    async with pool.acquire() as connection:
        for name, value in vars(storage).items():
            if name[0] != "_" and name.isupper() and isinstance(value, str) and name != "STREAM":
                await connection.prepare(value)


async def test_an_owner_edits_the_profile_and_nobody_else(desk: Desk) -> None:
    artist_id = await artist(desk)
    path = f"/artists/{artist_id}"
    body = {"name": " Mira  Sol", "bio": "a\nb", "links": ["https://example.org/"]}
    edited = await desk.ask("mira", "PATCH", path, body)
    assert edited.status_code == 200, edited.text
    assert await shown(desk, artist_id) == edited.json()
    assert (edited.json()["name"], edited.json()["bio"]) == ("Mira Sol", "a\nb")
    again = await desk.ask("mira", "PATCH", path, body)
    assert again.json() == edited.json()
    assert await told(desk, artist_id) == [("ArtistRegistered", 1), ("ArtistProfileUpdated", 2)]
    await artist(desk, "otto", "Otto")
    assert_problem(await desk.ask("otto", "PATCH", path, {"bio": "x"}), 403, "artist-not-yours")
    badge = await desk.ask("otto", "POST", f"{path}/verifications", EVIDENCE)
    assert_problem(badge, 403, "artist-not-yours")
    moderator = await desk.ask("mod-a", "PATCH", path, {"bio": "x"})
    assert_problem(moderator, 403, "permission-missing")
    assert_problem(await desk.ask("", "PATCH", path, {"bio": "x"}), 401, "unauthenticated")
    unknown = await desk.ask("mira", "PATCH", f"/artists/{NOBODY}", {"bio": "x"})
    assert_problem(unknown, 404, "artist-not-found")
    for bad, code in (
        ({"name": ""}, "artist-name-invalid"),
        ({"name": None}, "invalid-request"),
        ({"bio": "x" * 501}, "bio-invalid"),
        ({"avatar_url": "ftp://example.org/"}, "link-invalid"),
        ({"verified": True}, "invalid-request"),
    ):
        assert_problem(await desk.ask("mira", "PATCH", path, bad), 422, code)
    assert await shown(desk, artist_id) == edited.json()


async def test_a_badge_is_given_by_a_moderator_and_keeps_the_name(desk: Desk) -> None:
    artist_id = await artist(desk)
    path = f"/artists/{artist_id}/verifications"
    request = await desk.ask("mira", "POST", path, EVIDENCE)
    (waiting,) = (await desk.ask("mod-a", "GET", "/moderation/artist-requests")).json()["items"]
    assert waiting == request.json()
    again = await desk.ask("mira", "POST", path, EVIDENCE)
    assert_problem(again, 409, "artist-request-exists")
    assert (await decide(desk, "mod-a", request)).json()["status"] == "approved"
    assert (await shown(desk, artist_id))["verified"] is True
    renamed = await desk.ask("mira", "PATCH", f"/artists/{artist_id}", {"name": "Somebody"})
    assert_problem(renamed, 409, "artist-name-verified")
    same = await desk.ask("mira", "PATCH", f"/artists/{artist_id}", {"name": "Mira", "bio": "x"})
    assert same.status_code == 200
    assert_problem(await desk.ask("mira", "POST", path, EVIDENCE), 409, "artist-verified")
    names = [name for name, _ in await told(desk, artist_id)]
    assert names == ["ArtistRegistered", "ArtistVerified", "ArtistProfileUpdated"]
    assert "ArtistRequestDecided" in await desk.events("mira")
    actions = await desk.api.pool.fetch(
        "select action from audit.entries where subject = $1 order by entry_id",
        f"artist:{artist_id}",
    )
    assert [row["action"] for row in actions] == [
        "artist.verification-approved", "artist.updated",
    ]  # fmt: skip


async def test_a_rejection_gives_nothing_and_says_why(desk: Desk) -> None:
    artist_id = await artist(desk)
    path = f"/artists/{artist_id}/verifications"
    request = await desk.ask("mira", "POST", path, EVIDENCE)
    rejected = await decide(desk, "mod-a", request, "reject")
    assert rejected.json()["status"] == "rejected"
    assert_problem(await decide(desk, "mod-b", request), 409, "artist-request-decided")
    assert (await shown(desk, artist_id))["verified"] is False
    (own,) = (await desk.ask("mira", "GET", "/users/me/artist-requests")).json()["items"]
    assert (own["status"], own["explanation"]) == ("rejected", "Seen.")
    assert (await desk.ask("otto", "GET", "/users/me/artist-requests")).json()["items"] == []
    assert (await desk.ask("mira", "POST", path, EVIDENCE)).status_code == 201, "asked anew"
    assert [name for name, _ in await told(desk, artist_id)] == ["ArtistRegistered"]


async def test_an_artist_of_the_catalogue_is_claimed_once(desk: Desk) -> None:
    artist_id = await catalogue(desk)
    path = f"/artists/{artist_id}/claims"
    claims = [await desk.ask(who, "POST", path, EVIDENCE) for who in ("mira", "otto")]
    answers = await asyncio.gather(
        *(decide(desk, who, claim) for who, claim in zip(("mod-a", "mod-b"), claims, strict=True))
    )
    assert sorted(a.status_code for a in answers) == [200, 409]
    winner = ("mira", "otto")[[a.status_code for a in answers].index(200)]
    loser = "otto" if winner == "mira" else "mira"
    found = await shown(desk, artist_id)
    assert (found["claimed"], found["verified"]) == (True, True)
    profile = (await desk.ask("", "GET", f"/users/{winner}")).json()
    assert profile["artist"]["artist_id"] == artist_id
    edited = await desk.ask(winner, "PATCH", f"/artists/{artist_id}", {"bio": "It is me."})
    assert edited.status_code == 200, "the token goes on with the new role"
    late = await desk.ask(loser, "POST", path, EVIDENCE)
    assert_problem(late, 409, "artist-claimed")
    assert await told(desk, artist_id) == [
        ("ArtistClaimed", 1), ("ArtistVerified", 2), ("ArtistProfileUpdated", 3),
    ]  # fmt: skip
    (rest,) = (await desk.ask("mod-a", "GET", "/moderation/artist-requests")).json()["items"]
    assert rest["user_id"] == desk.ids[loser], "left open, to be rejected"


async def test_who_may_not_ask(desk: Desk) -> None:
    own, theirs = await artist(desk), await catalogue(desk)
    mine = await desk.ask("mira", "POST", f"/artists/{theirs}/claims", EVIDENCE)
    assert_problem(mine, 409, "artist-exists")
    taken = await desk.ask("otto", "POST", f"/artists/{own}/claims", EVIDENCE)
    assert_problem(taken, 409, "artist-claimed")
    nobody = await desk.ask("otto", "POST", f"/artists/{NOBODY}/claims", EVIDENCE)
    assert_problem(nobody, 404, "artist-not-found")
    await artist(desk, "otto", "Otto")
    others = await desk.ask("otto", "POST", f"/artists/{own}/verifications", EVIDENCE)
    assert_problem(others, 403, "artist-not-yours")
    for bad, code in (
        ({"evidence": ""}, "explanation-invalid"),
        ({"evidence": "x", "links": ["http://example.org"]}, "link-invalid"),
        ({}, "invalid-request"),
    ):
        answer = await desk.ask("mira", "POST", f"/artists/{own}/verifications", bad)
        assert_problem(answer, 422, code)
    assert await desk.api.pool.fetchval("select count(*) from music.artist_requests") == 0


async def test_a_claimer_who_became_an_artist_meanwhile_or_is_suspended_gets_nothing(
    desk: Desk,
) -> None:
    theirs = await catalogue(desk)
    claim = await desk.ask("mira", "POST", f"/artists/{theirs}/claims", EVIDENCE)
    await desk.api.pool.execute(
        "update users.users set status = 'suspended' where username = 'mira'"
    )
    assert_problem(await decide(desk, "mod-a", claim), 404, "user-not-found")
    await desk.api.pool.execute("update users.users set status = 'active' where username = 'mira'")
    await artist(desk)
    assert_problem(await decide(desk, "mod-a", claim), 409, "artist-exists")
    assert (await shown(desk, theirs))["claimed"] is False
    status = await desk.api.pool.fetchval("select status from music.artist_requests")
    assert status == "open", "undone together"


async def test_nobody_decides_their_own_request(desk: Desk) -> None:
    theirs = await catalogue(desk)
    claim = await desk.ask("mod-a", "POST", f"/artists/{theirs}/claims", EVIDENCE)
    assert_problem(await decide(desk, "mod-a", claim), 403, "self-moderation")
    assert (await decide(desk, "mod-b", claim)).status_code == 200
    role = await desk.api.pool.fetchval("select role from users.users where username = 'mod-a'")
    assert role == "moderator", "not made less"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/moderation/artist-requests", None),
        ("POST", "/moderation/artists", {"name": "X"}),
        (
            "PUT",
            f"/moderation/artist-requests/{NOBODY}/decision",
            {"decision": "approve", "explanation": "x"},
        ),
    ],
)
async def test_the_moderators_side_is_theirs(
    desk: Desk, method: str, path: str, body: dict[str, str] | None
) -> None:
    assert_problem(await desk.ask("", method, path, body), 401, "unauthenticated")
    assert_problem(await desk.ask("mira", method, path, body), 403, "permission-missing")
    if NOBODY in path:
        unknown = await desk.ask("mod-a", method, path, body)
        assert_problem(unknown, 404, "artist-request-not-found")


async def test_evidence_is_for_moderators_alone(desk: Desk) -> None:
    theirs = await catalogue(desk)
    await desk.ask("mira", "POST", f"/artists/{theirs}/claims", EVIDENCE)
    bodies = await desk.api.pool.fetch("select body from bus.outbox")
    assert not any("My site" in row["body"] for row in bodies)
    assert "My site" not in json.dumps(await shown(desk, theirs))


def test_the_rules_by_themselves() -> None:
    """Each rule for each standing of an artist."""
    for owner, verified in itertools.product((None, "u", "v"), (False, True)):
        standing = Standing(owner, verified)
        if owner == "u":
            check_owner(standing, "u")
        else:
            with pytest.raises(NotYourArtist):
                check_owner(standing, "u")
        if owner is None:
            check_request(standing, "u", RequestKind.CLAIM)
        else:
            with pytest.raises(ArtistIsClaimed):
                check_request(standing, "u", RequestKind.CLAIM)
        if owner == "u" and not verified:
            check_request(standing, "u", RequestKind.VERIFICATION)
        else:
            with pytest.raises((NotYourArtist, ArtistIsVerified)):
                check_request(standing, "u", RequestKind.VERIFICATION)
        check_rename(standing, "a", "a")
        if verified:
            with pytest.raises(ArtistNameVerified):
                check_rename(standing, "a", "b")
    check_decision(RequestStatus.OPEN, "u", "m")
    with pytest.raises(SelfModeration):
        check_decision(RequestStatus.OPEN, "u", "u")
    for status in (RequestStatus.APPROVED, RequestStatus.REJECTED):
        with pytest.raises(ArtistRequestDecidedBefore):
            check_decision(status, "u", "m")
