"""No object is readable or writable by another user's id: every route with an id is looked at.

Each is staff's (its permission is asked of every role by test_access_matrix.py), shared by its
nature, or one's own, with the test that shows that another's is refused.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from api.app import route_access
from domain.access import permits
from messages.users import Role
from storage.database import Pool
from tests.api_services import Api, assert_problem, make_services, open_api

TESTS = Path(__file__).parent
# Whoever has the permission may do this to any of them, because that is what it is for.
SHARED = {
    "POST /api/v1/books/{issue_id}/orders": "anyone trades in any book",
    "POST /api/v1/books/{issue_id}/orders/batch": "its orders are the caller's own",
    "GET /api/v1/users/me/funds/{currency}/statement": "the caller's own",
    "PUT /api/v1/users/me/following/users/{user_id}": "the caller's own list",
    "DELETE /api/v1/users/me/following/users/{user_id}": "the caller's own list",
    "PUT /api/v1/users/me/following/artists/{artist_id}": "the caller's own list",
    "DELETE /api/v1/users/me/following/artists/{artist_id}": "the caller's own list",
    "PUT /api/v1/users/me/blocks/{user_id}": "the caller's own list",
    "DELETE /api/v1/users/me/blocks/{user_id}": "the caller's own list",
    "POST /api/v1/artists/{artist_id}/claims": "anyone asks, a moderator decides",
    "GET /api/v1/songs/{song_id}/audio": "anyone listens to what is published",
    "POST /api/v1/reward-pools/{pool_id}/fundings": "from the caller's own balance",
    "POST /api/v1/issues/{issue_id}/purchases": "with the caller's own money",
    "POST /api/v1/issues/{issue_id}/locks": "the caller's own shares, or an operator's word",
    "GET /api/v1/issues/{issue_id}/distributions/{distribution_id}/statement": "one's own part",
    "GET /api/v1/ventures/{venture_id}/benefits": "one's own part",
    "POST /api/v1/ventures/{venture_id}/benefits/{benefit_id}/confirmation": "one's own part",
    "POST /api/v1/ventures/{venture_id}/benefits/{benefit_id}/contest": "one's own part",
}
ORDERS = "test_market_orders_api.py::test_what_is_refused_has_its_own_code"
ISSUES = "test_market_issues_api.py::test_who_may_say_how_a_sale_goes"
PAYMENTS = "test_payments.py::test_other_peoples_payments_are_not_to_be_found"
DROPS = "test_drops_api.py::test_who_may_say_how_a_drop_goes"
VENTURES = "test_ventures_api.py::test_who_may_say_how_a_round_goes"
PAYOUTS = "test_payouts.py::test_other_peoples_payouts_and_methods_are_not_to_be_found"
PURCHASES = "test_purchases.py::test_other_peoples_purchases_are_not_to_be_found"
KEYS = "test_api_keys.py::test_the_keys_of_others_are_not_to_be_found"
ARTISTS = "test_artists.py::test_an_owner_edits_the_profile_and_nobody_else"
SAVED = "test_saved_methods.py::test_another_users_card_is_not_there"
HERE = "test_object_access.py::test_what_is_anothers_is_not_there"
OWN = {
    "POST /api/v1/users/me/payment-methods/{method_id}/confirmation": SAVED,
    "PUT /api/v1/users/me/payment-methods/{method_id}/default": SAVED,
    "DELETE /api/v1/users/me/payment-methods/{method_id}": SAVED,
    "POST /api/v1/books/{issue_id}/orders/{order_id}/replacement": ORDERS,
    "DELETE /api/v1/books/{issue_id}/orders/{order_id}": ORDERS,
    "GET /api/v1/books/{issue_id}/orders/{order_id}": ORDERS,
    "PATCH /api/v1/users/me/passkeys/{passkey_id}": HERE,
    "DELETE /api/v1/users/me/passkeys/{passkey_id}": HERE,
    "DELETE /api/v1/users/me/wallets/{wallet_id}": (
        "test_users_wallets.py::test_another_users_wallet_is_not_there"
    ),
    "DELETE /api/v1/users/me/external-identities/{identity_id}": HERE,
    "DELETE /api/v1/users/me/api-keys/{key_id}": KEYS,
    "DELETE /api/v1/users/me/sessions/{session_id}": (
        "test_users_sessions.py::test_nobody_ends_or_sees_the_session_of_another"
    ),
    "PATCH /api/v1/artists/{artist_id}": ARTISTS,
    "POST /api/v1/artists/{artist_id}/verifications": ARTISTS,
    "GET /api/v1/listening/sessions/{session_id}": HERE,
    "GET /api/v1/listening/sessions/{session_id}/witness": HERE,
    "POST /api/v1/issues/{issue_id}/activation": ISSUES,
    "POST /api/v1/issues/{issue_id}/pause": ISSUES,
    "POST /api/v1/issues/{issue_id}/resumption": ISSUES,
    "POST /api/v1/issues/{issue_id}/termination": ISSUES,
    "POST /api/v1/drops/{drop_id}/activation": DROPS,
    "POST /api/v1/drops/{drop_id}/pause": DROPS,
    "POST /api/v1/drops/{drop_id}/cancellation": DROPS,
    "POST /api/v1/ventures/{venture_id}/opening": VENTURES,
    "POST /api/v1/ventures/{venture_id}/cancellation": VENTURES,
    "GET /api/v1/ventures/{venture_id}/investors": VENTURES,
    "POST /api/v1/ventures/{venture_id}/benefits/{benefit_id}/deliveries": VENTURES,
    "POST /api/v1/ventures/{venture_id}/investments/{investment_id}/withdrawal": (
        "test_ventures_api.py::test_an_investment_is_its_investors_alone"
    ),
    "GET /api/v1/payments/{payment_id}": PAYMENTS,
    "POST /api/v1/payments/{payment_id}/confirmation": PAYMENTS,
    "POST /api/v1/payments/{payment_id}/cancellation": PAYMENTS,
    "POST /api/v1/payments/{payment_id}/captures": PAYMENTS,
    "POST /api/v1/payments/{payment_id}/refunds": PAYMENTS,
    "GET /api/v1/purchases/{purchase_id}": PURCHASES,
    "POST /api/v1/purchases/{purchase_id}/cancellation": PURCHASES,
    "POST /api/v1/purchases/{purchase_id}/refunds": PURCHASES,
    "GET /api/v1/payouts/{payout_id}": PAYOUTS,
    "POST /api/v1/payouts/{payout_id}/cancellation": PAYOUTS,
    "POST /api/v1/users/me/payout-methods/{method_id}/onboarding": PAYOUTS,
    "POST /api/v1/users/me/payout-methods/{method_id}/refresh": PAYOUTS,
    "PUT /api/v1/users/me/payout-methods/{method_id}/default": PAYOUTS,
    "DELETE /api/v1/users/me/payout-methods/{method_id}": PAYOUTS,
}
_PASSKEY = """
insert into users.passkeys
    (passkey_id, user_id, credential_id, public_key, sign_count, name, aaguid, transports, synced,
     added_at_ms)
values ($1, $2, '\\x01', '\\x02', 0, 'phone', gen_random_uuid(), '{}', false, 1)"""
_IDENTITY = """
insert into users.external_identities
    (identity_id, user_id, provider, subject, email, linked_at_ms, used_at_ms)
values ($1, $2, 'google', 'sub', null, 1, 1)"""
_LISTENING = """
insert into listening.sessions
    (session_id, user_id, device_id, song_id, artist_id, pool_id, phase, started_at_ms)
values ($1, $2, 'phone', gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'ended', 1)"""


def test_every_route_with_an_id_is_looked_at() -> None:
    found = set()
    for route in route_access():
        if route.permission is None or "{" not in route.path:
            continue
        if permits((Role.USER,), route.permission) or permits((Role.ARTIST,), route.permission):
            found.add(f"{route.method} {route.path}")
    assert found == set(SHARED) | set(OWN)
    assert set(SHARED).isdisjoint(OWN)


def test_the_tests_that_are_named_are_there() -> None:
    for named in set(OWN.values()):
        file, test = named.split("::")
        assert re.search(rf"^async def {test}\(", (TESTS / file).read_text("utf-8"), re.MULTILINE)


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(make_services(tmp_path, pool)) as opened:
        yield opened


@pytest.mark.parametrize(
    ("statement", "table", "routes", "body"),
    [
        (_PASSKEY, "users.passkeys", ["PATCH users/me/passkeys", "DELETE users/me/passkeys"],
         {"name": "mine now"}),
        (_IDENTITY, "users.external_identities", ["DELETE users/me/external-identities"], None),
        (_LISTENING, "listening.sessions",
         ["GET listening/sessions", "GET listening/sessions /witness"], None),
    ],
)  # fmt: skip
async def test_what_is_anothers_is_not_there(
    api: Api, statement: str, table: str, routes: list[str], body: Any
) -> None:
    """Another's is answered as what does not exist is, and stays as it was."""
    for name in ("mira", "bea"):
        assert (await api.register(name)).status_code == 201
    owner = await api.pool.fetchval("select user_id from users.users where username = 'mira'")
    thing = uuid.uuid4()
    await api.pool.execute(statement, thing, owner)
    before = await api.pool.fetch(f"select t::text from {table} t")
    await api.sign_in("bea")
    for route in routes:
        method, path, tail = (*route.split(" "), "")[:3]
        answers = [
            await api.client.request(
                method,
                f"/api/v1/{path}/{wanted}{tail}",
                json=body if method == "PATCH" else None,
                headers=api.headers(),
            )
            for wanted in (thing, uuid.uuid4())
        ]
        codes = {answer.json()["code"] for answer in answers}
        assert len(codes) == 1, route
        assert_problem(answers[0], 404, codes.pop())
    assert await api.pool.fetch(f"select t::text from {table} t") == before
