"""What a device calls itself, in words that its owner recognises."""

from __future__ import annotations

from ua_parser import parse

MAX_USER_AGENT = 512  # a longer one is cut: the expressions that read it are not linear in all
UNKNOWN = "Unknown device"


def device_label(user_agent: str) -> str:
    """`Chrome on Windows`, `Mobile Safari on iOS (iPhone)`; UNKNOWN if nothing is recognised.

    The first call takes about 0.1 s, later ones about 1 ms: call it in a thread.
    """
    found = parse(user_agent[:MAX_USER_AGENT])
    program = found.user_agent.family if found.user_agent else ""
    system = found.os.family if found.os else ""
    label = " on ".join(part for part in (program, system) if part)
    model = found.device.model if found.device else None
    if label and model and model not in label:
        label = f"{label} ({model})"
    return label or UNKNOWN
