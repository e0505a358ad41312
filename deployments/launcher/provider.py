"""A local stand-in for a provider of payments (`simulators/payments/<name>.py`)."""

from __future__ import annotations

import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from deployments.launcher.server import EmbeddedServer

ROOT = Path(__file__).resolve().parents[2]


class EmbeddedProvider(EmbeddedServer):
    """An account on loopback that forgets everything when it ends.

    name: of the provider, its module, its folder and its webhooks.  secret_setting: the setting
    that an account of the real provider has, so that no stand-in is needed.
    """

    name: ClassVar[str]
    secret_setting: ClassVar[str]
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
        raise NotImplementedError

    @property
    def _home(self) -> Path:
        return self.folder

    def _prepare(self) -> None:
        """The server makes what it needs."""

    def _arguments(self) -> list[str]:
        """What the server is told besides its port and where webhooks go."""
        return []

    def _command(self) -> list[str]:
        start = "import sys; sys.path.insert(0, sys.argv.pop(1)); "
        start += f"from simulators.payments.{self.name} import main; main()"
        told = [str(ROOT), str(self.port), self._webhook_url, *self._arguments()]
        return [sys.executable, "-c", start, *told]

    def _is_ready(self) -> bool:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        return False
