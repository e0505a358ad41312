"""Antifraud through the doors: velocity, shared cards, the scorer's silence, replay, the queue."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest
import redis.asyncio as redis_asyncio
import uvicorn

from api import payment_risk
from domain.payments.risk import Comparison, RiskPolicy, Rule, ScorerPolicy, Window
from domain.payments.risk_policy import FIRST
from integrations.payment_instruments import Instrument
from integrations.risk_scorer import Question
from integrations.risk_scorer_http import HttpRiskScorer
from messages.payments.payments import Verdict
from messages.users import Role
from simulators.risk_scorer import RiskScorerSimulator
from storage import payments_reviews, payments_risk, payments_risk_policies
from storage.database import Pool
from tests.api_services import assert_problem
from tests.integration.payments_support import World, open_world

SECRET = "a secret of the scorer"
VERBS = ("select", "insert", "update", "delete", "with")
HOME = "203.0.113.7"  # reserved for documentation, so not global: nothing is made of it
PUBLIC = "8.8.4.4"


@pytest.fixture
async def world(
    pool: Pool,
    tmp_path: Path,
    database_url: str,
    redis_server: str,
    redis_client: redis_asyncio.Redis,
) -> AsyncIterator[World]:
    async with open_world(pool, tmp_path, database_url, redis_server) as opened:
        yield opened
        await opened.verify()


@pytest.mark.parametrize(
    "module", [payments_risk, payments_risk_policies, payments_reviews], ids=lambda m: m.__name__
)
async def test_every_statement_compiles(pool: Pool, module: Any) -> None:
    texts = [v for n, v in vars(module).items() if isinstance(v, str) and n.isupper()]
    statements = [text for text in texts if text.lstrip().startswith(VERBS)]
    assert len(statements) >= 6
    async with pool.acquire() as connection:
        for statement in statements:
            await connection.prepare(statement)


async def decide_by(world: World, *rules: Rule, **changes: Any) -> int:
    """Have a policy of these rules decide; its version."""
    async with world.api.pool.acquire() as connection, connection.transaction():
        policy = RiskPolicy(rules, **changes)
        kept = await payments_risk_policies.propose(connection, policy, "test", "test", 1)
        await payments_risk_policies.activate(connection, kept.version, "test", "test", 1)
    return kept.version


async def why(world: World, payment_id: str, query: str = "") -> dict[str, Any]:
    """The assessment of a payment, as an admin sees it."""
    token = world.api.token
    await world.sign_in(f"root-{uuid4()}", Role.ADMIN)
    answer = await world.get(f"payments/{payment_id}/assessment{query}")
    world.api.token = token
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def codes(assessment: dict[str, Any]) -> list[str]:
    return [one["code"] for one in assessment["recorded"]["reasons"]]


async def last_id(world: World) -> str:
    found = await world.api.pool.fetchval(
        "select payment_id::text from payments.risk_observations order by at_ms desc limit 1"
    )
    return str(found)


MANY = Rule("many", "user_payments", Comparison.AT_LEAST, 4, 0, Window.TEN_MINUTES, Verdict.DENY)


async def test_the_nth_payment_is_denied(world: World) -> None:
    await decide_by(world, MANY)
    answers = [await world.pay(100 + n) for n in range(4)]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 403]
    problem = assert_problem(answers[3], 403, "payment-denied")
    shown = await why(world, problem["params"]["payment_id"])
    (reason,) = shown["recorded"]["reasons"]
    assert reason == {
        "code": "many", "feature": "user_payments_10m", "value": 4, "comparison": ">=",
        "threshold": 4, "held": True, "weight": 0, "verdict": "deny",
    }  # fmt: skip
    assert shown["same"]
    assert len(world.gateway.asked) == 3  # the provider never heard of the fourth


async def test_payments_side_by_side_do_not_slip_past_a_limit(world: World) -> None:
    await decide_by(world, MANY)
    answers = await asyncio.gather(*(world.pay(100 + n) for n in range(12)))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [403] * 9


async def test_a_request_that_is_sent_again_is_assessed_once(world: World) -> None:
    first = await world.pay(key="the-same-1")
    await decide_by(world, Rule("any", "amount_cents", Comparison.ABOVE, 0, 100))
    again = await world.pay(key="the-same-1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["payment_id"] == again.json()["payment_id"]
    assert_problem(await world.pay(key="another-1"), 403, "payment-denied")
    # The browser has its name from the second payment on.
    for table, rows in (("observations", 2), ("assessments", 2), ("sightings", 3), ("links", 1)):
        assert await world.api.pool.fetchval(f"select count(*) from payments.risk_{table}") == rows


async def test_a_card_that_accounts_share_is_noticed(world: World) -> None:
    seen = []
    for number in range(6):
        await world.sign_in(f"user-{number}", Role.USER)
        world.api.client.cookies.clear()
        answer = await world.pay(100, source="pm_1Stolen")
        shown = await why(world, await last_id(world))
        seen.append((answer.status_code, shown["features"]["card_users"]))
        assert shown["features"]["linked_users"] == number
    assert seen == [(201, 1), (201, 2), (201, 3), (201, 4), (201, 5), (403, 6)]
    await world.sign_in("a-seventh", Role.USER)
    await world.pay(100, source="pm_1Other")
    linked = (await why(world, await last_id(world)))["features"]
    assert (linked["card_users"], linked["linked_users"]) == (1, 0)


class Cards:
    """Knows each card by what its name begins with."""

    async def read(self, source: str) -> Instrument | None:
        return None if source == "pm_unknown" else Instrument(source[:6], "BR")

    async def close(self) -> None: ...


async def test_a_card_under_another_name_is_the_same_card(world: World) -> None:
    world.api.app.state.services = replace(world.api.app.state.services, instruments=Cards())
    counts = []
    for source in ("pm_abc1", "pm_abc2", "pm_xyz1", "pm_unknown", "pm_card_visa"):
        assert (await world.pay(100, source=source, billing_country="DE")).status_code == 201
        found = await why(world, await last_id(world))
        counts.append(found["features"].get("card_payments_10m"))
        mismatch = found["features"].get("card_country_mismatch")
        assert mismatch == (1 if source[:6] in {"pm_abc", "pm_xyz"} else None)
    assert counts == [1, 2, 1, 1, None]


async def test_who_is_linked_to_the_denied_through_another_is_noticed(world: World) -> None:
    deny = Rule("large", "amount_cents", Comparison.ABOVE, 1_000, 100)
    await decide_by(world, deny, *FIRST.rules)
    world.api.client.cookies.clear()
    assert_problem(await world.pay(2_000, source="pm_1A"), 403, "payment-denied")
    await world.sign_in("between", Role.USER)
    world.api.client.cookies.clear()
    await world.pay(100, source="pm_1A")
    await world.pay(100, source="pm_1B")
    await world.sign_in("far", Role.USER)
    world.api.client.cookies.clear()
    await world.pay(100, source="pm_1B")
    found = await why(world, await last_id(world))
    assert (found["features"]["linked_users"], found["features"]["linked_denied"]) == (2, 1)
    assert "linked-to-denied" in codes(found)
    await world.pay(100, source="pm_1B")  # by now linked to herself, which does not count
    assert (await why(world, await last_id(world)))["features"]["linked_users"] == 2


async def test_a_browser_with_many_accounts_is_noticed(world: World) -> None:
    await world.pay(100)  # gives the browser its name
    users = []
    for name in ("one", "two", "three"):
        await world.sign_in(name, Role.USER)
        await world.pay(100)
        users.append((await why(world, await last_id(world)))["features"]["device_users"])
    assert users == [1, 2, 3]
    world.api.client.cookies.clear()
    world.api.client.cookies.set("payer-device", "A" * 43, domain="api.test")
    await world.pay(100)
    assert "device_users" not in (await why(world, await last_id(world)))["features"]


async def test_a_public_address_is_counted_and_another_is_not(world: World) -> None:
    async def pay_from(address: str) -> dict[str, int]:
        body = {"amount_minor": 100, "currency": "USD", "method": "card"}
        headers = {**world.api.headers(), "x-forwarded-for": address}
        answer = await world.api.client.post("/api/v1/payments", json=body, headers=headers)
        assert answer.status_code == 201
        shown: dict[str, int] = (await why(world, await last_id(world)))["features"]
        return shown

    assert (await pay_from(PUBLIC))["network_payments_10m"] == 1
    await world.sign_in("neighbour", Role.USER)
    found = await pay_from(PUBLIC)
    assert (found["network_payments_10m"], found["user_payments_10m"]) == (2, 1)
    assert not any(name.startswith("network") for name in await pay_from(HOME))


async def test_declined_cards_are_counted_and_lost_providers_are_not(world: World) -> None:
    from messages.payments.gateways import ProviderStatus

    world.provider.first = ProviderStatus.FAILED
    for _ in range(4):
        assert (await world.pay(100)).json()["status"] == "failed"
    await world.api.pool.execute(
        "update payments.payments set failure = 'not-reached' where payment_id ="
        " (select payment_id from payments.payments order by created_at_ms limit 1)"
    )
    await world.pay(100)
    found = await why(world, await last_id(world))
    assert found["features"]["user_declined_10m"] == 3
    await world.pay(100)
    found = await why(world, await last_id(world))
    assert found["features"]["user_declined_10m"] == 4
    assert "user-declined-10m" in codes(found)
    assert found["recorded"]["verdict"] == "review"


async def test_an_amount_is_held_against_what_is_usual(world: World) -> None:
    for amount in (1_000, 3_000):
        await world.pay(amount)
    await world.pay(2_000)
    assert "amount_to_median_pct" not in (await why(world, await last_id(world)))["features"]
    await world.pay(40_000)
    found = (await why(world, await last_id(world)))["features"]
    assert (found["amount_to_median_pct"], found["amount_to_most_pct"]) == (2_000, 1_333)


async def test_the_bill_goes_to_another_country(world: World) -> None:
    async def mismatch(**body: Any) -> int | None:
        await world.pay(100, **body)
        found: int | None = (await why(world, await last_id(world)))["features"].get(
            "country_mismatch"
        )
        return found

    assert await mismatch(billing_country="DE") is None  # UTC is nowhere
    await world.api.pool.execute("update users.users set time_zone = 'Europe/Berlin'")
    assert await mismatch() is None
    assert [await mismatch(billing_country=country) for country in ("DE", "BR")] == [0, 1]


@asynccontextmanager
async def scorer(world: World) -> AsyncIterator[RiskScorerSimulator]:
    """An external scorer, asked from now on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    simulator = RiskScorerSimulator(SECRET)
    server = uvicorn.Server(
        uvicorn.Config(simulator.app(), "127.0.0.1", port, log_level="critical", lifespan="off")
    )
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event to await
        await asyncio.sleep(0.01)
    client = HttpRiskScorer(f"http://127.0.0.1:{port}/score", SECRET)
    services = world.api.app.state.services
    world.api.app.state.services = replace(services, scorer=client)
    yield simulator
    world.api.app.state.services = services
    await client.close()
    server.should_exit = True
    await serving


async def test_the_scorers_word_counts_and_is_kept(world: World) -> None:
    async with scorer(world) as outside:
        outside.plan = {"score": 90}
        await decide_by(world, MANY, review_at=40, scorer=ScorerPolicy(50, None))
        assert (await world.pay(100)).json()["status"] == "on_hold"
        (asked,) = outside.asked
        assert world.user_id not in str(asked)
        found = await why(world, await last_id(world))
        assert (found["recorded"]["score"], codes(found)) == (45, ["external-score"])
        assert (found["scorer"]["score"], found["scorer"]["failure"]) == (90, "")
        assert found["scorer"]["answer"] == '{"score":90}'
        assert len(found["scorer"]["request_digest"]) == 64
        assert found["same"]


@pytest.mark.parametrize(
    ("plan", "failure"),
    [
        ({"delay_ms": 1_000}, "timeout"),
        ({"body": "garbage"}, "garbage"),
        ({"body": '{"score": 101}'}, "garbage"),
        ({"body": '{"score": null}'}, "garbage"),
        ({"body": "x" * 20_000}, "too-long"),
        ({"status": 503}, "status-503"),
    ],
    ids=lambda value: str(value)[:24],
)
async def test_without_the_scorers_word_large_payments_wait(
    world: World, plan: dict[str, Any], failure: str
) -> None:
    async with scorer(world) as outside:
        outside.plan = plan
        await decide_by(world, MANY, scorer=ScorerPolicy(50, 10_000))
        assert (await world.pay(10_000)).json()["status"] == "completed"
        held = await world.pay(10_001)
        assert held.json()["status"] == "on_hold"
        found = await why(world, await last_id(world))
        assert codes(found) == ["external-scorer-failed"]
        assert (found["scorer"]["score"], found["scorer"]["failure"]) == (None, failure)
        assert found["same"]


async def test_a_scorer_that_fails_is_left_alone(world: World) -> None:
    async with scorer(world) as outside:
        outside.plan = {"status": 500}
        asked = Question(
            "p", "u", 1, "USD", "card", {"amount_cents": 1}, 1, world.api.services.clock()
        )
        client = world.api.app.state.services.scorer
        failures = [(await client.ask(asked)).failure for _ in range(7)]
        assert failures == ["status-500"] * 5 + ["circuit-open"] * 2
        assert len(outside.asked) == 5
    wrong = HttpRiskScorer("http://127.0.0.1:9/score", SECRET)
    assert (await wrong.ask(asked)).failure in {"not-reached", "timeout"}
    await wrong.close()


async def test_an_observation_whose_gateway_died_is_assessed_when_asked_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scorer(world):

        async def die(*_: object) -> None:
            raise ConnectionError("the gateway died")

        with monkeypatch.context() as patched:
            patched.setattr(payment_risk, "_ask", die)
            assert (await world.pay(key="died-once-1")).status_code == 503
        assert await world.api.pool.fetchval("select count(*) from payments.risk_assessments") == 0
        assert (await world.pay(key="died-once-1")).status_code == 201
        assert await world.api.pool.fetchval("select count(*) from payments.risk_observations") == 1


async def test_replay_after_the_policy_changed(world: World) -> None:
    payment = (await world.pay(5_000)).json()["payment_id"]
    version = await decide_by(world, Rule("dear", "amount_cents", Comparison.ABOVE, 4_000, 60))
    found = await why(world, payment)
    assert (found["same"], found["recorded"]["policy_version"]) == (True, 1)
    assert (found["under_active"], found["same_under_active"]) == (None, None)
    found = await why(world, payment, "?under_active=true")
    assert (found["same"], found["same_under_active"]) == (True, False)
    assert found["under_active"]["policy_version"] == version
    assert found["under_active"]["verdict"] == "review"


async def test_a_policy_is_proposed_tried_and_activated(world: World) -> None:
    for amount in (1_000, 6_000):
        await world.pay(amount)
    content = {
        "rules": [{"code": "dear", "feature": "amount_cents", "comparison": ">",
                   "threshold": 5_000, "weight": 95}],
    }  # fmt: skip
    proposal = {**content, "note": "a test"}
    for path, body in (("policies", proposal), ("policies/1/activation", {"reason": "why not"})):
        assert_problem(await world.post(f"payment-risk/{path}", body), 403, "permission-missing")
    await world.sign_in("root", Role.ADMIN)
    tried = (await world.post("payment-risk/trials", content)).json()
    assert tried == {
        "tried": 2, "changed": 1,
        "verdicts_before": {"allow": 2, "review": 0, "deny": 0},
        "verdicts_after": {"allow": 1, "review": 0, "deny": 1},
    }  # fmt: skip
    answers = [await world.post("payment-risk/policies", proposal, "once-only-1") for _ in "ab"]
    assert [(a.status_code, a.json()["version"], a.json()["active"]) for a in answers] == [
        (201, 2, False)
    ] * 2
    assert (await world.pay(6_000)).status_code == 201
    activated = await world.post("payment-risk/policies/2/activation", {"reason": "tried"})
    assert activated.json()["active"] is True
    assert_problem(await world.pay(6_000), 403, "payment-denied")
    listed = (await world.get("payment-risk/policies")).json()["items"]
    assert [(one["version"], one["active"]) for one in listed] == [(2, True), (1, False)]
    assert listed[1]["policy"]["rules"][0]["code"] == "amount-large"
    assert (await world.get("payment-risk/policies/2")).json() == activated.json()
    assert_problem(await world.get("payment-risk/policies/9"), 404, "risk-policy-not-found")
    unknown = await world.post("payment-risk/policies/9/activation", {"reason": "?"})
    assert_problem(unknown, 404, "risk-policy-not-found")
    actions = await audited(world)
    assert actions == ["risk-policy.proposed", "risk-policy.activated"]
    features = {one["feature"] for one in (await world.get("payment-risk/features")).json()}
    assert {rule.feature for rule in FIRST.rules} <= features


async def test_a_policy_that_cannot_be_used_is_refused(world: World) -> None:
    await world.sign_in("root", Role.ADMIN)
    body = {"rules": [{"code": "x", "feature": "moon_phase", "comparison": ">", "threshold": 1,
                       "weight": 1}], "note": "n"}  # fmt: skip
    answer = await world.post("payment-risk/policies", body)
    assert assert_problem(answer, 422, "risk-policy-invalid")["params"]["reason"] == (
        "x: no such feature: moon_phase"
    )
    assert await world.api.pool.fetchval("select count(*) from payments.risk_policies") == 0


async def audited(world: World) -> list[str]:
    rows = await world.api.pool.fetch("select action from audit.entries order by entry_id")
    return [row["action"] for row in rows]


async def test_the_queue(world: World) -> None:
    first = (await world.pay(1_000_001)).json()["payment_id"]
    second = (await world.pay(1_000_002)).json()["payment_id"]
    await world.pay(100)
    assert_problem(await world.get("payment-reviews"), 403, "permission-missing")
    payer = world.user_id
    rea = await world.sign_in("rea", Role.ADMIN)
    token = world.api.token
    page = (await world.get("payment-reviews?limit=1")).json()
    assert [one["payment_id"] for one in page["items"]] == [first]
    case = page["items"][0]
    assert case["reasons"] == ["amount-large", "email-unverified"]
    assert case["payer"] == {
        "user_id": payer, "username": "ana", "registered_at_ms": 1, "completed_payments": 1,
        "disputed_payments": 0, "denied_payments": 0,
    }  # fmt: skip
    following = (await world.get(f"payment-reviews?limit=1&cursor={page['next_cursor']}")).json()
    assert [one["payment_id"] for one in following["items"]] == [second]

    claimed = await world.api.client.put(
        f"/api/v1/payment-reviews/{first}/claim", headers=world.api.headers()
    )
    assert claimed.json()["claimed_by"] == rea
    note = await world.post(f"payment-reviews/{first}/notes", {"text": "called, no answer"})
    assert note.status_code == 201
    open_cases = (await world.get("payment-reviews?claimed=false")).json()["items"]
    assert [one["payment_id"] for one in open_cases] == [second]

    await world.sign_in("tom", Role.ADMIN)
    path = f"/api/v1/payment-reviews/{first}/claim"
    refused = await world.api.client.put(path, headers=world.api.headers())
    assert_problem(refused, 409, "payment-review-claimed")
    decided = {"allow": False, "reason": "never answered"}
    refused = await world.post(f"payments/{first}/review", decided)
    assert_problem(refused, 409, "payment-review-claimed")
    other = await world.api.client.delete(path, headers=world.api.headers())
    assert_problem(other, 404, "payment-review-not-found")
    assert (await world.get(f"payment-reviews/{first}")).json()["notes"] == [note.json()]

    world.api.token = token
    answers = [await world.post(f"payments/{first}/review", decided, "no-1234-x") for _ in "ab"]
    assert [answer.json()["status"] for answer in answers] == ["cancelled"] * 2
    assert_problem(await world.get(f"payment-reviews/{first}"), 404, "payment-review-not-found")
    late = await world.post(f"payment-reviews/{first}/notes", {"text": "too late"})
    assert_problem(late, 404, "payment-review-not-found")
    assert await audited(world) == [
        "payment-review.claimed", "payment-review.noted", "payment.denied",
    ]  # fmt: skip
    row = await world.api.pool.fetchrow(
        "select * from audit.entries order by entry_id desc limit 1"
    )
    assert row is not None
    assert (row["actor"], row["subject"]) == (rea, f"payment:{first}")
    assert "never answered" in row["detail"]
    assert await world.api.pool.fetchval("select count(*) from payments.review_claims") == 0


async def test_a_claim_lapses_and_is_given_back(world: World) -> None:
    payment = (await world.pay(1_000_001)).json()["payment_id"]
    path = f"/api/v1/payment-reviews/{payment}/claim"
    for name in ("rea", "tom"):
        await world.sign_in(name, Role.ADMIN)
        claimed = await world.api.client.put(path, headers=world.api.headers())
        assert claimed.status_code == 200, name
        await world.api.pool.execute("update payments.review_claims set expires_at_ms = 1")
    claimed = await world.api.client.put(path, headers=world.api.headers())
    released = await world.api.client.delete(path, headers=world.api.headers())
    assert (claimed.status_code, released.status_code) == (200, 204)
    assert (await world.get(f"payment-reviews/{payment}")).json()["claimed_by"] is None


async def test_what_was_recorded_cannot_be_changed(world: World) -> None:
    await world.pay()
    for table in ("risk_observations", "risk_assessments", "risk_policies", "risk_activations"):
        with pytest.raises(Exception, match="append-only"):
            await world.api.pool.execute(f"delete from payments.{table}")


async def test_no_card_and_no_address_is_kept_in_the_clear(world: World) -> None:
    await world.pay(100, source="pm_1Clear")
    for table in ("risk_observations", "risk_assessments", "risk_sightings", "risk_links"):
        rows = await world.api.pool.fetch(f"select row_to_json(t)::text from payments.{table} t")
        text = " ".join(row[0] for row in rows)
        assert text
        assert "pm_1Clear" not in text
        assert "127.0.0.1" not in text


async def test_sightings_are_forgotten_in_time(world: World) -> None:
    await world.pay()
    now_ms = world.api.services.clock()
    assert await payments_risk.purge(world.api.pool, now_ms) == 0
    later = now_ms + payments_risk.KEEP_MS + 1_000
    assert await payments_risk.purge(world.api.pool, later) == 1
    assert await world.api.pool.fetchval("select count(*) from payments.risk_sightings") == 0


async def test_verdicts_are_counted(world: World) -> None:
    await world.pay()
    await world.pay(1_000_001)
    text = (await world.api.services.risk_metrics.text()).decode()
    assert 'vibestream_payment_risk_verdicts_total{verdict="allow"} 1.0' in text
    assert 'vibestream_payment_risk_verdicts_total{verdict="review"} 1.0' in text


async def test_nobody_without_the_permission_sees_why(world: World) -> None:
    payment = (await world.pay()).json()["payment_id"]
    answer = await world.get(f"payments/{payment}/assessment")
    assert_problem(answer, 403, "permission-missing")
    await world.sign_in("root", Role.ADMIN)
    missing = await world.get(f"payments/{UUID(int=1)}/assessment")
    assert_problem(missing, 404, "payment-assessment-not-found")
    assert msgspec.json.encode(FIRST)
    assert isinstance(missing, httpx.Response)
