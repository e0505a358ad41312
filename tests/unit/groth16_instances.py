"""Groth16 instances whose trapdoor is known: keys, proofs, and forgeries, made with py_ecc.

With alpha .. delta known as numbers, a and b may be anything and c follows: no circuit is needed.
Discrete logarithms are kept, so each property can be checked on numbers as well.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from py_ecc.optimized_bn128.optimized_curve import G1, G2, multiply, normalize

from kernels.bn254.integers import G1Point, G2Point, P, R, fp2_add, fp2_multiply
from kernels.bn254.parameters import TWIST_B
from kernels.groth16 import Proof, VerifyingKey


def g1(scalar: int) -> G1Point:
    x, y = normalize(multiply(G1, scalar % R))
    return int(x), int(y)


def g2(scalar: int) -> G2Point:
    return twist_point(multiply(G2, scalar % R))


def twist_point(point: Any) -> G2Point:
    x, y = normalize(point)
    return (int(x.coeffs[0]), int(x.coeffs[1])), (int(y.coeffs[0]), int(y.coeffs[1]))


def outside_subgroup(seed: int) -> G2Point:
    """A random point of the twist: of order r with probability 2^-254."""
    draw = random.Random(seed)
    while True:
        x = (draw.randrange(P), draw.randrange(P))
        square = fp2_add(fp2_multiply(fp2_multiply(x, x), x), TWIST_B)
        norm = pow(square[0] ** 2 + square[1] ** 2, (P + 1) // 4, P)
        for sign in (norm, -norm):
            real = pow((square[0] + sign) * (P + 1) // 2, (P + 1) // 4, P)
            y = (real, square[1] * pow(2 * real, -1, P) % P)
            if fp2_multiply(y, y) == square:
                return x, y


@dataclass(frozen=True)
class Trapdoor:
    alpha: int
    beta: int
    gamma: int
    delta: int
    ic: tuple[int, ...]

    @staticmethod
    def random(inputs: int, seed: int) -> Trapdoor:
        draw = random.Random(seed)
        alpha, beta, gamma, delta, *ic = (draw.randrange(1, R) for _ in range(inputs + 5))
        return Trapdoor(alpha, beta, gamma, delta, tuple(ic))

    def key(self) -> VerifyingKey:
        return VerifyingKey(
            g1(self.alpha),
            g2(self.beta),
            g2(self.gamma),
            g2(self.delta),
            tuple(g1(value) for value in self.ic),
        )

    def total(self, signals: tuple[int, ...]) -> int:
        return self.ic[0] + sum(x * y for x, y in zip(signals, self.ic[1:], strict=True))

    def proof(self, signals: tuple[int, ...], a: int, b: int) -> Proof:
        c = (a * b - self.alpha * self.beta - self.gamma * self.total(signals)) % R
        return Proof(g1(a), g2(b), g1(c * pow(self.delta, -1, R)))


def snarkjs_point(point: Any) -> list[Any]:
    """A point as snarkjs writes it."""
    if isinstance(point[0], tuple):
        return [[str(value) for value in element] for element in (*point, (1, 0))]
    return [str(point[0]), str(point[1]), "1"]


def snarkjs_proof(proof: Proof) -> dict[str, Any]:
    points = {"pi_a": proof.a, "pi_b": proof.b, "pi_c": proof.c}
    written = {name: snarkjs_point(point) for name, point in points.items()}
    return written | {"protocol": "groth16", "curve": "bn128"}


def snarkjs_key(key: VerifyingKey) -> dict[str, Any]:
    return {
        "protocol": "groth16",
        "curve": "bn128",
        "nPublic": key.inputs,
        "vk_alpha_1": snarkjs_point(key.alpha),
        "vk_beta_2": snarkjs_point(key.beta),
        "vk_gamma_2": snarkjs_point(key.gamma),
        "vk_delta_2": snarkjs_point(key.delta),
        "IC": [snarkjs_point(point) for point in key.ic],
    }
