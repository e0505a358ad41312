"""Who vouches for users, as the settings name them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import httpx

from deployments.settings import Settings
from integrations.breaker import CircuitBreaker
from integrations.oidc import IdentityProvider
from integrations.oidc_apple import ClientKey, apple
from integrations.oidc_client import Dialect, OidcClient
from integrations.oidc_google import google
from integrations.oidc_http import ProviderHttp
from messages.users_external import Provider


def callback_url(where: str, provider: Provider) -> str:
    """Where the provider sends the browser: registered there, to the letter. where: public URL."""
    return f"{where}/api/v1/oauth/{provider.value}/callback"


def open_identity_providers(
    settings: Settings, client: httpx.AsyncClient, clock: Callable[[], int]
) -> Mapping[Provider, IdentityProvider]:
    """The configured ones. Raises ValueError if Apple's key is none."""
    dialects: list[Dialect] = []
    if settings.google_client_id:
        dialects.append(
            google(
                settings.google_client_id,
                settings.google_client_secret,
                callback_url(settings.where, Provider.GOOGLE),
                settings.google_issuer,
            )
        )
    if settings.apple_client_id:
        s = settings
        dialects.append(
            apple(
                s.apple_client_id,
                ClientKey(s.apple_team_id, s.apple_key_id, s.apple_private_key),
                callback_url(settings.where, Provider.APPLE),
                s.apple_issuer,
                s.apple_app_id,
            )
        )
    return {
        dialect.provider: OidcClient(dialect, ProviderHttp(client, CircuitBreaker()), clock)
        for dialect in dialects
    }
