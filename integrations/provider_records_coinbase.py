"""Coinbase's own books: its checkouts and their refunds.

Coinbase lists checkouts by when they were made and not by when money moved, so those of the time
before are read, too (`lookback_ms`). It does not say when a checkout was paid either: until it is
refunded that is when it last changed; after that, when it was made is the moment that stays.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import httpx

from integrations.coinbase_client import (
    CHECKOUTS,
    CoinbaseAccount,
    CoinbaseClient,
    Json,
    OpenHttp,
    moment_ms,
    timestamp,
)
from integrations.payment_gateway_coinbase_snapshots import (
    PAID,
    changed_ms,
    payment_id,
    taken_minor,
    usdc,
)
from messages.payments.gateways import CallDeclined, CallOutcomeUnknown, GatewayName
from messages.payments.records import EntryKind, ProviderEntry

PAGE_SIZE = 100
LOOKBACK_MS = 120 * 24 * 60 * 60 * 1_000


class CoinbaseRecords:
    """The port to Coinbase's books. ValueError if the account's secret is no key."""

    name = GatewayName.COINBASE

    def __init__(
        self,
        account: CoinbaseAccount,
        open_http: OpenHttp = httpx.AsyncClient,
        *,
        page_size: int = PAGE_SIZE,
        lookback_ms: int = LOOKBACK_MS,
    ) -> None:
        self._client = CoinbaseClient(account, open_http)
        self._page_size, self._lookback_ms = page_size, lookback_ms

    async def entries(self, since_ms: int, until_ms: int) -> AsyncIterator[ProviderEntry]:
        """All movements of [since_ms, until_ms), each once; read page by page.

        Raises CallNotSent, CallOutcomeUnknown.
        """
        seen: set[str] = set()  # a page may repeat what moved meanwhile
        async for checkout in self._checkouts(max(0, since_ms - self._lookback_ms), until_ms):
            try:
                found = [one for one in _entries(checkout) if since_ms <= one.at_ms < until_ms]
            except (ValueError, KeyError, TypeError, AttributeError):
                raise CallOutcomeUnknown(reason="answer-malformed") from None
            for entry in found:
                if entry.ref not in seen:
                    seen.add(entry.ref)
                    yield entry

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.close()

    async def _checkouts(self, since_ms: int, until_ms: int) -> AsyncIterator[Json]:
        asked = {
            "pageSize": self._page_size,
            "status": sorted(PAID),
            "startTime": timestamp(since_ms),
            "endTime": timestamp(until_ms),
        }
        token = ""
        while True:
            page = await self._get(CHECKOUTS, asked | ({"pageToken": token} if token else {}))
            for checkout in page.get("checkouts") or []:
                yield await self._whole(checkout)
            token = str(page.get("nextPageToken") or "")
            if not token:
                return

    async def _whole(self, checkout: Json) -> Json:
        """With its refunds, which a list may leave out."""
        if checkout.get("status") == "COMPLETED" or "refunds" in checkout:
            return checkout
        return await self._get(f"{CHECKOUTS}/{checkout['id']}")

    async def _get(self, path: str, params: Mapping[str, Any] | None = None) -> Json:
        try:
            return await self._client.get(path, params)
        except CallDeclined as error:  # nothing was read, whatever was wrong with the question
            raise CallOutcomeUnknown(reason=str(error.params.get("reason", ""))) from None


def _entries(checkout: Json) -> Iterator[ProviderEntry]:
    number, ours = str(checkout["id"]), payment_id(checkout)
    refunds = checkout.get("refunds") or []
    settled = checkout.get("settlement")
    yield ProviderEntry(
        ref=number,
        kind=EntryKind.CAPTURE,
        charge_ref=number,
        amount_minor=taken_minor(checkout),
        currency="USDC",
        at_ms=moment_ms(checkout["createdAt"]) if refunds else changed_ms(checkout),
        fee_minor=usdc(settled, "feeAmount") if settled else 0,
        our_id=ours,
    )
    for refund in refunds:
        if refund["status"] == "COMPLETED":
            yield ProviderEntry(
                ref=str(refund["id"]),
                kind=EntryKind.REFUND,
                charge_ref=number,
                amount_minor=-usdc(refund, "amount"),
                currency="USDC",
                at_ms=moment_ms(refund.get("completedAt") or refund["createdAt"]),
                our_id=ours,
            )
