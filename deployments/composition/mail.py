"""Outgoing mail: the queue, the letters' texts, the mail server."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from bus.mail import MailSender, Wakes
from deployments.composition.common import now_ms
from deployments.secrets import Secrets
from deployments.settings import Settings
from integrations.mail_templates import write
from integrations.mailer_smtp import SmtpMailer
from messages.mail import Letter
from storage.database import Pool
from storage.mail import MailQueue, QueuedMail


def open_sender(
    settings: Settings, pool: Pool, store: Wakes, registry: CollectorRegistry, secrets: Secrets
) -> MailSender:
    """What sends the letters that wait in the queue."""

    def render(mail: QueuedMail) -> Letter:
        values = {"public_url": settings.where, **mail.params}
        return write(mail.mail_id, mail.to, mail.template, mail.locale, values)

    mailer = SmtpMailer(settings.smtp_url, settings.mail_from, now_ms)
    secrets.on_change("smtp_url", mailer.use)
    return MailSender(MailQueue(pool), mailer, render, store, now_ms, registry)
