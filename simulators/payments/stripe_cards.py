"""The cards of the stand-in for Stripe. A name tells which: `pm_COUNTRY_CARD_ANYTHING`.

Two names that differ only in ANYTHING are the same card typed in twice: they have one fingerprint.
Stripe's test names (`pm_card_…`) are cards of the US with a fingerprint for each.
"""

from __future__ import annotations

import hashlib

from simulators.payments.serving import Json


def payment_method(name: str) -> Json | None:
    """As `GET /v1/payment_methods/{id}` shows it; None: there is no such card."""
    parts = name.split("_")
    if parts[0] != "pm" or len(parts) < 3:
        return None
    country = "US" if parts[1] == "card" else parts[1]
    digest = hashlib.sha256("_".join(parts[1:3]).encode()).hexdigest()
    return {
        "id": name,
        "object": "payment_method",
        "type": "card",
        "card": {"brand": "visa", "country": country, "fingerprint": digest[:16], "last4": "4242"},
    }
