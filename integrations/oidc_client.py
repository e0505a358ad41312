"""The authorization code flow as a client (OpenID Connect Core 1.0, RFC 9700)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import structlog

from domain.users_external import ProvenIdentity
from integrations import oidc_tokens
from integrations.oidc import Challenge, Notice, ResponseMode
from integrations.oidc_http import ProviderHttp
from integrations.oidc_metadata import Metadata, Published
from integrations.oidc_tokens import Expected
from messages.errors import Unavailable
from messages.users_external import Provider, ProviderAnswerRefused

S256 = "S256"
NOTICE_MAX_AGE_S = 24 * 3_600  # a provider sends one again until it is taken
# Errors of the token endpoint that speak of the code that the browser brought, not of us.
OF_THE_CODE = frozenset({"invalid_grant", "invalid_request"})

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Dialect:
    """What the providers do differently.

    client_secret: made anew for each request, from epoch seconds.  needs_pkce: refuse a provider
    that does not promise PKCE; otherwise it is used where it is promised (RFC 9700, 2.1.1; the
    nonce protects the code in both).  email: of claims: the address, whether it is verified,
    whether the provider has authority over it.  notice: of a notice's claims: kind and subject.
    notice_audiences: whom a notice may be to beside the client.
    """

    provider: Provider
    issuer: str
    client_id: str
    redirect_uri: str
    scope: str
    response_mode: ResponseMode
    needs_pkce: bool
    client_secret: Callable[[int], str] = field(repr=False)
    email: Callable[[Mapping[str, Any]], tuple[str | None, bool, bool]]
    notice: Callable[[Mapping[str, Any]], tuple[str, str]] | None = None
    notice_audiences: tuple[str, ...] = ()


class OidcClient:
    """An `IdentityProvider`. clock: epoch milliseconds."""

    def __init__(self, dialect: Dialect, http: ProviderHttp, clock: Callable[[], int]) -> None:
        self._dialect = dialect
        self._http = http
        self._clock = clock
        self._published = Published(dialect.issuer, http)

    @property
    def provider(self) -> Provider:
        """Which provider."""
        return self._dialect.provider

    @property
    def response_mode(self) -> ResponseMode:
        """How it answers."""
        return self._dialect.response_mode

    async def authorization_url(self, challenge: Challenge) -> str:
        """Where to send the browser. Raises Unavailable."""
        d, metadata = self._dialect, await self._published.metadata()
        parameters = {
            "client_id": d.client_id,
            "redirect_uri": d.redirect_uri,
            "response_type": "code",
            "scope": d.scope,
            "state": challenge.state,
            "nonce": challenge.nonce,
        }
        if d.response_mode is not ResponseMode.QUERY:  # the default of the response type
            parameters["response_mode"] = d.response_mode.value
        if self._uses_pkce(metadata):
            parameters["code_challenge"] = code_challenge(challenge.verifier)
            parameters["code_challenge_method"] = S256
        joint = "&" if "?" in metadata.authorization_endpoint else "?"
        return f"{metadata.authorization_endpoint}{joint}{urlencode(parameters)}"

    async def identify(
        self, challenge: Challenge, code: str, answer: Mapping[str, str]
    ) -> ProvenIdentity:
        """Whom the provider vouches for. Raises ProviderAnswerRefused or Unavailable."""
        metadata = await self._published.metadata()
        _check_issuer(metadata, answer.get("iss"))
        tokens = await self._exchange(metadata, code, challenge.verifier)
        id_token, access_token = tokens.get("id_token"), tokens.get("access_token")
        if not isinstance(id_token, str):
            raise ProviderAnswerRefused("no ID token")
        key = await self._published.key(oidc_tokens.key_id_of(id_token))
        claims = oidc_tokens.verified_claims(id_token, key)
        expected = Expected(
            issuer=self._dialect.issuer,
            client_id=self._dialect.client_id,
            nonce=challenge.nonce,
            access_token=access_token if isinstance(access_token, str) else None,
            now_s=self._clock() // 1_000,
        )
        subject = oidc_tokens.check_id_token(claims, expected)
        return ProvenIdentity(self.provider, subject, *self._dialect.email(claims))

    async def read_notice(self, token: str) -> Notice:
        """A signed notice. Raises ProviderAnswerRefused or Unavailable."""
        d = self._dialect
        if d.notice is None:
            raise ProviderAnswerRefused("this provider sends no notices")
        key = await self._published.key(oidc_tokens.key_id_of(token))
        claims = oidc_tokens.verified_claims(token, key)
        audiences, now_s = (d.client_id, *d.notice_audiences), self._clock() // 1_000
        notice_id = oidc_tokens.check_notice(claims, d.issuer, audiences, now_s, NOTICE_MAX_AGE_S)
        kind, subject = d.notice(claims)
        return Notice(notice_id, kind, subject)

    async def _exchange(self, metadata: Metadata, code: str, verifier: str) -> dict[str, Any]:
        d = self._dialect
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": d.redirect_uri,
            "client_id": d.client_id,
            "client_secret": d.client_secret(self._clock() // 1_000),
        }
        if self._uses_pkce(metadata):
            form["code_verifier"] = verifier
        answer = await self._http.post(metadata.token_endpoint, form)
        if answer.status == HTTPStatus.OK:
            return answer.content
        error = str(answer.content.get("error"))[:80]
        if error in OF_THE_CODE:
            raise ProviderAnswerRefused("the provider does not know this code")
        log.error("a provider refuses us", provider=self.provider.value, error=error)
        raise Unavailable("the provider refuses us", retry_after_ms=60_000)

    def _uses_pkce(self, metadata: Metadata) -> bool:
        promised = S256 in metadata.code_challenge_methods_supported
        if self._dialect.needs_pkce and not promised:
            raise Unavailable("the provider no longer promises PKCE")
        return promised


def code_challenge(verifier: str) -> str:
    """S256 of RFC 7636."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _check_issuer(metadata: Metadata, given: str | None) -> None:
    """RFC 9207: an answer of another provider must not be mixed up with this one's."""
    is_missing = given is None and metadata.authorization_response_iss_parameter_supported
    if is_missing or (given is not None and given != metadata.issuer):
        raise ProviderAnswerRefused("another issuer's answer")
