"""The local stand-in for Stripe (`simulators/payments/stripe.py`)."""

from __future__ import annotations

import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

from deployments.launcher.server import EmbeddedServer
from simulators.payments.stripe import SECRET_KEY, WEBHOOK_SECRET

ROOT = Path(__file__).resolve().parents[2]


class EmbeddedStripe(EmbeddedServer):
    """A Stripe account on loopback that forgets everything when it ends."""

    title = "Stripe's stand-in"
    program = "python"
    stop_signal = signal.SIGTERM
    as_ourselves = True

    def __init__(self, folder: Path, webhook_url: str) -> None:
        super().__init__(folder)
        self._webhook_url = webhook_url

    @property
    def url(self) -> str:
        """Where its interface answers."""
        return f"http://127.0.0.1:{self.port}"

    def settings(self) -> dict[str, str]:
        """The settings that lead to it."""
        return {
            "stripe_url": self.url,
            "stripe_secret_key": SECRET_KEY,
            "stripe_webhook_secret": WEBHOOK_SECRET,
        }

    @property
    def _home(self) -> Path:
        return self.folder

    def _prepare(self) -> None:
        """The server makes what it needs."""

    def _command(self) -> list[str]:
        start = "import sys; sys.path.insert(0, sys.argv.pop(1)); "
        start += "from simulators.payments.stripe import main; main()"
        return [sys.executable, "-c", start, str(ROOT), str(self.port), self._webhook_url]

    def _is_ready(self) -> bool:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        return False
