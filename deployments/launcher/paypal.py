"""The local stand-in for PayPal (`simulators/payments/paypal.py`)."""

from __future__ import annotations

from deployments.launcher.provider import EmbeddedProvider
from simulators.payments.paypal import CLIENT_ID, CLIENT_SECRET, WEBHOOK_ID
from simulators.payments.paypal_certificates import ROOT_FILE, make_identity, save


class EmbeddedPayPal(EmbeddedProvider):
    """A PayPal account on loopback, with a certificate of its own for webhooks."""

    title = "PayPal's stand-in"
    name = "paypal"
    secret_setting = "paypal_client_secret"  # noqa: S105 - a name

    def settings(self) -> dict[str, str]:
        """The settings that lead to it."""
        return {
            "paypal_url": self.url,
            "paypal_client_id": CLIENT_ID,
            "paypal_client_secret": CLIENT_SECRET,
            "paypal_webhook_id": WEBHOOK_ID,
            "paypal_webhook_roots": (self.folder / ROOT_FILE).read_text("ascii"),
        }

    def _prepare(self) -> None:
        save(make_identity(), self.folder)

    def _arguments(self) -> list[str]:
        return [str(self.folder)]
