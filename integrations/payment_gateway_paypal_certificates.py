"""The certificates that PayPal signs webhooks with: fetched from its own host, checked, kept."""

from __future__ import annotations

import asyncio
import re
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import certifi
import httpx
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from integrations.paypal_client import LIVE_URL, PayPalAccount
from messages.errors import Unavailable

KEPT = 16
CHECK_AGAIN = timedelta(hours=12)
MAX_BYTES = 65_536
TIMEOUT_S = 5.0
AT_ONCE = 2
PATH = re.compile(r"/v1/notifications/certs/[A-Za-z0-9._-]{1,128}")
PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
SIGNER = "messageverificationcerts.paypal.com"
SANDBOX_SIGNER = "messageverificationcerts.sandbox.paypal.com"
LIVE = frozenset({"https://api.paypal.com", "https://api-m.paypal.com"})
SANDBOX = frozenset({"https://api.sandbox.paypal.com", "https://api-m.sandbox.paypal.com"})


class CertificateWrong(Exception):  # noqa: N818 - a finding
    """Not a certificate of PayPal's."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A key that was checked, good for a while."""

    key: RSAPublicKey
    since: datetime
    until: datetime


class Certificates:
    """Keys by the address of their certificate."""

    def __init__(self, account: PayPalAccount) -> None:
        self._origins, self._signer = _issuers(account.url or LIVE_URL)
        self._roots_pem = account.webhook_roots
        self._roots: Store | None = None
        self._http = httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False)
        self._known: OrderedDict[str, Kept] = OrderedDict()
        self._free = asyncio.Semaphore(AT_ONCE)  # whoever invents addresses waits in a queue

    async def key(self, url: str, now: datetime) -> RSAPublicKey:
        """The key. Raises CertificateWrong, or Unavailable if it cannot be fetched now."""
        if not self._is_theirs(url):
            raise CertificateWrong("not from there")
        if found := self._still_good(url, now):
            return found
        async with self._free:
            if found := self._still_good(url, now):
                return found
            kept = self._checked(await self._fetch(url), now)
            self._known[url] = kept
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
            return kept.key

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.aclose()

    def _is_theirs(self, url: str) -> bool:
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        plain = not (parts.query or parts.fragment)
        origin = f"{parts.scheme}://{parts.netloc}"
        return plain and origin in self._origins and PATH.fullmatch(parts.path) is not None

    def _still_good(self, url: str, now: datetime) -> RSAPublicKey | None:
        kept = self._known.get(url)
        if kept is None or not kept.since <= now < kept.until:
            return None
        self._known.move_to_end(url)
        return kept.key

    async def _fetch(self, url: str) -> bytes:
        pem = b""
        try:
            async with self._http.stream("GET", url) as answer:
                if answer.is_server_error:
                    raise Unavailable("PayPal's certificate cannot be fetched now")
                if answer.status_code != httpx.codes.OK:
                    raise CertificateWrong("not there")
                async for chunk in answer.aiter_bytes():
                    pem += chunk
                    if len(pem) > MAX_BYTES:
                        raise CertificateWrong("too large")
        except httpx.HTTPError:
            raise Unavailable("PayPal's certificate cannot be fetched now") from None
        return pem

    def _checked(self, pem: bytes, now: datetime) -> Kept:
        """The first certificate, if the others lead from it to a root (RFC 5280, 6.1)."""
        try:
            leaf, *between = x509.load_pem_x509_certificates(pem)
            policy = PolicyBuilder().store(self._trusted()).time(now)
            policy.build_server_verifier(x509.DNSName(self._signer)).verify(leaf, between)
            key = leaf.public_key()
        except (ValueError, VerificationError) as error:
            raise CertificateWrong(str(error)) from None
        if not isinstance(key, RSAPublicKey):
            raise CertificateWrong("not RSA")
        until = min(leaf.not_valid_after_utc, now + CHECK_AGAIN)
        return Kept(key, leaf.not_valid_before_utc, until)

    def _trusted(self) -> Store:
        if self._roots is None:
            self._roots = Store(list(_parsed(self._roots_pem or certifi.contents())))
        return self._roots


def _parsed(pem: str) -> Iterator[x509.Certificate]:
    """The certificates that are as RFC 5280 wants them; a few old roots of the web are not."""
    for block in PEM.findall(pem):
        with warnings.catch_warnings(), suppress(ValueError, CryptographyDeprecationWarning):
            warnings.simplefilter("error", CryptographyDeprecationWarning)
            yield x509.load_pem_x509_certificate(block.encode())


def _issuers(url: str) -> tuple[frozenset[str], str]:
    """Whose certificates an account takes, and to whom they are issued. Those of the sandbox are
    not taken for a live account, nor the other way round.
    """
    origin = url.rstrip("/")
    if origin in LIVE:
        return LIVE, SIGNER
    if origin in SANDBOX:
        return SANDBOX, SANDBOX_SIGNER
    return frozenset({origin}), SIGNER
