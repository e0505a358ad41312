"""Google as an OpenID provider (developers.google.com/identity/openid-connect)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from integrations.oidc import ResponseMode
from integrations.oidc_client import Dialect
from messages.users_external import Provider

ISSUER = "https://accounts.google.com"
OWN_DOMAINS = ("@gmail.com", "@googlemail.com")


def google(client_id: str, client_secret: str, redirect_uri: str, issuer: str = ISSUER) -> Dialect:
    """Google, with the client that is registered there."""
    return Dialect(
        provider=Provider.GOOGLE,
        issuer=issuer,
        client_id=client_id,
        redirect_uri=redirect_uri,
        scope="openid email",
        response_mode=ResponseMode.QUERY,
        needs_pkce=True,
        client_secret=lambda _: client_secret,
        email=email_of,
    )


def email_of(claims: Mapping[str, Any]) -> tuple[str | None, bool, bool]:
    """Google speaks for its own mailboxes and for those of a company that it hosts (`hd`).

    Any other address was verified once, and may be somebody else's by now.
    """
    address = claims.get("email")
    if not isinstance(address, str):
        return None, False, False
    is_verified = claims.get("email_verified") is True
    is_hosted = isinstance(claims.get("hd"), str) or address.lower().endswith(OWN_DOMAINS)
    return address, is_verified, is_verified and is_hosted
