"""The local stand-in for Google's and Apple's sign-in (`simulators/oidc`)."""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import socket
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from deployments.launcher.server import EmbeddedServer, write_whole

SIMULATOR = Path(__file__).resolve().parents[2] / "simulators" / "oidc"
CLIENT_ID = "vibestream.local"
TEAM_ID, KEY_ID = "LOCALTEAM0", "LOCALKEY00"


def why_missing() -> str:
    """What keeps this machine from standing in for the providers; empty if nothing does."""
    if shutil.which("node") is None:
        return "node is not installed"
    if not (SIMULATOR / "node_modules").is_dir():
        return "simulators/oidc has no packages yet: npm ci --prefix simulators/oidc"
    return ""


class EmbeddedIdentity(EmbeddedServer):
    """Both providers on one loopback port; sessions live as long as it does, our keys longer.

    redirect_uris: by provider.  control: whether tests may rotate its keys and have notices signed.
    """

    title = "sign-in stand-in"
    program = "node"
    stop_signal = signal.SIGTERM
    as_ourselves = True  # its packages lie in our own folders, which another user may not reach

    def __init__(self, folder: Path, redirect_uris: dict[str, str], control: bool = False) -> None:
        super().__init__(folder)
        self._redirect_uris = redirect_uris
        self._control = control

    @property
    def url(self) -> str:
        """What the issuers begin with."""
        return f"http://127.0.0.1:{self.port}"

    def settings(self) -> dict[str, str]:
        """Our registration at both, by the names of the settings."""
        return {
            "google_issuer": f"{self.url}/google",
            "google_client_id": CLIENT_ID,
            "google_client_secret": (self.folder / "google.secret").read_text("ascii"),
            "apple_issuer": f"{self.url}/apple",
            "apple_client_id": CLIENT_ID,
            "apple_team_id": TEAM_ID,
            "apple_key_id": KEY_ID,
            "apple_private_key": (self.folder / "apple.p8").read_text("ascii"),
        }

    @property
    def _home(self) -> Path:
        return self.folder

    def _prepare(self) -> None:
        secret, key = self.folder / "google.secret", self.folder / "apple.p8"
        if not secret.exists():
            write_whole(secret, secrets.token_urlsafe(32))
        if not key.exists():
            made = ec.generate_private_key(ec.SECP256R1())
            pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            write_whole(key, pem.decode("ascii"))
            public = made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            write_whole(self.folder / "apple.pub", public.decode("ascii"))

    def _command(self) -> list[str]:
        file = self.folder / "configuration.json"
        configuration = {
            "port": self.port,
            "control": self._control,
            "google": {
                "client_id": CLIENT_ID,
                "client_secret": (self.folder / "google.secret").read_text("ascii"),
                "redirect_uris": [self._redirect_uris["google"]],
            },
            "apple": {
                "client_id": CLIENT_ID,
                "team_id": TEAM_ID,
                "key_id": KEY_ID,
                "public_key": (self.folder / "apple.pub").read_text("ascii"),
                "redirect_uris": [self._redirect_uris["apple"]],
            },
        }
        write_whole(file, json.dumps(configuration))
        node = shutil.which("node")
        assert node is not None, "asked before (why_missing)"
        return [node, str(SIMULATOR / "src" / "main.mjs"), str(file)]

    def _is_ready(self) -> bool:
        request = f"GET /apple/jwks HTTP/1.0\r\nHost: 127.0.0.1:{self.port}\r\n\r\n"
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(request.encode("ascii"))
                with connection.makefile("rb") as answer:
                    return b" 200 " in answer.readline()
        except OSError:
            return False
