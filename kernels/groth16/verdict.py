"""What a verifier answers: a proof is valid, or why not."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """`valid`, or a refusal's code. Codes are part of the public contract."""

    VALID = "valid"
    MALFORMED = "malformed"
    WRONG_INPUT_COUNT = "wrong-input-count"
    INPUT_NOT_IN_FIELD = "input-not-in-field"
    COORDINATE_NOT_IN_FIELD = "coordinate-not-in-field"
    POINT_AT_INFINITY = "point-at-infinity"
    POINT_OFF_CURVE = "point-off-curve"
    POINT_OUTSIDE_SUBGROUP = "point-outside-subgroup"
    PAIRING_FAILED = "pairing-failed"
    KEY_AT_INFINITY = "key-at-infinity"
    KEY_OFF_CURVE = "key-off-curve"
    KEY_OUTSIDE_SUBGROUP = "key-outside-subgroup"
    KEY_NO_PHASE_2 = "key-no-phase-2"


class Malformed(ValueError):  # noqa: N818 - the interface's word
    """A key, a proof or public signals cannot be read, or can be seen to be wrong without a
    pairing."""

    def __init__(self, verdict: Verdict, detail: str = "") -> None:
        super().__init__(f"{verdict}: {detail}" if detail else str(verdict))
        self.verdict = verdict
        self.code = str(verdict)
        self.detail = detail
