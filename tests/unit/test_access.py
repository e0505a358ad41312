"""Policies: what roles, keys and owners may do; every route and operation says what it asks."""

from __future__ import annotations

import msgspec
import pytest
from fastapi import APIRouter, Depends
from hypothesis import given
from hypothesis import strategies as st

from api.access import UndeclaredAccess, declared
from api.app import create_openapi, route_access
from api.auth import Member, public, require
from domain.access import OVERRIDES, PERMISSIONS, Decision, Permission, Reason, decide, permits
from domain.users_api_keys import NEVER, POLICY, new_key, scopes_of
from integrations import api_keys
from messages.users import Role
from messages.users_api_keys import BadKeyExpiry, BadKeyName, BadKeyScopes

NOW = 1_790_000_000_000
DAY = 86_400_000


class Who(msgspec.Struct, frozen=True):
    user_id: str
    roles: tuple[Role, ...]
    scopes: tuple[Permission, ...] | None = None


roles = st.sampled_from(Role).map(lambda role: (role,))
permissions = st.sampled_from(Permission)
subjects = st.builds(
    Who,
    st.sampled_from(["ana", "bo"]),
    roles,
    st.none() | st.lists(permissions, max_size=4).map(tuple),
)


def test_who_may_do_what_by_hand() -> None:
    """A few lines of the table that one can check by eye."""
    fan, artist, admin = (
        Who("ana", (Role.USER,)),
        Who("bo", (Role.ARTIST,)),
        Who("root", (Role.ADMIN,)),
    )
    assert decide(fan, Permission.TRADE).allowed
    assert decide(fan, Permission.PUBLISH_SONG) == Decision(Reason.ROLE)
    assert decide(artist, Permission.ISSUE_SHARES, "bo").allowed
    assert decide(artist, Permission.ISSUE_SHARES, "ana") == Decision(Reason.OWNER)
    assert decide(admin, Permission.ISSUE_SHARES, "bo").allowed
    assert decide(admin, Permission.ACCOUNT, "bo") == Decision(Reason.OWNER)
    key = Who("bo", (Role.ARTIST,), (Permission.READ_HOLDINGS,))
    assert decide(key, Permission.READ_HOLDINGS).allowed
    assert decide(key, Permission.TRADE) == Decision(Reason.SCOPE)
    stolen = Who("ana", (Role.USER,), (Permission.PUBLISH_SONG,))
    assert decide(stolen, Permission.PUBLISH_SONG) == Decision(Reason.ROLE)


@given(subjects, permissions, st.sampled_from(["ana", "bo"]))
def test_nobody_acts_on_anothers_thing_but_by_an_override(
    subject: Who, action: Permission, owner: str
) -> None:
    decision = decide(subject, action, owner)
    if decision.allowed and owner != subject.user_id:
        assert permits(subject.roles, OVERRIDES[action])
        assert subject.scopes is None or OVERRIDES[action] in subject.scopes
    if decision.allowed and owner == subject.user_id:
        assert permits(subject.roles, action)


@given(subjects, permissions)
def test_a_key_never_does_more_than_its_owner(subject: Who, action: Permission) -> None:
    if decide(subject, action).allowed:
        assert decide(Who(subject.user_id, subject.roles), action).allowed


def test_every_route_says_who_may_call_it() -> None:
    routes = route_access()
    assert len(routes) > 50
    document = create_openapi()
    said = {(route.method, route.path): route.permission for route in routes}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            permission = said[(method.upper(), path)]
            assert operation["x-permission"] == (permission or "public"), f"{method} {path}"
            assert ("security" in operation) == (permission is not None)
            if permission is not None:
                assert {"401", "403"} <= set(operation["responses"])


def test_a_route_that_says_nothing_is_refused() -> None:
    silent, torn = APIRouter(), APIRouter()

    @silent.get("/silent")
    async def say_nothing() -> None: ...

    @torn.get("/torn")
    @public
    async def say_both(subject: Member) -> None: ...

    for router in (silent, torn):
        with pytest.raises(UndeclaredAccess):
            list(declared([router]))


def test_a_permission_among_the_routes_own_dependencies_counts() -> None:
    router = APIRouter()

    @router.get("/guarded", dependencies=[Depends(require(Permission.MODERATE))])
    async def guarded() -> None: ...

    assert [route.permission for route in declared([router])] == [Permission.MODERATE]


def test_only_admins_operate() -> None:
    for role in Role:
        assert permits((role,), Permission.OPERATE) == (role is Role.ADMIN)
    assert Permission.ACCOUNT not in PERMISSIONS[Role.SERVICE]


# --- keys -----------------------------------------------------------------------------------------


def test_a_key_is_made_of_what_its_user_may() -> None:
    made = new_key(" bot ", ["market:trade", "market:trade"], NOW + DAY, Role.USER, NOW)
    assert (made.name, made.scopes) == ("bot", (Permission.TRADE,))
    for scopes in ([], ["market:operate"], ["account:self"], ["nonsense"]):
        with pytest.raises(BadKeyScopes):
            new_key("bot", scopes, NOW + DAY, Role.USER, NOW)
    for name in ("", "  ", "x" * 65, "a\nb"):
        with pytest.raises(BadKeyName):
            new_key(name, ["market:trade"], NOW + DAY, Role.USER, NOW)
    for expiry in (NOW, NOW + POLICY.min_life_ms - 1, NOW + POLICY.max_life_ms + 1):
        with pytest.raises(BadKeyExpiry):
            new_key("bot", ["market:trade"], expiry, Role.USER, NOW)


def test_no_role_has_keys_that_manage_accounts() -> None:
    assert {Permission.ACCOUNT, Permission.OPERATE, Permission.MANAGE_USERS} <= NEVER
    for role in Role:
        assert scopes_of(role).isdisjoint(NEVER)


def test_tokens_of_keys() -> None:
    key_id = "00000000-0000-4000-8000-0000000000ab"
    token, digest = api_keys.make(b"s" * 32, key_id)
    assert api_keys.make(b"s" * 32, key_id) == (token, digest)
    assert api_keys.make(b"t" * 32, key_id) != (token, digest)
    presented = api_keys.parse(token)
    assert presented is not None
    assert (presented.key_id, presented.digest) == (key_id, digest)
    for bad in ("", token[:-1], token + "x", token.upper(), token.replace("_", "-"), "vsk_"):
        assert api_keys.parse(bad) is None


@given(st.text(max_size=120))
def test_no_text_crashes_the_parser(text: str) -> None:
    api_keys.parse(api_keys.PREFIX + text)
