"""The local stand-in for Stripe (`simulators/payments/stripe.py`)."""

from __future__ import annotations

from deployments.launcher.provider import EmbeddedProvider
from simulators.payments.stripe import SECRET_KEY, WEBHOOK_SECRET


class EmbeddedStripe(EmbeddedProvider):
    """A Stripe account on loopback."""

    title = "Stripe's stand-in"
    name = "stripe"
    secret_setting = "stripe_secret_key"  # noqa: S105 - a name

    def settings(self) -> dict[str, str]:
        """The settings that lead to it."""
        return {
            "stripe_url": self.url,
            "stripe_secret_key": SECRET_KEY,
            "stripe_webhook_secret": WEBHOOK_SECRET,
        }
