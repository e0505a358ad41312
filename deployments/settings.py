"""Settings, read once from `VIBESTREAM_*` variables and an optional `.env`, by deployments only.

Secrets may also come from a store that `VIBESTREAM_SECRETS` names (`integrations/secret_stores.py`
tells which), or as files, as container platforms mount them: `VIBESTREAM_SECRETS_DIR` names a
folder with a file per setting, such as `vibestream_postgres_url`. Variables win, then the store.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from email.utils import parseaddr
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

from domain.client_address import parse_networks
from domain.policy import PlatformPhase
from domain.rate_limits import LIMITS, changed
from domain.users import EMAIL
from integrations import oidc_apple as apple
from integrations import oidc_google as google
from integrations import passwords
from integrations.coinbase_keys import read_secret
from integrations.mailer_smtp import check_url
from integrations.oidc_metadata import is_safe
from integrations.secret_stores import open_store

SECRETS_VARIABLE = "VIBESTREAM_SECRETS"
SECRETS_DIR_VARIABLE = "VIBESTREAM_SECRETS_DIR"
# Passwords of documentation and examples.
WELL_KNOWN = frozenset({"password", "postgres", "secret", "changeme", "vibestream", "redis"})


class Settings(BaseSettings):
    """What an operator may choose. Embedded servers are used for what has no URL."""

    # An error shows the setting's name and what is wrong, never its value.
    model_config = SettingsConfigDict(
        env_prefix="VIBESTREAM_", env_file=".env", extra="ignore", hide_input_in_errors=True
    )

    environment: Literal["development", "test", "production"] = "development"
    data_dir: Path = Path(".vibestream")
    # Keys of access tokens, the same on every node; empty: a folder of the data folder.
    keys_dir: Path | None = None
    # URLs hold passwords: kept out of repr, and so out of logs.
    postgres_url: str = Field("", repr=False)
    redis_url: str = Field("", repr=False)
    objects_url: str = Field("", repr=False)
    # Where mail goes: smtp://user:password@host:587 (STARTTLS), smtps://… or smtp+plain://… for a
    # server on this machine.
    smtp_url: str = Field("", repr=False)
    mail_from: str = "VibeStream <no-reply@vibestream.invalid>"
    # How people reach the platform; links in mail begin with it. Empty: the HTTP port here.
    public_url: str = ""
    # Argon2id: the more the slower, for guessers and for sign-ins. The floor is OWASP's.
    argon2_time_cost: int = Field(passwords.TIME_COST, ge=2, le=100)
    argon2_memory_kib: int = Field(passwords.MEMORY_KIB, ge=19_456, le=4_194_304)
    argon2_lanes: int = Field(passwords.LANES, ge=1, le=16)
    http_host: str = "127.0.0.1"
    http_port: int = Field(8000, ge=1, le=65_535)
    realtime_port: int = Field(8001, ge=1, le=65_535)
    # Where clients reach the realtime listeners, if a proxy stands before them: wss://live.example/ws
    realtime_url: str = ""
    # Which pages may call the gateway and open a WebSocket, beside those that the gateway serves;
    # "*" admits all, without credentials.
    allowed_origins: tuple[str, ...] = ()
    # Proxies (addresses, networks) whose X-Forwarded-For and X-Forwarded-Proto are believed.
    trusted_proxies: tuple[str, ...] = ()
    # Behind a proxy that ends TLS: plain requests are redirected (GET) or refused (the rest).
    https: Literal["off", "redirect"] = "off"
    hsts_subdomains: bool = True
    rate_limiting: Literal["on", "off"] = "on"
    # Other figures than those of domain/rate_limits.py: {"orders": "500/10"}, requests and seconds.
    rate_limits: dict[str, str] = {}
    dashboard_port: int = Field(8265, ge=1, le=65_535)
    gateway_replicas: int = Field(1, ge=1, le=64)
    realtime_replicas: int = Field(1, ge=1, le=64)
    hosts_per_group: int = Field(1, ge=1, le=256)
    bus_workers: int = Field(1, ge=1, le=16)
    supervisors: int = Field(1, ge=1, le=16)
    haproxy: bool = True
    # Sign-in with Google and Apple, if we are registered there; else `run` starts a stand-in.
    google_client_id: str = ""
    google_client_secret: str = Field("", repr=False)
    google_issuer: str = google.ISSUER
    apple_client_id: str = ""
    apple_team_id: str = ""
    # The primary App ID that the services id belongs to, if Apple sends notices to that.
    apple_app_id: str = ""
    apple_key_id: str = ""
    # The content of Apple's .p8 file.
    apple_private_key: str = Field("", repr=False)
    apple_issuer: str = apple.ISSUER
    # Pages and programs that a sign-in may return to, to the letter (any port on a loopback IP).
    sign_in_return_urls: tuple[str, ...] = ()
    # Payments by card, if we have an account at Stripe; else `run` starts a stand-in.
    stripe_secret_key: str = Field("", repr=False)
    stripe_webhook_secret: str = Field("", repr=False)
    stripe_url: str = ""
    # Payments and payouts by PayPal, likewise. The URL: of its sandbox or a stand-in, if not its
    # own; then the roots, in PEM, that a stand-in's certificates of webhooks descend from.
    paypal_client_id: str = ""
    paypal_client_secret: str = Field("", repr=False)
    paypal_webhook_id: str = ""
    paypal_url: str = ""
    paypal_webhook_roots: str = ""
    # The reference rates of the European Central Bank, its daily XML file; else `run` starts a
    # stand-in: https://www.ecb.europa.eu/stats/eurofxref/eurofxref-daily.xml
    exchange_rates_url: str = ""
    # Of the endpoint for what connected accounts tell, if that is another one.
    stripe_connect_webhook_secret: str = Field("", repr=False)
    # Whom to ask how risky a payment is, if anybody: a URL that answers a signed POST.
    risk_scorer_url: str = Field("", repr=False)
    risk_scorer_secret: str = Field("", repr=False)
    # Payments in USDC, if we have a business account at Coinbase; else `run` starts a stand-in.
    coinbase_key_id: str = ""
    # The API key's secret: PEM of an EC key, or base64 of an Ed25519 key.
    coinbase_key_secret: str = Field("", repr=False)
    coinbase_webhook_secret: str = Field("", repr=False)
    # Coinbase's sandbox or a stand-in: https://business.coinbase.com/sandbox
    coinbase_url: str = ""
    # Of an account at Coinbase Commerce of old, whose late webhooks are still taken.
    coinbase_commerce_webhook_secret: str = Field("", repr=False)
    # A running Ray cluster to deploy on, as `ray.init` takes it; empty: one of our own.
    ray_address: str = ""
    # A folder of verification keys for tests and benchmarks, whose proofs anybody can forge.
    test_proof_keys: str = ""
    # How far the platform has grown, which its fees follow: an operator's decision, so that no fee
    # changes by itself.
    platform_phase: PlatformPhase = PlatformPhase.LAUNCH
    auction_ms: int = Field(60_000, ge=100, le=3_600_000)
    beat_interval_ms: int = Field(10_000, ge=200, le=60_000)
    # Where secrets are kept, as a URL without any: vault://vault.internal:8200/secret/vibestream
    secrets: str = ""
    secrets_dir: str = ""
    secrets_refresh_s: float = Field(60.0, ge=0.1, le=86_400)
    # Whether `run` loads the demo. Production never does.
    demo: bool = True

    @property
    def folder(self) -> Path:
        """The data folder, absolute."""
        return self.data_dir.resolve()

    @property
    def keys_folder(self) -> Path:
        """The folder of the keys of access tokens, absolute."""
        return (self.keys_dir or self.data_dir / "keys").resolve()

    @property
    def where(self) -> str:
        """The public URL, without a slash at its end."""
        return self.public_url.rstrip("/") or f"http://{self.http_host}:{self.http_port}"

    @model_validator(mode="after")
    def _mail_can_be_sent(self) -> Self:
        if self.smtp_url:
            try:
                check_url(self.smtp_url)
            except ValueError as error:
                raise ValueError(f"VIBESTREAM_SMTP_URL: {error}") from None
        if not EMAIL.fullmatch(parseaddr(self.mail_from)[1]):
            raise ValueError("VIBESTREAM_MAIL_FROM: no address: Name <name@example.org>")
        return self

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        parse_networks(texts)
        return texts

    @field_validator("rate_limits")
    @classmethod
    def _limits(cls, figures: dict[str, str]) -> dict[str, str]:
        changed(LIMITS, figures)
        return figures

    @model_validator(mode="after")
    def _sign_in_is_whole(self) -> Self:
        whole = {
            "google": ("google_client_id", "google_client_secret"),
            "apple": ("apple_client_id", "apple_team_id", "apple_key_id", "apple_private_key"),
        }
        for provider, names in whole.items():
            missing = [f"VIBESTREAM_{name.upper()}" for name in names if not getattr(self, name)]
            if 0 < len(missing) < len(names):
                raise ValueError(f"sign-in with {provider.title()} needs {', '.join(missing)}")
            issuer = getattr(self, f"{provider}_issuer")
            if not is_safe(issuer):
                raise ValueError(f"VIBESTREAM_{provider.upper()}_ISSUER must be https")
            if self.environment == "production" and not issuer.startswith("https://"):
                raise ValueError(f"production refuses VIBESTREAM_{provider.upper()}_ISSUER")
        return self

    @model_validator(mode="after")
    def _rates_are_safe(self) -> Self:
        if self.exchange_rates_url and not is_safe(self.exchange_rates_url):
            raise ValueError("VIBESTREAM_EXCHANGE_RATES_URL must be https")
        return self

    @model_validator(mode="after")
    def _scorer_is_whole(self) -> Self:
        if self.risk_scorer_url:
            if not is_safe(self.risk_scorer_url):
                raise ValueError("VIBESTREAM_RISK_SCORER_URL must be https")
            if len(self.risk_scorer_secret) < 16:
                raise ValueError("VIBESTREAM_RISK_SCORER_SECRET needs 16 characters or more")
        return self

    @model_validator(mode="after")
    def _paypal_is_whole(self) -> Self:
        names = ("paypal_client_id", "paypal_client_secret", "paypal_webhook_id")
        missing = [f"VIBESTREAM_{name.upper()}" for name in names if not getattr(self, name)]
        if 0 < len(missing) < len(names):
            raise ValueError(f"payments through PayPal need {', '.join(missing)}")
        if self.paypal_url and not is_safe(self.paypal_url):
            raise ValueError("VIBESTREAM_PAYPAL_URL must be https")
        if self.environment == "production":
            if self.paypal_url.startswith("http:"):
                raise ValueError("production refuses VIBESTREAM_PAYPAL_URL")
            if self.paypal_webhook_roots:
                raise ValueError("production refuses VIBESTREAM_PAYPAL_WEBHOOK_ROOTS")
        return self

    @model_validator(mode="after")
    def _coinbase_is_whole(self) -> Self:
        names = ("coinbase_key_id", "coinbase_key_secret", "coinbase_webhook_secret")
        missing = [f"VIBESTREAM_{name.upper()}" for name in names if not getattr(self, name)]
        if 0 < len(missing) < len(names):
            raise ValueError(f"payments through Coinbase need {', '.join(missing)}")
        if self.coinbase_key_secret:
            try:
                read_secret(self.coinbase_key_secret)
            except ValueError as error:
                raise ValueError(f"VIBESTREAM_COINBASE_KEY_SECRET: {error}") from None
        if self.coinbase_url and not is_safe(self.coinbase_url):
            raise ValueError("VIBESTREAM_COINBASE_URL must be https")
        if self.environment == "production" and self.coinbase_url.startswith("http:"):
            raise ValueError("production refuses VIBESTREAM_COINBASE_URL")
        return self

    @model_validator(mode="after")
    def _production_has_its_own_servers(self) -> Self:
        if self.environment == "production":
            for name in ("postgres_url", "redis_url"):
                _refuse_weak(name, getattr(self, name))
            if self.test_proof_keys:
                raise ValueError("production refuses VIBESTREAM_TEST_PROOF_KEYS")
            _refuse_unsafe_mail(self.smtp_url, self.mail_from, self.public_url)
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, variables, `.env`, then the folder of secrets if one is named."""
        sources: tuple[PydanticBaseSettingsSource, ...]
        sources = (init_settings, env_settings, dotenv_settings)
        if store := os.environ.get(SECRETS_VARIABLE):
            sources = (*sources, StoreSource(settings_cls, store))
        folder = os.environ.get(SECRETS_DIR_VARIABLE)
        if not folder:
            return sources
        return (*sources, SecretsSettingsSource(settings_cls, secrets_dir=folder))


class StoreSource(PydanticBaseSettingsSource):
    """Settings from a secret store. Raises SecretStoreError where it cannot be read."""

    def __init__(self, settings_cls: type[BaseSettings], url: str) -> None:
        super().__init__(settings_cls)
        self._values = open_store(url).read()

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The store's value of a field, if it has one."""
        return self._values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """All fields that the store has."""
        fields = self.settings_cls.model_fields
        return {name: value for name, value in self._values.items() if name in fields}


def check_again(settings: Settings, changes: Mapping[str, str]) -> None:
    """Ask the rules of whole settings about changed ones. Raises ValueError."""
    changed_settings = settings.model_copy(update=dict(changes))
    for rule in Settings.__pydantic_decorators__.model_validators:
        getattr(changed_settings, rule)()


def _refuse_weak(name: str, url: str) -> None:
    variable = f"VIBESTREAM_{name.upper()}"
    if not url:
        raise ValueError(f"production needs {variable}: embedded servers are for one machine")
    password = urlsplit(url).password or ""
    if not password or password.lower() in WELL_KNOWN:
        raise ValueError(f"production refuses the password in {variable}: absent or well known")


def _refuse_unsafe_mail(smtp_url: str, mail_from: str, public_url: str) -> None:
    if not smtp_url:
        raise ValueError("production needs VIBESTREAM_SMTP_URL: accounts live by mail")
    if urlsplit(smtp_url).scheme == "smtp+plain":
        raise ValueError("production refuses VIBESTREAM_SMTP_URL without TLS: tokens go by mail")
    if parseaddr(mail_from)[1].endswith(".invalid"):
        raise ValueError("production needs VIBESTREAM_MAIL_FROM: whom letters come from")
    if not public_url.startswith("https://"):
        raise ValueError("production needs VIBESTREAM_PUBLIC_URL with https: letters link to it")
