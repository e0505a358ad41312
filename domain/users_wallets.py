"""The message that a wallet signs, and what is an address. Pure.

The message is EIP-4361's (Sign-In with Ethereum), which Solana's wallets show in the same form.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from messages.users_wallets import BadWalletAddress, WalletKind

_P = 2**255 - 19  # of Curve25519
_D = -121665 * pow(121666, -1, _P) % _P
_SQRT_MINUS_ONE = pow(2, (_P - 1) // 4, _P)
ED25519_BYTES = 32

Point = tuple[int, int, int, int]  # extended homogeneous coordinates (RFC 8032, 5.1.4)


class WalletPolicy(msgspec.Struct, frozen=True):
    """How long a challenge waits, and how much of each a user may have."""

    version: int = 1
    challenge_ms: int = 5 * 60_000
    max_wallets: int = 20
    max_challenges: int = 10


POLICY = WalletPolicy()
_CHAINS = {WalletKind.EVM: "Ethereum", WalletKind.SOLANA: "Solana"}


class Challenge(msgspec.Struct, frozen=True):
    """What a message says. `nonce`: at least 8 letters and digits; `host`: with a port, if any."""

    kind: WalletKind
    address: str
    username: str
    host: str
    url: str
    nonce: str
    challenge_id: str
    issued_at_ms: int
    expires_at_ms: int


def message_of(challenge: Challenge) -> str:
    """The text to sign, byte for byte (EIP-4361, ABNF). Whoever signs reads whose account it is."""
    c = challenge
    lines = [
        f"{c.host} wants you to sign in with your {_CHAINS[c.kind]} account:",
        c.address,
        "",
        f"Link this wallet to the VibeStream account {c.username}. This moves nothing.",
        "",
        f"URI: {c.url}",
        "Version: 1",
        f"Chain ID: {'1' if c.kind is WalletKind.EVM else 'mainnet'}",
        f"Nonce: {c.nonce}",
        f"Issued At: {_moment(c.issued_at_ms)}",
        f"Expiration Time: {_moment(c.expires_at_ms)}",
        f"Request ID: {c.challenge_id}",
    ]
    return "\n".join(lines)


def check_solana_key(raw: bytes) -> bytes:
    """An address's bytes, if they are a public key that somebody can hold. Raises BadWalletAddress.

    A point of the curve, in its one encoding (RFC 8032, 5.1.3), and not of small order: under such
    a key anybody's signature would be good. Addresses off the curve belong to programs.
    """
    if len(raw) != ED25519_BYTES:
        raise BadWalletAddress
    point = _decompress(raw)
    if point is None:
        raise BadWalletAddress
    for _ in range(3):  # times the cofactor, 8
        point = _double(point)
    x, y, z, _ = point
    if x % _P == 0 and (y - z) % _P == 0:
        raise BadWalletAddress
    return raw


def _decompress(raw: bytes) -> Point | None:
    encoded = int.from_bytes(raw, "little")
    sign, y = encoded >> 255, encoded & (2**255 - 1)
    if y >= _P:
        return None
    numerator, denominator = (y * y - 1) % _P, (_D * y * y + 1) % _P
    square = numerator * pow(denominator, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _SQRT_MINUS_ONE % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return (x, y, 1, x * y % _P)


def _double(point: Point) -> Point:
    """RFC 8032, 5.1.4."""
    x, y, z, _ = point
    a, b, c = x * x, y * y, 2 * z * z
    h = a + b
    e = h - (x + y) ** 2
    g = a - b
    f = c + g
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _moment(at_ms: int) -> str:
    """RFC 3339, as EIP-4361 wants it."""
    moment = datetime.fromtimestamp(at_ms / 1_000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
