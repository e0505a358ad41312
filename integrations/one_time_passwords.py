"""Time-based one-time passwords as authenticator apps speak them, and recovery codes.

RFC 6238 with SHA-1, six digits and 30 seconds: apps ignore other parameters of the otpauth URI.
"""

from __future__ import annotations

import hmac
import io
import secrets

import pyotp
import segno

ISSUER = "VibeStream"
STEP_MS = 30_000
WINDOW = 1  # steps to either side, for clocks that are off and codes typed late
SECRET_CHARS = 32  # of base32: 160 bits, as RFC 4226 recommends
RECOVERY_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: nothing to misread
RECOVERY_CHARS, GROUP = 24, 6  # 120 bits: from 112 on a fast hash is enough (ASVS 6.5.2)


def new_totp_secret() -> str:
    """A secret in base32."""
    return pyotp.random_base32(SECRET_CHARS)


def provisioning_uri(secret: str, account: str) -> str:
    """The otpauth:// URI that an authenticator app reads."""
    return pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=ISSUER)


def qr_svg(text: str) -> str:
    """A QR code of `text` as an SVG document."""
    sink = io.BytesIO()
    segno.make(text, micro=False, error="m").save(sink, kind="svg", scale=4, xmldecl=False)
    return sink.getvalue().decode()


def matching_steps(secret: str, code: str, at_ms: int) -> list[int]:
    """The time steps around `at_ms` whose code this is: usually one or none."""
    generator, now = pyotp.TOTP(secret), at_ms // STEP_MS
    given = "".join(code.split()).encode()
    steps = range(max(0, now - WINDOW), now + WINDOW + 1)
    codes = [(step, generator.generate_otp(step).encode()) for step in steps]
    return [step for step, right in codes if hmac.compare_digest(right, given)]


def new_recovery_codes(count: int) -> list[str]:
    """Codes of 120 random bits, in groups for reading."""
    return [_recovery_code() for _ in range(count)]


def normal_recovery_code(text: str) -> str:
    """What people type, as it was made: case, hyphens, spaces and misread letters do not matter."""
    upper = "".join(text.upper().replace("-", "").split())
    return upper.replace("O", "0").replace("I", "1").replace("L", "1")


def _recovery_code() -> str:
    chars = "".join(secrets.choice(RECOVERY_ALPHABET) for _ in range(RECOVERY_CHARS))
    return "-".join(chars[at : at + GROUP] for at in range(0, RECOVERY_CHARS, GROUP))
