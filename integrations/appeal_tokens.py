"""The code with which a suspended user, who cannot sign in, appeals: `<suspension>.<tag>`.

The tag is a MAC of the suspension's id under the platform's secret, so nothing has to be kept, and
the code opens one thing only: that suspension's appeal, which can be filed once.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from uuid import UUID

_FORM = re.compile(r"([0-9a-f]{32})\.([A-Za-z0-9_-]{43})", re.ASCII)


def make(secret: bytes, suspension_id: str) -> str:
    """The code of a suspension (a UUID)."""
    return f"{suspension_id.replace('-', '')}.{_tag(secret, suspension_id)}"


def parse(secret: bytes, token: str) -> str | None:
    """The suspension that a code of ours is for; None for any other text."""
    found = _FORM.fullmatch(token)
    if found is None:
        return None
    suspension_id = str(UUID(hex=found[1]))
    return suspension_id if hmac.compare_digest(found[2], _tag(secret, suspension_id)) else None


def _tag(secret: bytes, suspension_id: str) -> str:
    raw = hmac.new(secret, b"appeal:" + suspension_id.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
