"""A mail server for one machine: takes every letter over SMTP, keeps the last ones, shows them.

    python simulators/mail.py SMTP_PORT HTTP_PORT FILE

FILE keeps them over a restart, a line of JSON each. `GET /messages?to=ADDRESS&wait=SECONDS` gives
letters as JSON, oldest first, after waiting for the first if there is none; `GET /` gives the last
ones as text. Loopback only. Nothing leaves it.
"""

from __future__ import annotations

import email
import email.policy
import json
import sys
import threading
import time
from collections import deque
from email.message import EmailMessage
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

HOST = "127.0.0.1"
KEPT = 5_000
MAX_WAIT_SECONDS = 30.0
SHOWN = 20
MAX_BYTES = 1_000_000


class Mailbox:
    """The last letters, in memory and in a file if one is given. Threads may share it."""

    def __init__(self, file: Path | None = None, kept: int = KEPT) -> None:
        self._letters: deque[dict[str, Any]] = deque(maxlen=kept)
        self._changed = threading.Condition()
        self._file = file
        self._in_file = 0
        if file is not None:
            file.touch(mode=0o600)
            lines = file.read_text("utf-8").splitlines()
            self._letters.extend(letter for line in lines if (letter := _letter(line)))
            self._write_anew()
        self._taken = self._letters[-1]["number"] if self._letters else 0

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Keep a letter (aiosmtpd calls it)."""
        self.put(envelope.content or b"", [str(to) for to in envelope.rcpt_tos])
        return "250 OK"

    def put(self, content: bytes | str, recipients: list[str]) -> None:
        """Keep a letter."""
        raw = content if isinstance(content, bytes) else content.encode()
        message = email.message_from_bytes(raw, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        body = message.get_body(("plain",))
        with self._changed:
            self._taken += 1
            letter = {
                "number": self._taken,
                "message_id": str(message["Message-ID"]),
                "from": str(message["From"]),
                "to": recipients,
                "subject": str(message["Subject"]),
                "text": _text(body),
                "received_at_ms": time.time_ns() // 1_000_000,
            }
            self._letters.append(letter)
            self._write(letter)
            self._changed.notify_all()

    def _write(self, letter: dict[str, Any]) -> None:
        if self._file is None:
            return
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(letter) + "\n")
        self._in_file += 1
        if self._in_file > 2 * len(self._letters):
            self._write_anew()

    def _write_anew(self) -> None:
        assert self._file is not None
        lines = "".join(json.dumps(letter) + "\n" for letter in self._letters)
        self._file.write_text(lines, "utf-8")
        self._in_file = len(self._letters)

    def letters(self, to: str = "", after: int = 0, wait_s: float = 0.0) -> list[dict[str, Any]]:
        """Letters to an address (to anybody if empty) with a number above `after`."""

        def found() -> list[dict[str, Any]]:
            return [
                letter
                for letter in self._letters
                if letter["number"] > after
                and (not to or to.lower() in (name.lower() for name in letter["to"]))
            ]

        with self._changed:
            self._changed.wait_for(found, min(wait_s, MAX_WAIT_SECONDS))
            return found()


class MailServer:
    """SMTP and HTTP on loopback around one Mailbox."""

    def __init__(self, smtp_port: int, http_port: int, file: Path | None = None) -> None:
        self.mailbox = Mailbox(file)
        self.smtp_port = smtp_port
        self._smtp = Controller(
            self.mailbox, hostname=HOST, port=smtp_port, data_size_limit=MAX_BYTES
        )
        handler = type("Handler", (_Handler,), {"mailbox": self.mailbox})
        self._http = ThreadingHTTPServer((HOST, http_port), handler)
        self._http.daemon_threads = True

    def start(self) -> None:
        """Answer from now on, in threads of its own."""
        self._smtp.start()
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Stop answering."""
        self._smtp.stop()
        self._http.shutdown()
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    mailbox: Mailbox

    def do_GET(self) -> None:
        """Answer with letters. The Host is checked: a page elsewhere must not read them."""
        host = self.headers.get("Host", "").rpartition(":")[0]
        if host not in {HOST, "localhost"}:
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        url = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        try:
            to, after = asked.get("to", ""), int(asked.get("after", "0"))
            wait_s = float(asked.get("wait", "0"))
        except ValueError:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        if url.path == "/messages":
            self._answer("application/json", json.dumps(self.mailbox.letters(to, after, wait_s)))
        elif url.path == "/":
            last = self.mailbox.letters(to, after)[-SHOWN:][::-1]
            self._answer("text/plain", "\n".join(map(_shown, last)) or "No mail yet.\n")
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _answer(self, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Say nothing: addresses do not belong in a log."""


def _letter(line: str) -> dict[str, Any] | None:
    """A line of the file; None for one that a kill cut short."""
    try:
        return dict(json.loads(line))
    except ValueError:
        return None


def _text(body: Any) -> str:
    return str(body.get_content()).replace("\r\n", "\n") if body is not None else ""


def _shown(letter: dict[str, Any]) -> str:
    head = f"To: {', '.join(letter['to'])}\nSubject: {letter['subject']}\n"
    return f"{'=' * 78}\n{head}\n{letter['text']}"


def main() -> None:
    """Serve until it is ended."""
    server = MailServer(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
    server.start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
