"""A prover that knows the trapdoor of its own key: proofs of anything, in half a millisecond.

Groth16 is zero-knowledge because whoever knows a key's trapdoor can prove any public signals
without a witness (Groth, "On the Size of Pairing-Based Non-interactive Arguments", 2016, section 3:
the simulator). Such a proof is verified in earnest, by the same kernels. So tests and benchmarks
have thousands of proofs without a proving key. As a key it is worth nothing: production refuses it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kernels.bn254 import twist
from kernels.bn254.integers import P, R

VERSION = "test-v1"
SIGNALS = 6
WINDOW_BITS = 8
WINDOWS = 32

Affine = tuple[int, int]
Jacobian = tuple[int, int, int]


def scalar(*words: str | int) -> int:
    """A number below the order that nobody would call random: it is derived from its name."""
    data = "/".join(str(word) for word in words).encode()
    return int.from_bytes(hashlib.blake2b(data, digest_size=40).digest(), "big") % R


class Prover:
    """The key's trapdoor: with it everything is arithmetic on scalars, and two multiples of G1."""

    def __init__(self, seed: str = "a test key", signals: int = SIGNALS) -> None:
        names = ("alpha", "beta", "gamma", "delta")
        self._alpha, self._beta, self._gamma, self._delta = (scalar(seed, n) for n in names)
        self._inputs = [scalar(seed, "input", number) for number in range(signals + 1)]
        self._b = scalar(seed, "b")
        self._b_text = _g2(self._b)
        self._delta_inverse = pow(self._delta, -1, R)
        self._table = _table()

    def verification_key(self) -> dict[str, Any]:
        """As snarkjs writes it."""
        return {
            "protocol": "groth16",
            "curve": "bn128",
            "nPublic": len(self._inputs) - 1,
            "vk_alpha_1": self._g1(self._alpha),
            "vk_beta_2": _g2(self._beta),
            "vk_gamma_2": _g2(self._gamma),
            "vk_delta_2": _g2(self._delta),
            "IC": [self._g1(value) for value in self._inputs],
        }

    def prove(self, signals: Sequence[int], chance: str = "") -> dict[str, Any]:
        """A proof of the signals; another for another `chance`."""
        a = scalar("a", chance, *signals)
        public = self._inputs[0] + sum(
            value * weight for value, weight in zip(signals, self._inputs[1:], strict=True)
        )
        spare = a * self._b - self._alpha * self._beta - self._gamma * public
        c = spare * self._delta_inverse % R
        return {
            "pi_a": self._g1(a),
            "pi_b": self._b_text,
            "pi_c": self._g1(c),
            "protocol": "groth16",
            "curve": "bn128",
        }

    def write_artifacts(self, folder: Path) -> Path:
        """A folder of pinned artifacts that holds the verification key alone."""
        content = json.dumps(self.verification_key()).encode()
        (folder / VERSION).mkdir(parents=True, exist_ok=True)
        (folder / VERSION / "verification_key.json").write_bytes(content)
        pin = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        pins = {VERSION: {"verification_key.json": pin}}
        (folder / "pins.json").write_text(json.dumps(pins), encoding="utf-8")
        return folder

    def _g1(self, value: int) -> list[str]:
        x, y = _multiple(self._table, value % R)
        return [str(x), str(y), "1"]


def negated(proof: dict[str, Any]) -> dict[str, Any]:
    """Another proof of the same: (-A, -B, C). No verifier can refuse it."""

    def minus(y: str) -> str:
        return str(-int(y) % P)

    (ax, ay, az), (bx, by, bz) = proof["pi_a"], proof["pi_b"]
    return {**proof, "pi_a": [ax, minus(ay), az], "pi_b": [bx, [minus(y) for y in by], bz]}


def _g2(value: int) -> list[list[str]]:
    assert value > 1, "the twist's addition knows no infinity"
    total = twist.GENERATOR
    for bit in f"{value:b}"[1:]:
        total = twist.double(total)[0]
        if bit == "1":
            total = twist.add(total, twist.GENERATOR)[0]
    x, y = total
    return [[str(c) for c in x], [str(c) for c in y], ["1", "0"]]


def _table() -> list[list[Affine]]:
    """table[w][d]: d · 2^(8w) times the generator, for d from 1; index 0 is not used."""
    table, base = [], (1, 2)
    for _ in range(WINDOWS):
        multiples: list[Jacobian] = [(base[0], base[1], 1)]
        for _ in range(2**WINDOW_BITS - 1):
            multiples.append(_add(multiples[-1], base))
        *row, following = _affine(multiples)
        table.append([(0, 0), *row])
        base = following
    return table


def _multiple(table: Sequence[Sequence[Affine]], value: int) -> Affine:
    """A multiple of the generator by its windows. `value` is not zero."""
    total: Jacobian | None = None
    for window in range(WINDOWS):
        digit = value >> (WINDOW_BITS * window) & (2**WINDOW_BITS - 1)
        if digit:
            x, y = table[window][digit]
            total = (x, y, 1) if total is None else _add(total, (x, y))
    assert total is not None, "a multiple of zero"
    return _affine([total])[0]


def _add(left: Jacobian, right: Affine) -> Jacobian:
    """Mixed addition in Jacobian coordinates (madd-2007-bl of the Explicit-Formulas Database)."""
    x1, y1, z1 = left
    z1z1 = z1 * z1 % P
    h = (right[0] * z1z1 - x1) % P
    r = 2 * (right[1] * z1 * z1z1 - y1) % P
    if h == 0:
        assert r == 0, "the sum is infinity"
        return _double(left)
    hh = h * h % P
    i = 4 * hh % P
    j, v = h * i % P, x1 * i % P
    x3 = (r * r - j - 2 * v) % P
    y3 = (r * (v - x3) - 2 * y1 * j) % P
    z3 = ((z1 + h) ** 2 - z1z1 - hh) % P
    return x3, y3, z3


def _double(point: Jacobian) -> Jacobian:
    """dbl-2009-l, for a = 0."""
    x, y, z = point
    a, b = x * x % P, y * y % P
    c = b * b % P
    d = 2 * ((x + b) ** 2 - a - c) % P
    e = 3 * a % P
    x3 = (e * e - 2 * d) % P
    return x3, (e * (d - x3) - 8 * c) % P, 2 * y * z % P


def _affine(points: Sequence[Jacobian]) -> list[Affine]:
    """All at once, with one inversion (Montgomery's trick)."""
    products = [1]
    for _, _, z in points:
        products.append(products[-1] * z % P)
    inverse, found = pow(products[-1], -1, P), []
    for (x, y, z), before in zip(reversed(points), reversed(products[:-1]), strict=True):
        one = inverse * before % P
        inverse = inverse * z % P
        found.append((x * one * one % P, y * one * one * one % P))
    return found[::-1]
