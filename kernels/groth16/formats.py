"""snarkjs's JSON files: verification_key.json, proof.json and public.json.

Each parser takes the file's bytes (or text), or the object decoded from it, and raises `Malformed`.
Numbers are decimal strings, as snarkjs writes them, or JSON integers; points are projective with a
last coordinate of 1. Elements of Fp2 are [real, imaginary].
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kernels.bn254.integers import B, G1Point, G2Point, P, R
from kernels.bn254.twist import OutsideSubgroupError, fixed_lines, on_twist
from kernels.groth16.verdict import Malformed, Verdict

MAX_INPUTS = 1024
MAX_BYTES = 1 << 20
_CURVES = ("bn128", "bn254", "BN254", "altbn128")
_NUMBER = re.compile(r"[0-9]{1,1000}", re.ASCII)


def integers(values: Iterable[int]) -> bytes | None:
    """Numbers as the kernels read them, 32 bytes each, little-endian; None where one does not
    fit."""
    try:
        return b"".join([value.to_bytes(32, "little") for value in values])
    except OverflowError:
        return None


class PublicSignals(tuple[int, ...]):
    """Public signals. Written once as words, for the GIL is held meanwhile."""

    words: bytes | None

    def __new__(cls, values: Iterable[int]) -> PublicSignals:
        """The signals, and their words."""
        self = super().__new__(cls, values)
        self.words = integers(self)
        return self


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof's three points, affine: a and c of G1, b of the twist. Not yet checked.

    words: A.x, A.y, B.x (real, imaginary), B.y, C.x, C.y; None where one does not fit.
    """

    a: G1Point
    b: G2Point
    c: G1Point
    words: bytes | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Write the words once, for the GIL is held meanwhile."""
        numbers = (*self.a, *self.b[0], *self.b[1], *self.c)
        object.__setattr__(self, "words", integers(numbers))


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A verification key whose points are checked: ic[0] + sum of input[j] ic[j + 1]."""

    alpha: G1Point
    beta: G2Point
    gamma: G2Point
    delta: G2Point
    ic: tuple[G1Point, ...]

    @property
    def inputs(self) -> int:
        """How many public signals a proof has."""
        return len(self.ic) - 1


class _InfinityError(ValueError):
    pass


class _RangeError(ValueError):
    pass


class _ShapeError(ValueError):
    pass


@contextmanager
def _refusing(infinity: Verdict = Verdict.POINT_AT_INFINITY) -> Iterator[None]:
    """Turn what the readers below raise into `Malformed`; infinity: what a point there is."""
    try:
        yield
    except KeyError as error:
        raise Malformed(Verdict.MALFORMED, f"{error.args[0]} is missing") from None
    except _ShapeError as error:
        raise Malformed(Verdict.MALFORMED, str(error)) from None
    except _RangeError:
        raise Malformed(Verdict.COORDINATE_NOT_IN_FIELD) from None
    except _InfinityError:
        raise Malformed(infinity) from None


def parse_signals(source: Any) -> PublicSignals:
    """Public signals, each below r."""
    with _refusing():
        signals = PublicSignals([_number(value) for value in _list(_decoded(source), MAX_INPUTS)])
    if max(signals, default=0) >= R:
        raise Malformed(Verdict.INPUT_NOT_IN_FIELD)
    return signals


def parse_proof(source: Any) -> Proof:
    """A proof whose coordinates are below p and whose points are not at infinity."""
    with _refusing():
        fields = _fields(source)
        return Proof(_g1(fields["pi_a"]), _g2(fields["pi_b"]), _g1(fields["pi_c"]))


def parse_key(source: Any) -> VerifyingKey:
    """A key with every point on its curve and in its subgroup, none at infinity, and a phase 2.

    gamma and delta must differ, up to sign too: a setup without a phase 2 leaves both at the
    generator, and then anyone can forge. vk_alphabeta_12 is not read: alpha and beta are.
    """
    with _refusing(Verdict.KEY_AT_INFINITY):
        key = _key(_fields(source))
    _check_points(key)
    if key.gamma[0] == key.delta[0]:
        raise Malformed(Verdict.KEY_NO_PHASE_2, "gamma equals delta")
    return key


def _key(fields: Mapping[str, Any]) -> VerifyingKey:
    ic = tuple(_g1(point) for point in _list(fields["IC"], MAX_INPUTS + 1))
    count = fields.get("nPublic", len(ic) - 1)
    if not ic or type(count) is not int or count != len(ic) - 1:
        raise _ShapeError("IC does not have a point more than there are public inputs")
    return VerifyingKey(
        _g1(fields["vk_alpha_1"]),
        _g2(fields["vk_beta_2"]),
        _g2(fields["vk_gamma_2"]),
        _g2(fields["vk_delta_2"]),
        ic,
    )


def _check_points(key: VerifyingKey) -> None:
    if not all((x**3 + B - y**2) % P == 0 for x, y in (key.alpha, *key.ic)):
        raise Malformed(Verdict.KEY_OFF_CURVE)
    for point in (key.beta, key.gamma, key.delta):
        if not on_twist(point):
            raise Malformed(Verdict.KEY_OFF_CURVE)
        try:
            fixed_lines(point)
        except OutsideSubgroupError:
            raise Malformed(Verdict.KEY_OUTSIDE_SUBGROUP) from None


def _decoded(source: Any) -> Any:
    if not isinstance(source, (str, bytes, bytearray, memoryview)):
        return source
    if len(source) > MAX_BYTES:
        raise _ShapeError("too long")
    try:
        return json.loads(bytes(source) if isinstance(source, memoryview) else source)
    except (ValueError, RecursionError):
        raise _ShapeError("not JSON") from None


def _fields(source: Any) -> Mapping[str, Any]:
    fields = _decoded(source)
    if not isinstance(fields, Mapping):
        raise _ShapeError("not a JSON object")
    if fields.get("protocol", "groth16") != "groth16":
        raise _ShapeError("the protocol is not groth16")
    if fields.get("curve", "bn128") not in _CURVES:
        raise _ShapeError("the curve is not bn128")
    return fields


def _list(value: Any, most: int) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)) or len(value) > most:
        raise _ShapeError("not a list, or too long")
    return value


def _number(value: Any) -> int:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return int(value)
    if type(value) is int and value >= 0:
        return value
    raise _ShapeError("not a decimal number")


def _coordinates(value: Any, count: int) -> list[int]:
    if len(_list(value, count)) != count:
        raise _ShapeError(f"a list does not have {count} elements")
    numbers = [_number(part) for part in value]
    if max(numbers) >= P:
        raise _RangeError
    return numbers


def _g1(value: Any) -> G1Point:
    x, y, z = _coordinates(value, 3)
    if z == 0 or x == y == 0:
        raise _InfinityError
    if z != 1:
        raise _ShapeError("a point is not normalised")
    return x, y


def _g2(value: Any) -> G2Point:
    if len(_list(value, 3)) != 3:
        raise _ShapeError("a point does not have three coordinates")
    (x0, x1), (y0, y1), z = [_coordinates(part, 2) for part in value]
    if z == [0, 0] or x0 == x1 == y0 == y1 == 0:
        raise _InfinityError
    if z != [1, 0]:
        raise _ShapeError("a point is not normalised")
    return (x0, x1), (y0, y1)
