"""What a provider publishes of itself: OpenID Connect Discovery 1.0, and its keys (RFC 7517)."""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from domain.users_external import LOOPBACK
from integrations.oidc_http import ProviderHttp
from messages.errors import Unavailable
from messages.users_external import ProviderAnswerRefused

WELL_KNOWN = "/.well-known/openid-configuration"
KEEP_S = 3_600.0
# A token that names a key we do not know has us look, but not more often than this.
FLOOR_S = 30.0
PATIENCE_S = 6.0  # for all of it, the wait for who asked before included
MIN_RSA_BITS = 2_048
MAX_KEYS = 50


class Metadata(msgspec.Struct, frozen=True):
    """The parts of the document that we go by."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    code_challenge_methods_supported: tuple[str, ...] = ()
    authorization_response_iss_parameter_supported: bool = False


class Published:
    """A provider's metadata and keys, fetched when they are asked for and kept for an hour."""

    def __init__(
        self, issuer: str, http: ProviderHttp, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._issuer = issuer
        self._http = http
        self._now_s = now_s
        self._lock = asyncio.Lock()  # many ask, one fetches
        self._metadata: Metadata | None = None
        self._metadata_at_s = 0.0
        self._keys: dict[str, RSAKey] = {}
        self._keys_at_s = float("-inf")

    async def metadata(self) -> Metadata:
        """The metadata. Raises Unavailable."""
        async with self._turn():
            return await self._fresh_metadata()

    async def key(self, key_id: str) -> RSAKey:
        """The public key of that id. Raises ProviderAnswerRefused or Unavailable."""
        async with self._turn():
            age_s = self._now_s() - self._keys_at_s
            is_unknown = key_id not in self._keys and age_s >= FLOOR_S
            if is_unknown or age_s >= KEEP_S:
                metadata = await self._fresh_metadata()
                self._keys = read_keys(await self._http.get(metadata.jwks_uri))
                self._keys_at_s = self._now_s()
            if key_id not in self._keys:
                raise ProviderAnswerRefused("a key that the provider does not publish")
            return self._keys[key_id]

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(PATIENCE_S), self._lock:
                yield
        except TimeoutError as error:
            raise Unavailable("the provider does not answer") from error

    async def _fresh_metadata(self) -> Metadata:
        now_s = self._now_s()
        if self._metadata is None or now_s - self._metadata_at_s >= KEEP_S:
            document = await self._http.get(self._issuer.rstrip("/") + WELL_KNOWN)
            self._metadata = read_metadata(document, self._issuer)
            self._metadata_at_s = now_s
        return self._metadata


def read_metadata(document: dict[str, Any], issuer: str) -> Metadata:
    """The document of this issuer and no other. Raises Unavailable: we cannot go on with it."""
    try:
        found = msgspec.convert(document, Metadata)
    except msgspec.ValidationError as error:
        raise Unavailable(f"the provider's metadata: {error}") from error
    if found.issuer != issuer:
        raise Unavailable("the provider's metadata are of another issuer")
    for url in (found.authorization_endpoint, found.token_endpoint, found.jwks_uri):
        if not is_safe(url):
            raise Unavailable("the provider's metadata name an address without TLS")
    return found


def is_safe(url: str) -> bool:
    """Whether nobody between can read what is sent there: https, or this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK))


def read_keys(document: dict[str, Any]) -> dict[str, RSAKey]:
    """The RSA keys for signatures by their ids; what is of another kind, or weak, is left out."""
    keys: dict[str, RSAKey] = {}
    listed = document.get("keys")
    for key in listed[:MAX_KEYS] if isinstance(listed, list) else ():
        if (found := _read_key(key)) is not None:
            keys[key["kid"]] = found
    return keys


def _read_key(key: Any) -> RSAKey | None:
    if not isinstance(key, dict) or not isinstance(key.get("kid"), str):
        return None
    if key.get("kty") != "RSA" or key.get("use", "sig") != "sig" or key.get("alg") != "RS256":
        return None
    public: dict[str, str | list[str]] = {name: str(key.get(name)) for name in ("kty", "n", "e")}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # joserfc warns of weak keys; here they are left out
            found = RSAKey.import_key(public)
            bits = found.public_key.key_size
    except (JoseError, ValueError, TypeError):
        return None
    return found if bits >= MIN_RSA_BITS else None
