"""The local mail server (`simulators/mail.py`): takes every letter, shows it, sends none on."""

from __future__ import annotations

import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

from deployments.launcher.server import EmbeddedServer

SIMULATOR = Path(__file__).resolve().parents[2] / "simulators" / "mail.py"


class EmbeddedMail(EmbeddedServer):
    """One mail server on loopback. The folder keeps its last letters."""

    title = "mail server"
    program = "python"
    stop_signal = signal.SIGTERM
    as_ourselves = True  # it runs our own interpreter, which another user may not reach

    @property
    def url(self) -> str:
        """Where letters are handed in."""
        return f"smtp+plain://127.0.0.1:{self.port}"

    @property
    def letters_url(self) -> str:
        """Where they are shown."""
        return f"http://127.0.0.1:{self._letters_port}"

    @property
    def _home(self) -> Path:
        return self.folder

    def _prepare(self) -> None:
        """The server makes what it needs."""

    def _command(self) -> list[str]:
        self._letters_port = self.remembered_port("letters-port", other_than=self.port)
        ports = (str(self.port), str(self._letters_port))
        return [sys.executable, str(SIMULATOR), *ports, str(self.folder / "letters.jsonl")]

    def _is_ready(self) -> bool:
        for port in (self.port, self._letters_port):
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                continue
            return False
        return True
