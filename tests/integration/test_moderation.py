"""Reports, decisions, suspensions and appeals through the gateway on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from domain.moderation import ModerationPolicy
from messages.users import Role
from storage import moderation as storage
from storage import moderation_sanctions as sanctions
from storage import users as users_storage
from storage.database import Pool
from tests.api_services import NOW_MS, PASSWORD, Api, assert_problem, make_services, open_api

NOBODY = "0197a000-0000-7000-8000-000000000099"
DAY_MS = 86_400_000


class Desk:
    """Users and moderators, signed in, on one gateway."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.ids: dict[str, str] = {}
        self.tokens: dict[str, str] = {}

    async def join(self, name: str, role: Role = Role.USER) -> None:
        self.api.token = ""
        self.ids[name] = (await self.api.register(name)).json()["user_id"]
        if role is not Role.USER:
            await users_storage.grant_role(self.api.pool, name, role)
        assert (await self.api.sign_in(name)).status_code == 201
        self.tokens[name] = self.api.token

    async def ask(self, who: str, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = {"Idempotency-Key": f"key-{uuid.uuid4()}"}
        if who:
            headers["Authorization"] = f"Bearer {self.tokens[who]}"
        return await self.api.client.request(method, f"/api/v1{path}", json=body, headers=headers)

    async def report(self, who: str, whom: str, **changes: Any) -> httpx.Response:
        body = {"target_kind": "user", "target_id": self.ids.get(whom, whom), "reason": "spam"}
        return await self.ask(who, "POST", "/reports", {**body, **changes})

    async def case(self, who: str = "mod-a") -> str:
        """The oldest open case, claimed by a moderator."""
        items = (await self.ask(who, "GET", "/moderation/cases")).json()["items"]
        case_id: str = items[0]["case_id"]
        claimed = await self.ask(who, "PUT", f"/moderation/cases/{case_id}/claim")
        assert claimed.status_code == 200, claimed.text
        return case_id

    async def resolve(self, who: str, case_id: str, outcome: str, **more: Any) -> httpx.Response:
        body = {"outcome": outcome, "explanation": "because", **more}
        return await self.ask(who, "PUT", f"/moderation/cases/{case_id}/resolution", body)

    async def suspended(self, whom: str = "otto", until_ms: int | None = None) -> str:
        """Report and suspend somebody; the code of the letter."""
        assert (await self.report("mira", whom)).status_code == 201
        case_id = await self.case()
        answer = await self.resolve("mod-a", case_id, "suspend", until_ms=until_ms)
        assert answer.status_code == 200, answer.text
        return str((await self.letters("account-suspended"))[-1]["token"])

    async def letters(self, template: str) -> list[dict[str, Any]]:
        rows = await self.api.pool.fetch(
            "select params from mail.outgoing where template = $1 order by queued_at_ms", template
        )
        return [json.loads(row["params"]) for row in rows]

    async def events(self, whom: str) -> list[str]:
        rows = await self.api.pool.fetch(
            "select type from bus.outbox where stream = 'users' and entity_id = $1"
            " order by xid, id",
            self.ids[whom],
        )
        return [row["type"] for row in rows]

    async def status(self, whom: str) -> str:
        found: str = await self.api.pool.fetchval(
            "select status from users.users where user_id = $1", self.ids[whom]
        )
        return found

    async def trail(self) -> list[str]:
        rows = await self.api.pool.fetch(
            "select action from audit.entries where split_part(action, '.', 1)"
            " in ('case', 'user', 'appeal') and action <> 'user.registered' order by entry_id"
        )
        return [row["action"] for row in rows]


@pytest.fixture
async def desk(pool: Pool, tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_api(make_services(tmp_path, pool)) as api:
        made = Desk(api)
        for name in ("mira", "otto"):
            await made.join(name)
        for name in ("mod-a", "mod-b"):
            await made.join(name, Role.MODERATOR)
        yield made


async def test_every_statement_compiles(pool: Pool) -> None:
    statements = [
        value
        for name, value in vars(storage).items()
        if name[0] != "_" and name.isupper() and isinstance(value, str)
    ]
    assert len(statements) > 18
    async with pool.acquire() as connection:
        for statement in statements:
            await connection.prepare(statement)


async def test_reports_of_one_target_are_one_case(desk: Desk) -> None:
    await desk.join("nora")
    first = await desk.report("mira", "otto", text=" so \n rude ", reason="harassment")
    assert first.status_code == 201, first.text
    assert first.json()["text"] == "so\nrude"
    assert_problem(await desk.report("mira", "otto"), 409, "already-reported")
    assert (await desk.report("nora", "otto")).status_code == 201
    (case,) = (await desk.ask("mod-a", "GET", "/moderation/cases")).json()["items"]
    assert (case["reports"], case["subject_id"]) == (2, desk.ids["otto"])
    detail = (await desk.ask("mod-a", "GET", f"/moderation/cases/{case['case_id']}")).json()
    reporters = {report["reporter_id"] for report in detail["reported"]}
    assert reporters == {desk.ids["mira"], desk.ids["nora"]}
    case_id = await desk.case()
    assert (await desk.resolve("mod-a", case_id, "dismiss")).status_code == 200
    (own,) = (await desk.ask("mira", "GET", "/users/me/reports")).json()["items"]
    assert own["status"] == "resolved"
    assert (await desk.report("mira", "otto")).status_code == 201, "a new case"
    assert await desk.events("otto") == await desk.events("mira"), "nothing was told"


async def test_concurrent_reports_are_counted_once_each(desk: Desk) -> None:
    names = [f"user-{n}" for n in range(5)]
    for name in names:
        await desk.join(name)
    answers = await asyncio.gather(*(desk.report(n, "otto") for n in names for _ in range(2)))
    assert sorted(a.status_code for a in answers) == [201] * 5 + [409] * 5
    assert await desk.api.pool.fetchval("select reports from moderation.cases") == 5
    assert await desk.api.pool.fetchval("select count(*) from moderation.reports") == 5


async def test_what_cannot_be_reported(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_problem(await desk.report("mira", "mira"), 409, "self-report")
    assert_problem(await desk.report("mira", NOBODY), 404, "user-not-found")
    song = await desk.report("mira", NOBODY, target_kind="song")
    assert_problem(song, 404, "song-not-found")
    artist = await desk.report("mira", NOBODY, target_kind="artist")
    assert_problem(artist, 404, "artist-not-found")
    long = await desk.report("mira", "otto", text="x" * 1_001)
    assert_problem(long, 422, "report-text-invalid")
    for change in ({"reason": "boredom"}, {"target_kind": "moderator"}, {"target_id": "x"}):
        assert_problem(await desk.report("mira", "otto", **change), 422, "invalid-request")
    assert_problem(await desk.report("", "otto"), 401, "unauthenticated")
    assert await desk.api.pool.fetchval("select count(*) from moderation.cases") == 0
    from domain import moderation as rules

    tight = ModerationPolicy(daily_reports=1)
    monkeypatch.setattr(rules.check_report, "__defaults__", (tight,))
    assert (await desk.report("mira", "otto")).status_code == 201
    assert_problem(await desk.report("mira", "mod-a"), 429, "report-limit-reached")
    desk.api.services.clock.now_ms += DAY_MS  # type: ignore[attr-defined]
    await desk.api.sign_in("mira")
    desk.tokens["mira"] = desk.api.token
    assert (await desk.report("mira", "mod-a")).status_code == 201


async def test_songs_and_artists_are_their_users(desk: Desk) -> None:
    desk.api.token = desk.tokens["otto"]
    made = await desk.api.client.post(
        "/api/v1/artists", json={"name": "Otto"}, headers=desk.api.headers()
    )
    artist_id = made.json()["artist_id"]
    song_id = str(uuid.uuid4())
    await desk.api.pool.execute(
        "insert into music.songs (song_id, artist_id, title, duration_ms, audio_sha256,"
        " audio_bytes, object_name, content_type, codec, sample_rate, channels, published_at_ms)"
        " values ($1, $2, 't', 5000, sha256('x'), 1, 'o', 'audio/flac', 'flac', 44100, 2, 1)",
        song_id,
        artist_id,
    )
    for kind, target in (("artist", artist_id), ("song", song_id)):
        assert (await desk.report("mira", target, target_kind=kind)).status_code == 201
        own = await desk.report("otto", target, target_kind=kind)
        assert_problem(own, 409, "self-report")
    subjects = await desk.api.pool.fetch("select subject_id::text from moderation.cases")
    assert [row["subject_id"] for row in subjects] == [desk.ids["otto"]] * 2


async def test_a_claim_keeps_others_away_for_a_while(desk: Desk) -> None:
    await desk.report("mira", "otto")
    case_id = await desk.case("mod-a")
    path = f"/moderation/cases/{case_id}/claim"
    assert_problem(await desk.ask("mod-b", "PUT", path), 409, "case-claimed")
    assert_problem(await desk.ask("mod-b", "DELETE", path), 409, "case-not-claimed")
    assert_problem(await desk.resolve("mod-b", case_id, "dismiss"), 409, "case-not-claimed")
    mine = await desk.ask("mod-a", "GET", "/moderation/cases?status=claimed&mine=true")
    assert [item["case_id"] for item in mine.json()["items"]] == [case_id]
    theirs = await desk.ask("mod-b", "GET", "/moderation/cases?status=claimed&mine=true")
    assert theirs.json()["items"] == []
    released = await desk.ask("mod-a", "DELETE", path)
    assert released.json()["status"] == "open"
    assert (await desk.ask("mod-b", "PUT", path)).status_code == 200
    assert (await desk.resolve("mod-b", case_id, "dismiss")).json()["outcome"] == "dismiss"
    assert_problem(await desk.ask("mod-a", "PUT", path), 409, "case-resolved")
    assert await desk.trail() == ["case.claimed", "case.released", "case.claimed", "case.resolved"]


async def test_moderators_at_once_decide_once(desk: Desk) -> None:
    await desk.report("mira", "otto")
    (case,) = (await desk.ask("mod-a", "GET", "/moderation/cases")).json()["items"]
    path = f"/moderation/cases/{case['case_id']}/claim"
    claims = await asyncio.gather(*(desk.ask(m, "PUT", path) for m in ("mod-a", "mod-b")))
    assert sorted(a.status_code for a in claims) == [200, 409]
    holder = "mod-a" if claims[0].status_code == 200 else "mod-b"
    answers = await asyncio.gather(
        *(desk.resolve(m, case["case_id"], "warn") for m in ("mod-a", "mod-b") for _ in range(4))
    )
    assert sorted(a.status_code for a in answers) == [200] + [409] * 7
    assert len(await desk.letters("account-warned")) == 1
    assert (await desk.events("otto")).count("UserWarned") == 1
    done = (await desk.ask("mod-a", "GET", f"/moderation/cases/{case['case_id']}")).json()
    assert done["claimed_by"] == desk.ids[holder]


async def test_who_may_decide_about_whom(desk: Desk) -> None:
    await desk.join("boss", Role.ADMIN)
    await desk.join("chief", Role.ADMIN)
    for whom, who, code in (
        ("boss", "mod-a", "authority-missing"),
        ("mod-a", "mod-a", "self-moderation"),
        ("boss", "boss", "self-moderation"),
    ):
        await desk.report("mira", whom)
        case_id = await desk.api.pool.fetchval(
            "select case_id::text from moderation.cases where subject_id = $1", desk.ids[whom]
        )
        path = f"/moderation/cases/{case_id}"
        assert_problem(await desk.ask(who, "PUT", f"{path}/claim"), 403, code)
        assert_problem(await desk.resolve(who, case_id, "dismiss"), 403, code)
    assert (await desk.ask("chief", "PUT", f"{path}/claim")).status_code == 200
    assert (await desk.resolve("chief", case_id, "warn")).status_code == 200


GUARDED = [
    ("GET", "/moderation/cases", None),
    ("GET", f"/moderation/cases/{NOBODY}", None),
    ("PUT", f"/moderation/cases/{NOBODY}/claim", None),
    ("DELETE", f"/moderation/cases/{NOBODY}/claim", None),
    ("PUT", f"/moderation/cases/{NOBODY}/resolution", {"outcome": "dismiss", "explanation": "x"}),
    ("GET", "/moderation/appeals", None),
    (
        "PUT",
        f"/moderation/appeals/{NOBODY}/decision",
        {"decision": "uphold", "explanation": "x"},
    ),
    ("GET", f"/moderation/users/{NOBODY}/suspensions", None),
]


@pytest.mark.parametrize(("method", "path", "body"), GUARDED)
async def test_the_queue_is_the_moderators(
    desk: Desk, method: str, path: str, body: dict[str, str] | None
) -> None:
    assert_problem(await desk.ask("", method, path, body), 401, "unauthenticated")
    assert_problem(await desk.ask("mira", method, path, body), 403, "permission-missing")
    answer = await desk.ask("mod-a", method, path, body)
    if NOBODY in path and not path.endswith("suspensions"):
        code = "suspension-not-found" if "appeals" in path else "case-not-found"
        assert_problem(answer, 404, code)
    else:
        assert answer.status_code == 200


async def test_a_bad_resolution_decides_nothing(desk: Desk) -> None:
    await desk.report("mira", "otto")
    case_id = await desk.case()
    for change, code in (
        ({"explanation": ""}, "explanation-invalid"),
        ({"explanation": "x" * 1_001}, "explanation-invalid"),
        ({"until_ms": NOW_MS}, "suspension-invalid"),
        ({"until_ms": NOW_MS + 6 * 365 * DAY_MS}, "suspension-invalid"),
        ({"outcome": "warn", "until_ms": NOW_MS + 1}, "suspension-invalid"),
        ({"outcome": "delete"}, "invalid-request"),
        ({"more": 1}, "invalid-request"),
    ):
        body = {"outcome": "suspend", "explanation": "x", **change}
        path = f"/moderation/cases/{case_id}/resolution"
        assert_problem(await desk.ask("mod-a", "PUT", path, body), 422, code)
    assert await desk.status("otto") == "active"
    assert await desk.trail() == ["case.claimed"]


async def test_a_suspension_ends_sessions_and_what_they_may_do(desk: Desk) -> None:
    refreshable = await desk.api.sign_in("otto")
    await desk.suspended("otto", NOW_MS + DAY_MS)
    assert await desk.status("otto") == "suspended"
    left = await desk.api.pool.fetchval(
        "select count(*) from users.sessions where user_id = $1 and ended_at_ms is null",
        desk.ids["otto"],
    )
    assert left == 0
    told = await desk.events("otto")
    assert told.count("UserSuspended") == 1
    assert "SessionClosed" in told
    again = await desk.api.client.post(
        "/api/v1/sessions", json={"username": "otto", "password": PASSWORD}
    )
    assert_problem(again, 403, "account-suspended")
    token = refreshable.json()["refresh_token"]
    renewed = await desk.api.client.post(
        "/api/v1/sessions/refresh", json={"refresh_token": token}, headers=desk.api.headers()
    )
    assert renewed.status_code in {401, 403}, renewed.text
    written = await desk.report("otto", "mira")
    assert written.status_code in {401, 403}, written.text
    (letter,) = await desk.letters("account-suspended")
    assert letter["until"] == "2026-09-22 14:13 UTC"
    shown = await desk.ask("", "GET", "/users/otto")
    assert_problem(shown, 404, "user-not-found")


async def test_a_suspended_user_is_not_suspended_again(desk: Desk) -> None:
    await desk.suspended("otto")
    await desk.report("mira", "otto")
    case_id = await desk.case("mod-b")
    assert_problem(await desk.resolve("mod-b", case_id, "suspend"), 409, "already-suspended")
    again = await desk.ask("mod-b", "GET", f"/moderation/cases/{case_id}")
    assert again.json()["status"] == "claimed", "undecided"
    assert (await desk.resolve("mod-b", case_id, "dismiss")).status_code == 200


async def test_an_appeal_is_decided_by_another_and_granted(desk: Desk) -> None:
    token = await desk.suspended("otto")
    filed = await desk.ask("", "PUT", "/appeals", {"token": token, "text": "It was not me."})
    assert filed.status_code == 200, filed.text
    again = await desk.ask("", "PUT", "/appeals", {"token": token, "text": "Again."})
    assert_problem(again, 409, "appeal-exists")
    (waiting,) = (await desk.ask("mod-b", "GET", "/moderation/appeals")).json()["items"]
    assert waiting["appeal_text"] == "It was not me."
    path = f"/moderation/appeals/{waiting['suspension_id']}/decision"
    body = {"decision": "overturn", "explanation": "Indeed."}
    assert_problem(await desk.ask("mod-a", "PUT", path, body), 403, "appeal-own-suspension")
    await desk.join("mod-c", Role.MODERATOR)
    answers = await asyncio.gather(
        *(desk.ask(who, "PUT", path, body) for who in ("mod-b", "mod-c"))
    )
    assert sorted(a.status_code for a in answers) == [200, 409]
    assert await desk.status("otto") == "active"
    assert (await desk.api.sign_in("otto")).status_code == 201
    told = [name for name in await desk.events("otto") if name[:4] in {"User", "Appe"}]
    assert told == [
        "UserRegistered", "UserSuspended", "AppealFiled", "AppealDecided", "UserReinstated",
    ]  # fmt: skip
    assert len(await desk.letters("account-reinstated")) == 1
    assert await desk.trail() == [
        "case.claimed", "user.suspended", "case.resolved", "appeal.filed", "appeal.decided",
        "user.reinstated",
    ]  # fmt: skip
    late = await desk.ask("", "PUT", "/appeals", {"token": token, "text": "Once more."})
    assert_problem(late, 409, "suspension-over")


async def test_an_appeal_that_is_upheld_changes_nothing_but_is_told(desk: Desk) -> None:
    token = await desk.suspended("otto")
    await desk.ask("", "PUT", "/appeals", {"token": token, "text": "Please."})
    (waiting,) = (await desk.ask("mod-b", "GET", "/moderation/appeals")).json()["items"]
    path = f"/moderation/appeals/{waiting['suspension_id']}/decision"
    body = {"decision": "uphold", "explanation": "No."}
    decided = await desk.ask("mod-b", "PUT", path, body)
    assert (decided.json()["appeal"], decided.json()["status"]) == ("upheld", "active")
    assert await desk.status("otto") == "suspended"
    assert [letter["explanation"] for letter in await desk.letters("appeal-upheld")] == ["No."]
    listed = await desk.ask("mod-a", "GET", f"/moderation/users/{desk.ids['otto']}/suspensions")
    assert [item["appeal"] for item in listed.json()["items"]] == ["upheld"]


async def test_only_the_code_of_the_letter_appeals(desk: Desk) -> None:
    token = await desk.suspended("otto")
    for bad in ("", "x", token[:-1], token + "A", NOBODY.replace("-", "") + token[32:]):
        answer = await desk.ask("", "PUT", "/appeals", {"token": bad, "text": "x"})
        assert_problem(answer, 401, "appeal-token-invalid")
    empty = await desk.ask("", "PUT", "/appeals", {"token": token, "text": " "})
    assert_problem(empty, 422, "explanation-invalid")
    assert (await desk.ask("mod-b", "GET", "/moderation/appeals")).json()["items"] == []


async def test_a_suspension_lapses_when_its_time_is_over_once(desk: Desk) -> None:
    token = await desk.suspended("otto", NOW_MS + 1_000)
    await desk.ask("", "PUT", "/appeals", {"token": token, "text": "Please."})
    pool = desk.api.pool
    assert await sanctions.lapse_due(pool, NOW_MS + 999) == 0
    assert await desk.status("otto") == "suspended"
    await asyncio.gather(*(sanctions.lapse_due(pool, NOW_MS + 1_000) for _ in range(4)))
    assert await desk.status("otto") == "active"
    assert (await desk.events("otto")).count("UserReinstated") == 1
    row = await pool.fetchrow("select status, appeal from moderation.suspensions")
    assert row is not None
    assert tuple(row) == ("lapsed", "moot")
    assert await sanctions.lapse_due(pool, NOW_MS + 1_000) == 0
    assert (await desk.api.sign_in("otto")).status_code == 201


async def test_an_account_goes_back_to_what_it_was(desk: Desk) -> None:
    await desk.api.pool.execute("update users.users set status = 'deactivated' where user_id = $1",
                                desk.ids["otto"])  # fmt: skip
    await desk.suspended("otto", NOW_MS + 1_000)
    assert await desk.status("otto") == "suspended"
    await sanctions.lapse_due(desk.api.pool, NOW_MS + 1_000)
    assert await desk.status("otto") == "deactivated"


async def test_an_account_deleted_meanwhile_stays_deleted(desk: Desk) -> None:
    await desk.suspended("otto", NOW_MS + 1_000)
    await desk.api.pool.execute("update users.users set status = 'deleted' where user_id = $1",
                                desk.ids["otto"])  # fmt: skip
    await sanctions.lapse_due(desk.api.pool, NOW_MS + 1_000)
    assert await desk.status("otto") == "deleted"


async def test_the_queue_is_paged_from_the_oldest(desk: Desk) -> None:
    for n in range(5):
        await desk.join(f"user-{n}")
        await desk.report("mira", f"user-{n}")
        desk.api.services.clock.now_ms += 1  # type: ignore[attr-defined]
    seen, cursor = [], ""
    while True:
        body = (await desk.ask("mod-a", "GET", f"/moderation/cases?limit=2{cursor}")).json()
        seen += [item["subject_id"] for item in body["items"]]
        if not body["next_cursor"]:
            break
        cursor = f"&cursor={body['next_cursor']}"
    assert seen == [desk.ids[f"user-{n}"] for n in range(5)]
