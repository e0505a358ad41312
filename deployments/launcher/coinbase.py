"""The local stand-in for Coinbase Business (`simulators/payments/coinbase.py`)."""

from __future__ import annotations

import base64
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from deployments.launcher.provider import EmbeddedProvider
from simulators.payments.coinbase import KEY_ID, WEBHOOK_SECRET


class EmbeddedCoinbase(EmbeddedProvider):
    """An account whose API key is made here: the server knows the public part only."""

    title = "Coinbase's stand-in"
    name = "coinbase"
    secret_setting = "coinbase_key_secret"  # noqa: S105 - a name

    def __init__(self, folder: Path, webhook_url: str) -> None:
        super().__init__(folder, webhook_url)
        self._private = Ed25519PrivateKey.generate()

    def settings(self) -> dict[str, str]:
        """The settings that lead to it."""
        pair = self._private.private_bytes_raw() + self._private.public_key().public_bytes_raw()
        return {
            "coinbase_url": self.url,
            "coinbase_key_id": KEY_ID,
            "coinbase_key_secret": base64.b64encode(pair).decode(),
            "coinbase_webhook_secret": WEBHOOK_SECRET,
        }

    def _arguments(self) -> list[str]:
        public = self._private.public_key()
        return [public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()]
