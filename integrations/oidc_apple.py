"""Sign in with Apple (developer.apple.com/documentation/signinwithapplerestapi)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc import jwt
from joserfc.jwk import ECKey

from integrations.oidc import ResponseMode
from integrations.oidc_client import Dialect
from messages.users_external import Provider, ProviderAnswerRefused

ISSUER = "https://appleid.apple.com"
SECRET_LIFETIME_S = 300  # Apple allows six months; each request makes its own
RELAY = "@privaterelay.appleid.com"
OWN_DOMAINS = ("@icloud.com", "@me.com", "@mac.com", RELAY)


class ClientKey(msgspec.Struct, frozen=True):
    """The key that Apple gave out for a team. pem: the content of the .p8 file."""

    team_id: str
    key_id: str
    pem: str

    def __repr__(self) -> str:
        """Without the key."""
        return f"ClientKey({self.team_id}, {self.key_id})"


def apple(
    client_id: str, key: ClientKey, redirect_uri: str, issuer: str = ISSUER, app_id: str = ""
) -> Dialect:
    """Apple, with the services id that is registered there. Raises ValueError of a wrong key.

    app_id: the primary App ID that the services id is grouped with. Notices are registered with
    that one, and may be to it.
    """
    private = load_pem_private_key(key.pem.encode(), password=None)
    if not isinstance(private, EllipticCurvePrivateKey) or not isinstance(private.curve, SECP256R1):
        raise ValueError("Apple's keys are on P-256")  # noqa: TRY004 - the setting is wrong
    signing = ECKey.import_key(key.pem)

    def client_secret(now_s: int) -> str:
        claims: dict[str, Any] = {
            "iss": key.team_id,
            "sub": client_id,
            "aud": issuer,
            "iat": now_s,
            "exp": now_s + SECRET_LIFETIME_S,
        }
        header = {"alg": "ES256", "kid": key.key_id}
        return jwt.encode(header, claims, signing, algorithms=["ES256"])

    return Dialect(
        provider=Provider.APPLE,
        issuer=issuer,
        client_id=client_id,
        redirect_uri=redirect_uri,
        scope="openid email",
        response_mode=ResponseMode.FORM_POST,
        needs_pkce=False,
        client_secret=client_secret,
        email=email_of,
        notice=notice_of,
        notice_audiences=(app_id,) if app_id else (),
    )


def email_of(claims: Mapping[str, Any]) -> tuple[str | None, bool, bool]:
    """Only what is signed counts: the `user` that Apple posts beside it anybody may have written.

    Booleans come as such or as text. Apple speaks for its own mailboxes and its relay.
    """
    address = claims.get("email")
    if not isinstance(address, str):
        return None, False, False
    is_verified = _is_true(claims.get("email_verified"))
    is_own = _is_true(claims.get("is_private_email")) or address.lower().endswith(OWN_DOMAINS)
    return address, is_verified, is_verified and is_own


def _is_true(value: Any) -> bool:
    return value is True or value == "true"


def notice_of(claims: Mapping[str, Any]) -> tuple[str, str]:
    """The kind and the subject of a server-to-server notification: JSON text within the claims."""
    try:
        event = msgspec.json.decode(str(claims.get("events")), type=_Event)
    except msgspec.MsgspecError:
        raise ProviderAnswerRefused("a notice that cannot be read") from None
    return event.type, event.sub


class _Event(msgspec.Struct, frozen=True):
    type: str
    sub: str
