"""The ports that the HTTP gateway stands on. Built by `deployments/`, faked or real in tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from fastapi import Depends, Request

from api.doors import DoorSettings
from api.payment_risk_metrics import PaymentRiskMetrics
from api.rate_limits import Limiter
from api.recent_keys import RecentKeys
from api.webhook_inbox import WebhookInbox
from domain.payouts.policy import POLICY as PAYOUT_POLICY
from domain.payouts.policy import PayoutPolicy
from domain.policy import RewardPolicy
from integrations.audio import AudioInspector
from integrations.oidc import IdentityProvider
from integrations.passkeys import RelyingParty
from integrations.passwords import Passwords
from integrations.payment_courier import Courier
from integrations.payment_instruments import InstrumentReader
from integrations.payout_accounts import PayoutAccounts
from integrations.purchase_courier import PurchaseCourier
from integrations.refresh_tokens import RefreshTokens
from integrations.risk_scorer import RiskScorer
from integrations.saved_methods import SavedMethods
from integrations.sealing import Vault
from integrations.tokens import AccessTokens
from messages.errors import Unavailable
from messages.keys import derive_key
from messages.payments.payout_orders import PayoutProvider
from messages.users_external import Provider, ProviderNotConfigured
from storage.objects import ObjectStore
from storage.throttle import Attempts, LocalAttempts

if TYPE_CHECKING:
    import redis.asyncio

    from storage.database import Pool

MIB = 1024 * 1024


def _attempts_here() -> Attempts:
    return LocalAttempts(lambda: time.monotonic_ns() // 1_000_000)


class EntityHandle(Protocol):
    """A typed handle of the actor runtime, as far as HTTP needs it."""

    async def ask(self, entity_id: str, command: Any, *, key: bytes, timeout_ms: int = ...) -> Any:
        """The answer of the entity's owner. Raises messages.errors.*"""

    def ask_soon(
        self, entity_id: str, command: Any, *, key: bytes, told: Callable[[Any], None]
    ) -> asyncio.Future[Any]:
        """Have `told` called with the answer, or with the error instead. Raises Overloaded."""

    async def ask_all(self, entity_id: str, commands: Sequence[tuple[Any, bytes]]) -> list[Any]:
        """The answers to several commands, each with its key; the error where there is none."""


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A named thing that must work. `run` returns a word of detail, or raises.

    critical: whether the gateway is not ready without it.
    """

    name: str
    run: Callable[[], Awaitable[str]]
    critical: bool = True
    timeout_s: float = 2.0


@dataclass(frozen=True, slots=True)
class RealtimeEndpoints:
    """Where WebSocket clients connect: `{host}` stands for the host the caller reached us by.

    direct: the realtime replicas' own listeners, fastest.  fallback: through the HTTP port.
    """

    direct: tuple[str, ...]
    fallback: str


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Limits and secrets of the gateway.

    fingerprint_secret keys the digests of requests kept for idempotency, which may cover a
    password: without it they could be guessed from a stolen table.
    """

    fingerprint_secret: bytes
    upload_folder: Path
    max_json_bytes: int = MIB
    max_upload_bytes: int = 256 * MIB
    upload_timeout_s: float = 600.0
    body_timeout_s: float = 30.0
    scrape_timeout_s: float = 2.0
    version: str = "0.1.0"
    process_name: str = "gateway"
    doors: DoorSettings = field(default_factory=DoorSettings)


@dataclass(frozen=True, slots=True)
class ExternalSignIn:
    """Who vouches for users besides themselves.

    return_urls: where a browser may be sent afterwards.  secure: whether browsers reach us by TLS.
    """

    providers: Mapping[Provider, IdentityProvider] = field(default_factory=dict)
    return_urls: tuple[str, ...] = ()
    secure: bool = True

    def provider(self, name: Provider) -> IdentityProvider:
        """The provider of that name. Raises ProviderNotConfigured."""
        try:
            return self.providers[name]
        except KeyError:
            raise ProviderNotConfigured(provider=name.value) from None


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a route may use.

    clock: epoch milliseconds.  new_id: a fresh UUID string.  handles: by entity kind name.
    vault: seals secrets that are stored.  relying_party: whom passkeys are shown to.
    reward_policy: that the owners decide by.  key_versions: of verification keys that they have.
    limiter: of how often one may ask; without one, there is no limit.  attempts: at secrets.
    scorer: an outside word on how risky a payment is; without one there is none.
    instruments: who knows the same card again; without it, its name is all there is.
    payout_accounts: with providers that open one for a user.  payout_providers: who pays out here.
    scrapers: by process name, each returning the Prometheus text of another process.
    """

    pool: Pool
    objects: ObjectStore
    audio: AudioInspector
    passwords: Passwords
    tokens: AccessTokens
    vault: Vault
    relying_party: RelyingParty
    refresh_tokens: RefreshTokens
    settings: ApiSettings
    clock: Callable[[], int]
    new_id: Callable[[], str]
    realtime: Callable[[], Awaitable[RealtimeEndpoints]]
    reward_policy: RewardPolicy = field(default_factory=RewardPolicy)
    key_versions: Sequence[str] = ()
    redis: redis.asyncio.Redis | None = None
    external: ExternalSignIn = field(default_factory=ExternalSignIn)
    courier: Courier | None = None
    inbox: WebhookInbox | None = None
    card_keeper: SavedMethods | None = None
    scorer: RiskScorer | None = None
    instruments: InstrumentReader | None = None
    risk_metrics: PaymentRiskMetrics = field(default_factory=PaymentRiskMetrics)
    payout_accounts: Mapping[PayoutProvider, PayoutAccounts] = field(default_factory=dict)
    payout_providers: frozenset[PayoutProvider] = frozenset()
    payout_policy: PayoutPolicy = PAYOUT_POLICY
    recent_keys: RecentKeys = field(default_factory=RecentKeys)
    limiter: Limiter | None = None
    attempts: Attempts = field(default_factory=_attempts_here)
    handles: Mapping[str, EntityHandle] = field(default_factory=dict)
    health_checks: Sequence[HealthCheck] = ()
    scrapers: Mapping[str, Callable[[], Awaitable[bytes]]] = field(default_factory=dict)

    def owner(self, kind: str) -> EntityHandle:
        """Who owns the entities of a kind. Raises Unavailable if it is not known here."""
        try:
            return self.handles[kind]
        except KeyError:
            raise Unavailable(f"no owner of {kind} is known here") from None

    @property
    def payments(self) -> Courier:
        """Who carries the calls of payments. Raises Unavailable if nobody does here."""
        if self.courier is None:
            raise Unavailable("no payments are taken here")
        return self.courier

    @property
    def purchases(self) -> PurchaseCourier:
        """Who carries the steps of purchases. Raises Unavailable if nobody does here."""
        return PurchaseCourier(self.handles, self.payments)

    @property
    def saved_methods(self) -> SavedMethods:
        """Who keeps users' cards. Raises Unavailable if nobody does here."""
        if self.card_keeper is None:
            raise Unavailable("no cards are saved here")
        return self.card_keeper

    @property
    def webhooks(self) -> WebhookInbox:
        """Who keeps webhooks. Raises Unavailable if nobody does here."""
        if self.inbox is None:
            raise Unavailable("no webhooks are taken here")
        return self.inbox

    def query_key(self) -> bytes:
        """The key of a query. It changes nothing, so its key only has to be new."""
        return derive_key("query", self.new_id())


async def get_services(request: Request) -> Services:
    """The services of the application that serves this request.

    It awaits nothing, but FastAPI would send a plain function to a thread, with every request.
    """
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(get_services)]
