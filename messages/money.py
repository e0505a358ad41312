"""Money as integers: minor units and a currency. Shares are whole numbers of their own currency."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Digits after the point. VIBES, the reward token, has six so that a second of listening is payable.
MINOR_DIGITS: dict[str, int] = {
    "USD": 2, "EUR": 2, "GBP": 2, "USDC": 6, "ETH": 18, "SOL": 9, "VIBES": 6,
}  # fmt: skip
SHARE_PREFIX = "SHARE:"
NFT_PREFIX = "NFT:"
_WHOLE = (SHARE_PREFIX, NFT_PREFIX)
_DECIMAL = re.compile(r"[0-9]{1,30}(\.[0-9]{1,30})?")


def is_currency(code: str) -> bool:
    """Whether `code` names a money currency, shares (`SHARE:<id>`) or tokens (`NFT:<id>`)."""
    return code in MINOR_DIGITS or (code.startswith(_WHOLE) and code not in _WHOLE)


def minor_per_unit(currency: str) -> int:
    """How many minor units make one major unit; 1 for shares and tokens. KeyError if unknown."""
    return 1 if currency.startswith(_WHOLE) else 10 ** MINOR_DIGITS[currency]


def format_minor(amount_minor: int, currency: str) -> str:
    """`1234, "USD"` → `12.34 USD`. Exact: no float takes part."""
    unit = minor_per_unit(currency)
    whole, part = divmod(abs(amount_minor), unit)
    sign = "-" if amount_minor < 0 else ""
    digits = f".{part:0{len(str(unit)) - 1}d}" if unit > 1 else ""
    return f"{sign}{whole}{digits} {currency}"


def decimal_of(amount_minor: int, currency: str, digits: int | None = None) -> str:
    """`1234, "USD"` → `"12.34"`, with so many digits after the point (the currency's own if None).

    Exact: ValueError for a negative amount, or one that so many digits cannot say.
    """
    own = MINOR_DIGITS[currency]
    shown = own if digits is None else digits
    scaled, rest = divmod(amount_minor * 10**shown, 10**own)
    if amount_minor < 0 or rest:
        raise ValueError(f"{amount_minor} minor units of {currency} are no {shown} digits")
    whole, part = divmod(scaled, 10**shown)
    return f"{whole}.{part:0{shown}d}" if shown else str(whole)


def parse_decimal(text: str, currency: str) -> int:
    """`"12.34", "USD"` → `1234`. ValueError for what is no decimal, or finer than a minor unit."""
    if not _DECIMAL.fullmatch(text):
        raise ValueError("not a decimal amount")
    whole, _, part = text.partition(".")
    digits = MINOR_DIGITS[currency]
    kept, finer = part[:digits].ljust(digits, "0"), part[digits:]
    if finer.strip("0"):
        raise ValueError(f"finer than a minor unit of {currency}")
    return int(whole + kept)


def split_by_weight(total: int, weights: Sequence[int]) -> list[int]:
    """Split `total` ≥ 0 by integer weights with the largest-remainder (Hamilton) method.

    The parts always sum to `total`. Equal remainders go to the earlier part. ValueError if no
    weight is positive.
    """
    scale = sum(weights)
    if scale <= 0 or total < 0 or min(weights) < 0:
        raise ValueError("weights must be non-negative and not all zero, total non-negative")
    parts = [total * w // scale for w in weights]
    remainders = [total * w % scale for w in weights]
    left = total - sum(parts)
    for index in sorted(range(len(weights)), key=lambda i: -remainders[i])[:left]:
        parts[index] += 1
    return parts
