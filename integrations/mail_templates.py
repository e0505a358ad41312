"""The text of letters: `locale/mail/<template>.<language>.txt`, subject in the first line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from messages.mail import Letter, Template

FOLDER = Path(__file__).resolve().parent.parent / "locale" / "mail"
DEFAULT = "en"
SUBJECT = "Subject: "
_VALUE = re.compile(r"\{([a-z_]+)\}")


@cache
def read(template: Template, language: str) -> tuple[str, str]:
    """The subject and the text, with {values} to fill in; English where a language lacks it."""
    file = FOLDER / f"{template.value}.{language}.txt"
    if not file.exists():
        file = FOLDER / f"{template.value}.{DEFAULT}.txt"
    subject, _, text = file.read_text("utf-8").partition("\n\n")
    assert subject.startswith(SUBJECT), f"{file.name} begins with its subject"
    return subject.removeprefix(SUBJECT), text


def values_of(template: Template, language: str) -> set[str]:
    """The names of the values in a letter."""
    return set(_VALUE.findall("\n".join(read(template, language))))


def write(
    mail_id: str, to: str, template: Template, language: str, values: Mapping[str, str | int]
) -> Letter:
    """The letter with its values. Raises KeyError for a value that is missing."""
    subject, text = (
        _VALUE.sub(lambda found: str(values[found[1]]), part) for part in read(template, language)
    )
    return Letter(mail_id, to, subject, text)
