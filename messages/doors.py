"""What the doors refuse before anybody is asked."""

from __future__ import annotations

from messages.errors import Forbidden, Limited


class RateLimited(Limited):
    """Too many requests; wait before asking again."""

    code = "rate-limited"


class HttpsRequired(Forbidden):
    """This is answered by HTTPS only."""

    code = "https-required"


class TooManyAttempts(Limited):
    """Too many attempts to sign in; wait before trying again."""

    code = "too-many-attempts"
