"""Letters: every text in every language, when a try is repeated, what is sent and what is not."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from api.translation import LANGUAGES
from bus.mail import BATCH, MailSender
from domain.mail import POLICY, MailPolicy, next_attempt_ms
from integrations.mail_templates import FOLDER, read, values_of, write
from integrations.mailer_smtp import SmtpMailer, check_url
from messages.mail import Delivery, Letter, Outcome, Template
from storage.mail import QueuedMail


def test_every_letter_is_there_in_every_language_with_the_same_values() -> None:
    files = {file.name for file in FOLDER.iterdir()}
    assert files == {f"{t.value}.{language}.txt" for t in Template for language in LANGUAGES}
    for template in Template:
        english = values_of(template, "en")
        for language in LANGUAGES:
            assert values_of(template, language) == english, (template, language)
            subject, text = read(template, language)
            assert subject
            assert "\n" not in subject
            assert all(len(line) <= 100 for line in text.splitlines()), (template, language)


def test_a_letter_has_its_values_once() -> None:
    values: dict[str, str | int] = {
        "username": "{token}",
        "token": "t0k",
        "hours": 24,
        "public_url": "https://v.example",
    }
    letter = write("id", "a@example.org", Template.VERIFICATION, "es", values)
    assert "https://v.example/account/verification#t0k" in letter.text
    assert "Hola, {token}:" in letter.text, "a value is not read for values"
    del values["token"]
    with pytest.raises(KeyError):
        write("id", "a@example.org", Template.VERIFICATION, "en", values)


@given(st.integers(1, 100), st.floats(0, 1, exclude_max=True))
def test_pauses_double_up_to_the_longest_and_are_cut_by_at_most_half(
    attempts: int, chance: float
) -> None:
    policy = MailPolicy(first_pause_ms=10, longest_pause_ms=1_000, attempts=50)
    again = next_attempt_ms(attempts, 7, chance, policy)
    if attempts >= 50:
        assert again is None
        return
    whole = min(10 * 2 ** (attempts - 1), 1_000)
    assert again is not None
    assert 7 + whole / 2 <= again <= 7 + whole


def test_a_letter_is_tried_for_about_a_day() -> None:
    now = 0
    for attempts in range(1, POLICY.attempts):
        again = next_attempt_ms(attempts, now, 0.5)
        assert again is not None
        now = again
    assert 12 <= now / 3_600_000 <= 36


@pytest.mark.parametrize("url", ["", "mail.example", "http://mail.example", "smtp://", "smtp:x"])
def test_an_address_that_is_no_mail_server_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(ValueError, match="smtp://") as caught:
        check_url(url)
    assert not url or url not in str(caught.value) or url in "smtp://"


def test_a_header_cannot_be_smuggled_in() -> None:
    mailer = SmtpMailer("smtp+plain://127.0.0.1:1", "V <v@example.org>", lambda: 0)
    for letter in (
        Letter("id", "a@example.org", "hi\nBcc: b@example.org", "text"),
        Letter("id", "a@example.org\nBcc: b@example.org", "hi", "text"),
    ):
        with pytest.raises(ValueError):
            mailer._message(letter)


class _Queue:
    """A queue in memory that remembers what it was told."""

    def __init__(self, *mails: QueuedMail) -> None:
        self.mails = list(mails)
        self.told: list[tuple[str, str]] = []

    async def claim(self, now_ms: int, lease_ms: int, limit: int) -> list[QueuedMail]:
        taken, self.mails = self.mails[:limit], self.mails[limit:]
        return taken

    async def sent(self, mail_id: str, now_ms: int) -> None:
        self.told.append(("sent", mail_id))

    async def failed(self, mail: QueuedMail, error: str, again_at_ms: int) -> None:
        assert again_at_ms > 0
        self.told.append(("failed", mail.mail_id))

    async def give_up(self, mail_id: str, error: str, now_ms: int) -> None:
        self.told.append((f"given up: {error}", mail_id))

    async def waiting(self) -> tuple[int, int | None]:
        return len(self.mails), None

    async def purge(self, now_ms: int) -> int:
        return 0


class _Mailer:
    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes)
        self.asked = 0

    async def deliver(self, letter: Letter) -> Delivery:
        self.asked += 1
        return Delivery(self.outcomes.pop(0), "550 no such user")

    async def rest(self) -> None:
        pass


class _Wakes:
    def wakes(self, stream: str) -> AbstractContextManager[Any]:
        return nullcontext(asyncio.Event())


def _mail(name: str, attempts: int = 1, expires_at_ms: int = 10**15) -> QueuedMail:
    return QueuedMail(
        name, "a@example.org", Template.ADDRESS_TAKEN, "en", {}, attempts, expires_at_ms
    )


def _render(mail: QueuedMail) -> Letter:
    if mail.mail_id == "broken":
        raise KeyError("username")
    return Letter(mail.mail_id, mail.to, "subject", "text")


def _sender(queue: _Queue, mailer: _Mailer) -> MailSender:
    return MailSender(queue, mailer, _render, _Wakes(), lambda: 1_000, CollectorRegistry())


async def test_what_came_of_each_letter_is_written_down() -> None:
    queue = _Queue(_mail("a"), _mail("b"), _mail("c"))
    mailer = _Mailer(Outcome.SENT, Outcome.LATER, Outcome.REFUSED)
    assert await _sender(queue, mailer).send_some() == 3
    assert queue.told == [("sent", "a"), ("failed", "b"), ("given up: 550 no such user", "c")]


async def test_a_server_that_is_away_is_asked_once_a_batch() -> None:
    queue = _Queue(*(_mail(str(n)) for n in range(BATCH + 1)))
    mailer = _Mailer(Outcome.AWAY, Outcome.AWAY)
    sender = _sender(queue, mailer)
    assert [await sender.send_some() for _ in range(3)] == [BATCH, 1, 0]
    assert mailer.asked == 2
    assert [what for what, _ in queue.told] == ["failed"] * (BATCH + 1)


async def test_a_letter_that_is_late_broken_or_tried_too_often_is_given_up() -> None:
    late, often = _mail("late", expires_at_ms=1_000), _mail("often", attempts=POLICY.attempts)
    queue = _Queue(late, _mail("broken"), often, _mail("good"))
    mailer = _Mailer(Outcome.LATER, Outcome.SENT)
    await _sender(queue, mailer).send_some()
    assert [name for _, name in queue.told] == ["late", "broken", "often", "good"]
    assert [what.split(":")[0] for what, _ in queue.told] == ["given up"] * 3 + ["sent"]
