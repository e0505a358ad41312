"""Text that people write: in normal form, without what cannot be seen."""

from __future__ import annotations

import re
import unicodedata

# General categories that no name needs: controls, surrogates, private use, unassigned, separators.
HIDDEN = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
BREAKS = "\t\n\r"
_EMPTY_LINES = re.compile(r"\n{3,}")


def clean_line(raw: str, longest: int) -> str | None:
    """NFC, single inner spaces, none outside; None if nothing visible is left or it is too long."""
    if _hides(raw):
        return None
    text = " ".join(unicodedata.normalize("NFC", raw).split())
    return text if _shows(text) and len(text) <= longest else None


def clean_text(raw: str, longest: int) -> str | None:
    """Like `clean_line`, of several lines: at most one empty line in a row."""
    if _hides(raw):
        return None
    lines = unicodedata.normalize("NFC", raw).splitlines()
    text = _EMPTY_LINES.sub("\n\n", "\n".join(" ".join(line.split()) for line in lines)).strip()
    return text if _shows(text) and len(text) <= longest else None


def clean_reason(raw: str, longest: int) -> str:
    """A line that may as well be empty: cut rather than refused."""
    return clean_line(raw[:longest], longest) or ""


def _hides(raw: str) -> bool:
    return any(unicodedata.category(c) in HIDDEN and c not in BREAKS for c in raw)


def _shows(text: str) -> bool:
    return any(unicodedata.category(c)[0] in "LNPS" for c in text)
