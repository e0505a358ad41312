"""Mail over SMTP from the queue in PostgreSQL: servers that dawdle, refuse, die; dead senders."""

from __future__ import annotations

import asyncio
import ssl
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from prometheus_client import CollectorRegistry

from bus.mail import LEASE_MS, MailSender
from deployments.launcher.mail import EmbeddedMail
from deployments.launcher.server import free_port
from integrations.mail_templates import write
from integrations.mailer_smtp import SmtpMailer
from messages.mail import Delivery, Letter, Outcome, Template
from simulators.mail import Mailbox, MailServer
from storage import mail as storage
from storage.bus import BusStore
from storage.database import Pool
from storage.mail import MailQueue, QueuedMail, queue

NOW_MS = 1_790_000_000_000
FROM = "VibeStream <no-reply@vibestream.example>"
LETTER = Letter("5f0c", "mira@example.org", "¡Hola!", "Una línea con eñe.\n" + "x" * 200 + "\n")


def _mailer(url: str, tls: ssl.SSLContext | None = None) -> SmtpMailer:
    return SmtpMailer(url, FROM, lambda: NOW_MS, tls)


def _render(mail: QueuedMail) -> Letter:
    values = {"public_url": "https://v.example", **mail.params}
    return write(mail.mail_id, mail.to, mail.template, mail.locale, values)


class _Refusing(Mailbox):
    """Answers RCPT and DATA as it is told to."""

    def __init__(self, rcpt: str = "250 OK", data: str = "250 OK") -> None:
        super().__init__()
        self.rcpt, self.data = rcpt, data

    async def handle_RCPT(self, _s: Any, _t: Any, envelope: Any, to: str, _o: Any) -> str:  # noqa: N802
        if self.rcpt.startswith("250") or "mira" not in to:
            envelope.rcpt_tos.append(to)
            return "250 OK"
        return self.rcpt

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        return (
            await super().handle_DATA(server, session, envelope)
            if self.data[0] == "2"
            else self.data
        )


@pytest.fixture
def server() -> Iterator[MailServer]:
    made = MailServer(free_port(), 0)
    made.start()
    yield made
    made.stop()


def _url(server: MailServer) -> str:
    return f"smtp+plain://127.0.0.1:{server.smtp_port}"


@pytest.fixture
def send(pool: Pool, store: BusStore) -> Callable[..., MailSender]:
    def make(mailer: Any, now_ms: int = NOW_MS) -> MailSender:
        registry = CollectorRegistry()
        return MailSender(MailQueue(pool), mailer, _render, store, lambda: now_ms, registry)

    return make


async def _queue(pool: Pool, to: str = "mira@example.org", **changes: Any) -> None:
    letter: dict[str, Any] = {
        "to": to,
        "template": Template.VERIFICATION,
        "locale": "es",
        "params": {"username": "mira", "token": "s3cret-token", "hours": 24},
        "at_ms": NOW_MS,
    }
    async with pool.acquire() as connection, connection.transaction():
        await queue(connection, **{**letter, **changes})


async def _state(pool: Pool) -> list[tuple[Any, ...]]:
    rows = await pool.fetch("select state, attempts, params from mail.outgoing order by recipient")
    return [tuple(row) for row in rows]


async def _until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await true():  # noqa: ASYNC110 - what is awaited happens in the database
            await asyncio.sleep(0.01)


async def test_every_statement_compiles(pool: Pool) -> None:
    statements = [
        value for name, value in vars(storage).items()
        if name[0] != "_" and name.isupper() and isinstance(value, str) and " " in value
    ]  # fmt: skip
    assert len(statements) > 8
    async with pool.acquire() as connection:
        for statement in statements:
            await connection.prepare(statement)


async def test_a_letter_arrives_whole_in_its_readers_language(
    pool: Pool, server: MailServer, send: Callable[..., MailSender]
) -> None:
    await _queue(pool)
    assert await send(_mailer(_url(server))).send_some() == 1
    [letter] = server.mailbox.letters("MIRA@example.org")
    assert letter["subject"] == "Confirma tu dirección en VibeStream"
    assert "https://v.example/account/verification#s3cret-token\n" in letter["text"]
    assert letter["from"] == FROM
    assert await _state(pool) == [("sent", 1, "{}")], "the token is erased once it is sent"


async def test_what_is_rolled_back_is_not_sent(pool: Pool, send: Callable[..., MailSender]) -> None:
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await queue(
            connection, to="a@example.org", template=Template.ADDRESS_TAKEN, locale="en",
            params={}, at_ms=NOW_MS,
        )  # fmt: skip
        await transaction.rollback()
    assert await send(_mailer("smtp+plain://127.0.0.1:1")).send_some() == 0


async def test_a_running_sender_is_woken_by_the_commit(
    pool: Pool, server: MailServer, send: Callable[..., MailSender]
) -> None:
    task = asyncio.create_task(send(_mailer(_url(server))).run())
    try:
        for n in range(5):
            await _queue(pool, f"user{n}@example.org")
        await _until(lambda: _all(pool, "sent"))
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert len(server.mailbox.letters()) == 5


async def _all(pool: Pool, state: str) -> bool:
    return {row[0] for row in await _state(pool)} == {state}


async def test_senders_share_the_queue_and_send_each_letter_once(
    pool: Pool, server: MailServer, send: Callable[..., MailSender]
) -> None:
    for n in range(40):
        await _queue(pool, f"user{n}@example.org")
    tasks = [asyncio.create_task(send(_mailer(_url(server))).run()) for _ in range(4)]
    await _until(lambda: _all(pool, "sent"))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    ids = [letter["message_id"] for letter in server.mailbox.letters()]
    assert len(ids) == len(set(ids)) == 40


@pytest.mark.parametrize(
    ("rcpt", "data", "state"),
    [
        ("550 no such user", "250 OK", "given_up"),
        ("450 try again", "250 OK", "waiting"),
        ("250 OK", "554 looks like spam", "given_up"),
        ("250 OK", "451 later", "waiting"),
    ],
)
async def test_a_refusal_is_for_ever_or_for_later(
    pool: Pool, send: Callable[..., MailSender], rcpt: str, data: str, state: str
) -> None:
    port = free_port()
    refusing = Controller(_Refusing(rcpt, data), hostname="127.0.0.1", port=port)
    refusing.start()
    try:
        await _queue(pool)
        await send(_mailer(f"smtp+plain://127.0.0.1:{port}")).send_some()
        [found] = await _state(pool)
        assert found[:2] == (state, 1)
        assert (found[2] == "{}") == (state == "given_up")
        error = await pool.fetchval("select last_error from mail.outgoing")
        assert error.split()[0] in {rcpt.split(maxsplit=1)[0], data.split(maxsplit=1)[0]}
    finally:
        refusing.stop()


async def test_a_refused_letter_does_not_stop_the_next(
    pool: Pool, send: Callable[..., MailSender]
) -> None:
    port = free_port()
    box = _Refusing(rcpt="550 no such user")
    refusing = Controller(box, hostname="127.0.0.1", port=port)
    refusing.start()
    try:
        await _queue(pool, "mira@example.org")
        await _queue(pool, "nils@example.org")
        await send(_mailer(f"smtp+plain://127.0.0.1:{port}")).send_some()
    finally:
        refusing.stop()
    assert [row[0] for row in await _state(pool)] == ["given_up", "sent"]
    assert len(box.letters()) == 1


async def test_a_dying_server_loses_nothing(
    pool: Pool, server: MailServer, send: Callable[..., MailSender]
) -> None:
    """It is away, it comes, it goes after two letters, it comes back."""
    await _queue(pool, "user0@example.org")
    away = f"smtp+plain://127.0.0.1:{free_port()}"
    assert await send(_mailer(away)).send_some() == 1
    assert await _state(pool) == [
        ("waiting", 1, '{"hours": 24, "token": "s3cret-token", "username": "mira"}')
    ]
    assert await send(_mailer(_url(server))).send_some() == 0, "not before its pause is over"
    later = NOW_MS + 3_600_000
    for n in (1, 2, 3):
        await _queue(pool, f"user{n}@example.org")

    class Dies(SmtpMailer):
        letters = 0

        async def deliver(self, letter: Letter) -> Delivery:
            self.letters += 1
            if self.letters == 3:
                self._client.close()  # type: ignore[union-attr]
                self._parts = self._parts._replace(netloc=f"127.0.0.1:{free_port()}")
                self._client = None
            return await super().deliver(letter)

    await send(Dies(_url(server), FROM, lambda: later), later).send_some()
    assert [row[0] for row in await _state(pool)].count("sent") == 2
    much_later = later + 3_600_000
    await send(_mailer(_url(server)), much_later).send_some()
    assert {row[0] for row in await _state(pool)} == {"sent"}
    assert len(server.mailbox.letters()) == 4


async def test_a_sender_killed_between_sending_and_writing_down_sends_again(
    pool: Pool, server: MailServer, send: Callable[..., MailSender]
) -> None:
    """At least once: the second has the same Message-ID, by which mail programs drop it."""

    class Dies(SmtpMailer):
        async def deliver(self, letter: Letter) -> Delivery:
            await super().deliver(letter)
            raise asyncio.CancelledError  # as a kill: nothing after it runs

    await _queue(pool)
    with pytest.raises(asyncio.CancelledError):
        await send(Dies(_url(server), FROM, lambda: NOW_MS)).send_some()
    assert await send(_mailer(_url(server))).send_some() == 0, "the lease stands"
    assert await send(_mailer(_url(server)), NOW_MS + LEASE_MS).send_some() == 1
    first, second = server.mailbox.letters()
    assert first["message_id"] == second["message_id"]
    assert (await _state(pool))[0][:2] == ("sent", 2)


async def test_a_silent_server_is_given_up_in_time(
    pool: Pool, send: Callable[..., MailSender], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.mail.DELIVERY_SECONDS", 0.2)
    silent = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    await _queue(pool)
    await send(_mailer(f"smtp+plain://127.0.0.1:{port}")).send_some()
    silent.close()
    assert (await _state(pool))[0][:2] == ("waiting", 1)
    assert "too long" in await pool.fetchval("select last_error from mail.outgoing")


async def test_old_letters_are_forgotten(pool: Pool, server: MailServer) -> None:
    await _queue(pool)
    waiting = MailQueue(pool)
    [mail] = await waiting.claim(NOW_MS, 1, 1)
    await waiting.sent(mail.mail_id, NOW_MS)
    assert await waiting.purge(NOW_MS + storage.KEEP_MS) == 0
    assert await waiting.purge(NOW_MS + storage.KEEP_MS + 1) == 1


async def test_a_user_is_written_to_in_their_language(pool: Pool) -> None:
    user = "00000000-0000-4000-8000-000000000001"
    await pool.execute(
        "insert into users.users (user_id, username, username_key, email, email_key, time_zone, "
        "locale, created_at_ms) values ($1, 'M', 'm', 'M@example.org', 'm@example.org', 'UTC', "
        "'es', 0)", user,
    )  # fmt: skip
    other = "00000000-0000-4000-8000-000000000002"
    async with pool.acquire() as connection, connection.transaction():
        values = {"username": "M"}
        await storage.notify(connection, user, Template.PASSWORD_CHANGED, values, NOW_MS)
        await storage.notify(connection, other, Template.PASSWORD_CHANGED, values, NOW_MS)
    rows = await pool.fetch("select recipient, locale, user_id::text from mail.outgoing")
    assert [tuple(row) for row in rows] == [("M@example.org", "es", user)]
    count = storage.count_since
    assert await count(pool, "m@EXAMPLE.org", Template.PASSWORD_CHANGED, NOW_MS - 1) == 1
    assert await count(pool, "m@example.org", Template.PASSWORD_CHANGED, NOW_MS) == 0
    assert await count(pool, "m@example.org", Template.PASSWORD_RESET, 0) == 0


def _certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate of 127.0.0.1 that signs itself, and who trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "mail.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file, ssl.create_default_context(cafile=str(file))


# aiosmtpd does not count TLS from the start as TLS, and leaves a writer open when STARTTLS fails.
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_tls_and_the_password(tmp_path: Path, scheme: str) -> None:
    file, trusts = _certificate(tmp_path)
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(file)
    box = Mailbox()

    def check(_server: Any, _session: Any, _envelope: Any, _kind: str, data: Any) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"app", b"p@ss"))

    port = free_port()
    tls: dict[str, Any] = {"ssl_context": served} if scheme == "smtps" else {"tls_context": served}
    controller = Controller(
        box, hostname="127.0.0.1", port=port, authenticator=check, auth_required=True,
        auth_require_tls=scheme == "smtp", **tls,
    )  # fmt: skip
    controller.start()
    where = f"localhost:{port}"
    try:
        good = _mailer(f"{scheme}://app:p%40ss@{where}", trusts)
        assert await good.deliver(LETTER) == Delivery(Outcome.SENT)
        assert await good.deliver(LETTER) == Delivery(Outcome.SENT)
        await good.rest()
        wrong = _mailer(f"{scheme}://app:wrong@{where}", trusts)
        assert (await wrong.deliver(LETTER)).outcome is Outcome.AWAY
        stranger = _mailer(f"{scheme}://app:p%40ss@{where}")
        assert (await stranger.deliver(LETTER)).outcome is Outcome.AWAY, "nobody vouches for it"
    finally:
        controller.stop()
    assert [letter["text"] for letter in box.letters()] == [LETTER.text] * 2


async def test_a_server_without_starttls_gets_no_letter(server: MailServer) -> None:
    mailer = _mailer(f"smtp://127.0.0.1:{server.smtp_port}")
    assert (await mailer.deliver(LETTER)).outcome is Outcome.AWAY
    assert server.mailbox.letters() == []


async def test_the_local_server_is_started_shows_letters_and_is_ended(tmp_path: Path) -> None:
    with EmbeddedMail(tmp_path / "mail") as local:
        mailer = _mailer(local.url)
        assert (await mailer.deliver(LETTER)).outcome is Outcome.SENT
        await mailer.rest()
        shown = await asyncio.to_thread(_get, f"{local.letters_url}/messages?to={LETTER.to}&wait=5")
        assert "\\u00a1Hola!" in shown or "¡Hola!" in shown
        assert "eñe" in await asyncio.to_thread(_get, f"{local.letters_url}/")
        began = time.monotonic()
        assert await asyncio.to_thread(_get, f"{local.letters_url}/messages?to=x&wait=0.1") == "[]"
        assert time.monotonic() - began >= 0.1
        foreign = urllib.request.Request(f"{local.letters_url}/", headers={"Host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError):
            await asyncio.to_thread(urllib.request.urlopen, foreign, timeout=5)
    assert not local.is_alive()
    with EmbeddedMail(tmp_path / "mail") as again:
        assert "eñe" in await asyncio.to_thread(_get, f"{again.letters_url}/"), "letters are kept"


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())
