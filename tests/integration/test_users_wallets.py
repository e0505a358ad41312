"""Wallets through the gateway on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import base58
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eth_account import Account
from eth_account.messages import encode_defunct

from domain.users_wallets import POLICY
from storage import users_wallets as storage
from storage.database import Pool
from tests.api_services import Api, assert_problem, make_services, open_api
from tests.integration.factors_support import ME, Person

PATH = f"{ME}/wallets"


class Wallet(Protocol):
    kind: str
    address: str

    def sign(self, message: str) -> str: ...


class Evm:
    kind = "evm"

    def __init__(self) -> None:
        self.account = Account.create()
        self.address = str(self.account.address)

    def sign(self, message: str) -> str:
        signed = self.account.sign_message(encode_defunct(text=message))
        return "0x" + bytes(signed.signature).hex()


class Solana:
    kind = "solana"

    def __init__(self) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.address = base58.b58encode(self.key.public_key().public_bytes_raw()).decode()

    def sign(self, message: str) -> str:
        return base58.b58encode(self.key.sign(message.encode())).decode()


KINDS = [Evm, Solana]


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(make_services(tmp_path, pool)) as opened:
        yield opened


@pytest.fixture
async def mira(api: Api) -> Person:
    return await Person(api).join()


async def ask(person: Person, wallet: Wallet, **changes: Any) -> dict[str, Any]:
    body = {"kind": wallet.kind, "address": wallet.address, **changes}
    answer = await person.ask("POST", f"{PATH}/challenges", body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def answer_with(
    person: Person, challenge_id: str, signature: str, key: str = "", **more: Any
) -> httpx.Response:
    headers = {**person.api.headers(key or None), "Authorization": f"Bearer {person.token}"}
    body = {"challenge_id": challenge_id, "signature": signature, **more}
    return await person.api.client.post(PATH, json=body, headers=headers)


async def link(person: Person, wallet: Wallet) -> httpx.Response:
    asked = await ask(person, wallet)
    return await answer_with(person, asked["challenge_id"], wallet.sign(asked["message"]))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_wallet_is_linked_listed_and_unlinked(mira: Person, kind: type[Wallet]) -> None:
    wallet = kind()
    made = await link(mira, wallet)
    assert made.status_code == 201, made.text
    assert made.json()["address"] == wallet.address
    assert (await mira.ask("GET", PATH)).json() == {"items": [made.json()]}
    path = f"{PATH}/{made.json()['wallet_id']}"
    assert (await mira.ask("DELETE", path)).status_code == 204
    assert_problem(await mira.ask("DELETE", path), 404, "wallet-not-found")
    assert (await mira.ask("GET", PATH)).json() == {"items": []}
    assert await mira.facts() == ["WalletLinked", "WalletUnlinked"]
    assert (await link(mira, wallet)).status_code == 201


@pytest.mark.parametrize("kind", KINDS)
async def test_facts_and_the_audit_log_do_not_name_the_address(
    mira: Person, kind: type[Wallet]
) -> None:
    wallet = kind()
    await link(mira, wallet)
    for table in ("bus.outbox", "audit.entries"):
        rows = str([tuple(row) for row in await mira.api.pool.fetch(f"select * from {table}")])
        assert "allet" in rows
        assert wallet.address.lower() not in rows.lower()


async def test_the_message_says_whose_account_and_where(mira: Person) -> None:
    asked = await ask(mira, Evm())
    assert asked["message"].startswith("localhost:8000 wants you to sign in with your Ethereum")
    assert "the VibeStream account mira." in asked["message"]
    assert f"Request ID: {asked['challenge_id']}" in asked["message"]
    again = await ask(mira, Evm())
    assert again["message"].split("Nonce: ")[1] != asked["message"].split("Nonce: ")[1]


@pytest.mark.parametrize("kind", KINDS)
async def test_anothers_signature_links_nothing(mira: Person, kind: type[Wallet]) -> None:
    wallet, other = kind(), kind()
    asked = await ask(mira, wallet)
    message, challenge_id = asked["message"], asked["challenge_id"]
    for signature in (
        other.sign(message),
        wallet.sign(message + " "),
        wallet.sign(message.replace("mira", "eve")),
        wallet.sign(message)[:-2],
        "",
        "0x",
        "0x" + "00" * 65,
        "1" * 64,
        "\u0000",
    ):
        refused = await answer_with(mira, challenge_id, signature)
        assert_problem(refused, 403, "wallet-signature-wrong")
    assert (await mira.ask("GET", PATH)).json() == {"items": []}
    assert (await answer_with(mira, challenge_id, wallet.sign(message))).status_code == 201


@pytest.mark.parametrize("kind", KINDS)
async def test_a_signature_is_not_replayed(api: Api, mira: Person, kind: type[Wallet]) -> None:
    eve, wallet = await Person(api, "eve").join(), kind()
    asked = await ask(mira, wallet)
    signature = wallet.sign(asked["message"])
    stolen = await answer_with(eve, asked["challenge_id"], signature)
    assert_problem(stolen, 409, "wallet-challenge-not-found")
    made = await answer_with(mira, asked["challenge_id"], signature)
    again = await answer_with(mira, asked["challenge_id"], signature)
    assert_problem(again, 409, "wallet-challenge-not-found")
    await mira.ask("DELETE", f"{PATH}/{made.json()['wallet_id']}")
    for person in (mira, eve):
        fresh = await ask(person, wallet)
        refused = await answer_with(person, fresh["challenge_id"], signature)
        assert_problem(refused, 403, "wallet-signature-wrong")


async def test_a_challenge_is_too_old_after_five_minutes(mira: Person) -> None:
    wallet = Evm()
    asked = await ask(mira, wallet)
    mira.wait(POLICY.challenge_ms)
    late = await answer_with(mira, asked["challenge_id"], wallet.sign(asked["message"]))
    assert_problem(late, 409, "wallet-challenge-not-found")


async def test_a_wallet_is_one_users_in_any_spelling(api: Api, mira: Person) -> None:
    eve, wallet = await Person(api, "eve").join(), Evm()
    assert (await link(mira, wallet)).status_code == 201
    asked = await ask(eve, wallet, address=wallet.address.lower())
    refused = await answer_with(eve, asked["challenge_id"], wallet.sign(asked["message"]))
    problem = assert_problem(refused, 409, "wallet-taken")
    own = assert_problem(await link(mira, wallet), 409, "wallet-taken")
    assert mira.user_id not in str(problem)
    assert {**own, "request_id": ""} == {**problem, "request_id": ""}


async def test_two_users_at_once_one_wallet(api: Api, mira: Person) -> None:
    eve, wallet = await Person(api, "eve").join(), Evm()
    asked = [(person, await ask(person, wallet)) for person in (mira, eve)]
    answers = await asyncio.gather(
        *(answer_with(p, a["challenge_id"], wallet.sign(a["message"])) for p, a in asked)
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409]


async def test_a_repeated_request_gets_the_same_answer(mira: Person) -> None:
    wallet = Solana()
    asked = await ask(mira, wallet)
    signature = wallet.sign(asked["message"])
    answers = await asyncio.gather(
        *(answer_with(mira, asked["challenge_id"], signature, "same-key-1") for _ in range(6))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert (await mira.facts()).count("WalletLinked") == 1
    other = await answer_with(mira, asked["challenge_id"], signature, "same-key-1", name="x")
    assert_problem(other, 422, "idempotency-key-reused")


async def test_linking_wants_a_recent_proof(mira: Person) -> None:
    asked = await ask(mira, Evm())
    made = (await link(mira, Evm())).json()
    mira.wait(5 * 60_000 + 1_000)
    for method, path, body in (
        ("POST", f"{PATH}/challenges", {"kind": "evm", "address": Evm().address}),
        ("DELETE", f"{PATH}/{made['wallet_id']}", None),
    ):
        assert_problem(await mira.ask(method, path, body), 403, "step-up-required")
    late = await answer_with(mira, asked["challenge_id"], "0x")
    assert_problem(late, 403, "step-up-required")


async def test_another_users_wallet_is_not_there(api: Api, mira: Person) -> None:
    eve = await Person(api, "eve").join()
    made = (await link(mira, Evm())).json()
    assert (await eve.ask("GET", PATH)).json() == {"items": []}
    answer = await eve.ask("DELETE", f"{PATH}/{made['wallet_id']}")
    assert_problem(answer, 404, "wallet-not-found")


async def test_there_are_no_more_wallets_and_challenges_than_a_user_may_have(mira: Person) -> None:
    first = await ask(mira, Evm())
    mira.wait(1)
    for _ in range(POLICY.max_challenges):
        await ask(mira, Evm())
    count = await mira.api.pool.fetchval("select count(*) from users.wallet_challenges")
    assert count == POLICY.max_challenges
    gone = await answer_with(mira, first["challenge_id"], "0x")
    assert_problem(gone, 409, "wallet-challenge-not-found")
    await mira.api.pool.execute(
        """insert into users.wallets
        select gen_random_uuid(), $1, 'evm', n::text, 'x', n from generate_series(1, $2::int) n""",
        mira.user_id,
        POLICY.max_wallets,
    )
    assert_problem(await link(mira, Evm()), 409, "wallets-limit")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"kind": "bitcoin"}, "invalid-request"),
        ({"address": "0x" + "0" * 40}, "wallet-address-invalid"),
        ({"address": "0x" + "a" * 100}, "invalid-request"),
        ({"address": "\u0000"}, "wallet-address-invalid"),
        ({"kind": "solana"}, "wallet-address-invalid"),
        ({"user_id": "x"}, "invalid-request"),
    ],
)
async def test_bad_challenges_are_refused(mira: Person, change: dict[str, Any], code: str) -> None:
    body = {"kind": "evm", "address": Evm().address, **change}
    assert_problem(await mira.ask("POST", f"{PATH}/challenges", body), 422, code)


async def test_erasing_and_exporting(mira: Person) -> None:
    wallet = Solana()
    await link(mira, wallet)
    await ask(mira, Evm())
    async with mira.api.pool.acquire() as connection, connection.transaction():
        (found,) = await storage.export(connection, mira.user_id)
        assert found["address"] == wallet.address
        await storage.erase(connection, mira.user_id)
        assert await storage.export(connection, mira.user_id) == []
    assert await mira.api.pool.fetchval("select count(*) from users.wallet_challenges") == 0
