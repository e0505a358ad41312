"""What of a provider's words is kept: the fields on a list; of all else, only what kind it was.

A list of what may stay, not of what must go: a field that a provider adds tomorrow is not kept
until somebody looked at it. A card's token stays as a keyed digest, so that two payments by one
card can be told to be so by whoever has the key, and by nobody else.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

Digest: TypeAlias = Callable[[str], str]

MAX_ITEMS = 20
MAX_DEPTH = 8
_KEPT_OF = {
    "Stripe": """
        amount amount_captured amount_received amount_refunded amount_to_capture
        available_on capture_method captured charge code created currency data
        decline_code destination dispute disputes error exchange_rate expand fee gte
        has_more id intent last_payment_error last4 latest_charge limit livemode lt
        metadata net next_action object payment_id payment_intent payout_id reason
        refund_id refunds reporting_category reversed starting_after status transfer_group
        type
    """,
    "PayPal": """
        authorization_id authorizations batch_header batch_status capture_id captures
        create_time currency_code custom_id debug_id details dispute_amount dispute_id
        dispute_life_cycle_stage dispute_outcome dispute_state event_type final_capture
        gross_amount intent invoice_id issue net_amount order_id outcome_code payments
        payout_batch_id payout_item_id paypal_fee paypal_reference_id paypal_reference_id_type
        purchase_units reference_id related_ids resource_type seller_receivable_breakdown
        sender_batch_header sender_batch_id sender_item_id status_details transaction_event_code
        transaction_id transaction_status update_time value
    """,
    "Coinbase": """
        checkout checkoutId checkouts completedAt confirmed_at correlationId created_at createdAt
        errorType expires_at expiresAt feeAmount local netAmount network pageSize pricing
        refundedAmount settlement startTime endTime timeline total totalAmount transactionHash
        updated_at updatedAt
    """,
    "grants of OAuth": """
        expires_in grant_type token_type
    """,
}
KEPT = frozenset(word for words in _KEPT_OF.values() for word in words.split())
DIGESTED = frozenset(
    ["payment_method", "payment_source", "source", "vault_id", "payment_token", "payer_id"]
)
# Ids, codes, numbers, moments. No spaces: whatever is prose may name somebody.
PLAIN = re.compile(r"[A-Za-z0-9_.:/+\-\[\]]{0,128}")
CARD = re.compile(r"(?:\d[ -]?){12,19}")
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SECRET = re.compile(r"(?:sk|rk|whsec)_|_secret_|Bearer|eyJ")


def redact(value: Any, digest: Digest) -> Any:
    """What is kept of a decoded JSON value."""
    return _kept("", value, digest, 0)


def redact_text(text: str) -> str:
    """A word of a provider's, such as a path, if it is plain; else what kind of thing it was."""
    if PLAIN.fullmatch(text) and not SECRET.search(text) and not _is_card(text):
        return text
    return "<string>"


@lru_cache(4_096)  # the names of fields are the same every time
def _name(text: str) -> str:
    return redact_text(text)


def _kept(name: str, value: Any, digest: Digest, depth: int) -> Any:
    if isinstance(value, dict):
        if depth >= MAX_DEPTH:
            return "<object>"
        return {
            _name(str(key)): _kept(str(key), one, digest, depth + 1) for key, one in value.items()
        }
    if isinstance(value, list):
        found = [_kept(name, one, digest, depth + 1) for one in value[:MAX_ITEMS]]
        return [*found, f"<{len(value) - MAX_ITEMS} more>"] if len(value) > MAX_ITEMS else found
    return _leaf(name, value, digest)


def _leaf(name: str, value: Any, digest: Digest) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if name in DIGESTED and isinstance(value, str):
        return f"<digest:{digest(value)}>" if value else ""
    if name not in KEPT:
        return "<string>" if isinstance(value, str) else "<number>"
    return redact_text(value) if isinstance(value, str) else value


def _is_card(text: str) -> bool:
    """Whether twelve to nineteen digits in a row have the check digit of a card (Luhn, 1960)."""
    for found in () if UUID.fullmatch(text) else CARD.finditer(text):
        digits = [int(one) for one in found.group() if one.isdigit()]
        doubled = [sum(divmod(2 * one, 10)) for one in digits[-2::-2]]
        if (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0:
            return True
    return False
