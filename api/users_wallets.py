"""A user's wallets: link by a signed challenge, list, unlink."""

from __future__ import annotations

from functools import partial
from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from api.auth import Member
from api.idempotency import KeyHeader, attempt, command_key, once
from api.inputs import Input
from api.openapi import problems
from api.services import ServicesDep
from api.step_up import step_up_for
from domain import users_wallets as domain
from domain.users_factors import Sensitive, factor_name
from integrations import wallets
from integrations.tokens import Claims
from messages.keys import derive_id
from messages.users import UserNotFound
from messages.users_wallets import (
    TooManyWallets,
    WalletChallengeNotFound,
    WalletKind,
    WalletLinked,
    WalletNotFound,
    WalletSignatureWrong,
    WalletUnlinked,
)
from storage import audit, users_events
from storage import users as users_storage
from storage import users_wallets as storage
from storage.database import Connection

router = APIRouter(prefix="/api/v1/users/me/wallets", tags=["users"])

LINK = "POST /api/v1/users/me/wallets"

Linker = Annotated[Claims, Depends(step_up_for(Sensitive.LINK_WALLET))]
Unlinker = Annotated[Claims, Depends(step_up_for(Sensitive.UNLINK_WALLET))]


class AskForChallenge(Input):
    """Which wallet is to be linked."""

    kind: WalletKind
    address: str = Field(
        max_length=64,
        description="evm: 0x and 40 hexadecimal digits, checksummed (EIP-55) or in one case. "
        "solana: base58 of a public key.",
    )


class WalletChallenge(BaseModel):
    """A message for the wallet to sign. It can be answered once, for five minutes."""

    challenge_id: UUID
    message: str = Field(
        description="evm: `personal_sign` it (EIP-191). solana: `signMessage` its UTF-8 bytes."
    )
    expires_at_ms: int = Field(description="Epoch milliseconds.")


class LinkWallet(Input):
    """What the wallet answers."""

    challenge_id: UUID
    signature: str = Field(
        max_length=256,
        description="evm: 65 bytes as 0x and hexadecimal digits. solana: 64 bytes in base58.",
    )
    name: str = Field("Wallet", max_length=256, description="1 to 64 visible characters.")


class Wallet(BaseModel):
    """A wallet whose key the user showed to hold."""

    wallet_id: UUID
    kind: WalletKind
    address: str
    name: str
    linked_at_ms: int = Field(description="Epoch milliseconds.")


class Wallets(BaseModel):
    """All of them, oldest first."""

    items: list[Wallet]


@router.post("/challenges", status_code=201, responses=problems(401, 403, 404))
async def create_wallet_challenge(
    body: AskForChallenge, subject: Linker, services: ServicesDep
) -> WalletChallenge:
    """A message that says which wallet is linked to which account, for the wallet to sign."""
    address, user_id = wallets.normal_address(body.kind, body.address), subject.user_id
    challenge_id, now_ms = services.new_id(), services.clock()
    expires_at_ms = now_ms + domain.POLICY.challenge_ms
    url = services.relying_party.origins[0]
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, user_id)
        user = await users_storage.get_user(connection, user_id)
        if user is None:
            raise UserNotFound
        challenge = domain.Challenge(
            kind=body.kind,
            address=address,
            username=user.username,
            host=urlsplit(url).netloc,
            url=url,
            nonce=wallets.new_nonce(),
            challenge_id=challenge_id,
            issued_at_ms=now_ms,
            expires_at_ms=expires_at_ms,
        )
        message = domain.message_of(challenge)
        await storage.ask(
            connection,
            user_id,
            challenge_id,
            storage.Asked(body.kind, address, message),
            now_ms=now_ms,
            expires_at_ms=expires_at_ms,
            at_most=domain.POLICY.max_challenges,
        )
    return WalletChallenge(
        challenge_id=UUID(challenge_id), message=message, expires_at_ms=expires_at_ms
    )


@router.post(
    "",
    status_code=201,
    response_model=Wallet,
    responses=problems(401, 403, 404, 409, replayed=True),
)
async def link_wallet(
    body: LinkWallet, key: KeyHeader, subject: Linker, services: ServicesDep
) -> Response:
    """Link the wallet that signed the challenge. Whose it is already, nobody is told."""
    name, user_id = factor_name(body.name), subject.user_id
    command, at_ms = command_key(user_id, LINK, key), services.clock()
    secret = services.settings.fingerprint_secret
    made = attempt(command, secret, str(body.challenge_id), body.signature, name)
    wallet_id = derive_id("wallet", command)

    async def change(connection: Connection) -> Wallet:
        asked = await _answered(connection, user_id, body, at_ms)
        wallet = storage.Wallet(wallet_id, asked.kind, asked.address, name, at_ms)
        await _link(connection, user_id, wallet)
        return _view(wallet)

    lock = partial(users_events.lock, user_id=user_id)
    return await once(services.pool, made, at_ms, 201, change, lock=lock)


@router.get("", responses=problems(401, 403))
async def list_wallets(subject: Member, services: ServicesDep) -> Wallets:
    """The user's wallets."""
    found = await storage.list_wallets(services.pool, subject.user_id)
    return Wallets(items=[_view(wallet) for wallet in found])


@router.delete("/{wallet_id}", status_code=204, responses=problems(401, 403, 404))
async def unlink_wallet(wallet_id: UUID, subject: Unlinker, services: ServicesDep) -> None:
    """The wallet is the user's no longer; anybody who holds its key may link it."""
    user_id, at_ms = subject.user_id, services.clock()
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, user_id)
        kind = await storage.unlink(connection, user_id, str(wallet_id))
        if kind is None:
            raise WalletNotFound
        await _tell(connection, WalletUnlinked(user_id, str(wallet_id), kind, at_ms))


async def _answered(
    connection: Connection, user_id: str, body: LinkWallet, now_ms: int
) -> storage.Asked:
    """The challenge, which is used up by a right answer alone."""
    asked = await storage.take(connection, user_id, str(body.challenge_id), now_ms)
    if asked is None:
        raise WalletChallengeNotFound
    if not wallets.is_signed(asked.kind, asked.address, asked.message, body.signature):
        raise WalletSignatureWrong
    return asked


async def _link(connection: Connection, user_id: str, wallet: storage.Wallet) -> None:
    limit = domain.POLICY.max_wallets
    if len(await storage.list_wallets(connection, user_id)) >= limit:
        raise TooManyWallets(limit=limit)
    await storage.link(connection, user_id, wallet)
    fact = WalletLinked(user_id, wallet.wallet_id, wallet.kind, wallet.linked_at_ms)
    await _tell(connection, fact)


async def _tell(connection: Connection, fact: WalletLinked | WalletUnlinked) -> None:
    await users_events.tell(connection, fact.user_id, [fact], fact.at_ms)
    verb = "linked" if isinstance(fact, WalletLinked) else "unlinked"
    await audit.record(
        connection,
        f"wallet.{verb}",
        actor=fact.user_id,
        subject=f"wallet:{fact.wallet_id}",
        at_ms=fact.at_ms,
        detail={"kind": fact.kind.value},
    )


def _view(wallet: storage.Wallet) -> Wallet:
    return Wallet(
        wallet_id=UUID(wallet.wallet_id),
        kind=wallet.kind,
        address=wallet.address,
        name=wallet.name,
        linked_at_ms=wallet.linked_at_ms,
    )
