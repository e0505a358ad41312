"""Mail over SMTP (RFC 5321), one letter after the other on a connection that is kept a while.

The URL says how: `smtp://user:password@host:587` must upgrade with STARTTLS, `smtps://host:465`
speaks TLS from the start, `smtp+plain://127.0.0.1:1025` is for a server on this machine.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, parseaddr
from urllib.parse import SplitResult, unquote, urlsplit

import aiosmtplib

from messages.mail import Delivery, Letter, Outcome

PORTS = {"smtp": 587, "smtps": 465, "smtp+plain": 25}
TIMEOUT_SECONDS = 8.0
PERMANENT = 500

# A server that was reached but turns us away, before it has heard of any letter.
_AWAY = (
    aiosmtplib.SMTPConnectError,
    aiosmtplib.SMTPServerDisconnected,
    aiosmtplib.SMTPTimeoutError,
    aiosmtplib.SMTPAuthenticationError,
    aiosmtplib.SMTPHeloError,
    aiosmtplib.SMTPNotSupported,
    OSError,
)


class SmtpMailer:
    """Hands letters to one mail server. For one task at a time."""

    def __init__(
        self,
        url: str,
        sender: str,
        clock_ms: Callable[[], int],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Raises ValueError if the URL or the sender is not one.  tls: the system's if None."""
        self._parts = check_url(url)
        name, address = parseaddr(sender)
        self._from = Address(name, addr_spec=address)
        self._clock_ms = clock_ms
        self._tls = tls
        self._client: aiosmtplib.SMTP | None = None

    async def use(self, url: str) -> None:
        """Take another URL from the next connection on. Raises ValueError if it is none."""
        self._parts = check_url(url)

    async def deliver(self, letter: Letter) -> Delivery:
        """Try to hand a letter to the server."""
        try:
            client = await self._connected()
            await client.send_message(self._message(letter))
        except aiosmtplib.SMTPRecipientsRefused as error:
            await self._reset()
            return _judged(error.recipients[0])
        except aiosmtplib.SMTPDataError as error:
            return _judged(error)
        except (*_AWAY, aiosmtplib.SMTPException) as error:
            await self.rest()
            return Delivery(Outcome.AWAY, f"{type(error).__name__}: {error}")
        return Delivery(Outcome.SENT)

    async def rest(self) -> None:
        """Say goodbye to the server, if there is a connection."""
        client, self._client = self._client, None
        if client is None:
            return
        try:
            await client.quit()
        except (aiosmtplib.SMTPException, OSError):
            client.close()

    async def _connected(self) -> aiosmtplib.SMTP:
        if self._client is not None and self._client.is_connected:
            return self._client
        parts = self._parts
        client = aiosmtplib.SMTP(
            hostname=parts.hostname,
            port=parts.port or PORTS[parts.scheme],
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            use_tls=parts.scheme == "smtps",
            start_tls=parts.scheme == "smtp",
            tls_context=self._tls,
            local_hostname=self._from.domain,  # by default the resolver is asked, and waited for
            timeout=TIMEOUT_SECONDS,
        )
        await client.connect()
        self._client = client
        return client

    async def _reset(self) -> None:
        """Begin anew after a refused recipient, or with the next letter on a new connection."""
        try:
            if self._client is not None:
                await self._client.rset()
        except (aiosmtplib.SMTPException, OSError):
            await self.rest()

    def _message(self, letter: Letter) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self._from
        message["To"] = Address(addr_spec=letter.to)
        message["Subject"] = letter.subject
        message["Message-ID"] = f"<{letter.mail_id}@{self._from.domain}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answer by a machine, please
        message["Date"] = formatdate(self._clock_ms() / 1_000)
        message.set_content(letter.text)
        return message


def check_url(url: str) -> SplitResult:
    """The URL's parts. Raises ValueError, which does not quote it: it may hold a password."""
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError("a mail server's URL begins with smtp://, smtps:// or smtp+plain://")
    return parts


def _judged(error: aiosmtplib.SMTPResponseException) -> Delivery:
    outcome = Outcome.REFUSED if error.code >= PERMANENT else Outcome.LATER
    return Delivery(outcome, f"{error.code} {error.message}")
