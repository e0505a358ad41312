"""The lanes never overflow: every function of the tower on the worst operands it may get."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from kernels.bn254.integers import P
from kernels.bn254.specialise import specialise
from tests.unit import bn254_bounds as bounds
from tests.unit.bn254_memory import fq12, from_fq12
from tests.unit.groth16_instances import g1, g2

tower = specialise("tests.unit.bn254_bounds", "tests.unit.bn254_bounds_tower", bounds.__name__)
fp12, final, miller = tower["fp12"], tower["final"], tower["miller"]

# What functions take and promise, in units of p: everything that is kept is below this.
KEPT = 2.0


@pytest.fixture(autouse=True)
def empty() -> Iterator[None]:
    bounds.memory.clear()
    bounds.largest.clear()
    yield
    bounds.memory.clear()


def put(address: int, row: list[int], bound: float = KEPT) -> int:
    for i, value in enumerate(row):
        bounds.memory[address + i] = (value, bound)
    return address


def get(address: int, count: int) -> list[int]:
    values, sizes = zip(*(bounds.memory[address + i] for i in range(count)), strict=True)
    assert max(sizes) <= KEPT
    return list(values)


def numbers(count: int, seed: int) -> list[int]:
    draw = random.Random(seed)
    return [draw.randrange(P) for _ in range(count)]


def test_fp12_and_the_final_exponentiation() -> None:
    a, b, d = numbers(12, 1), numbers(12, 2), 5000
    put(1000, a)
    put(2000, b)
    fp12.f12_mul(d, 1000, 2000)
    assert get(d, 12) == from_fq12(fq12(a) * fq12(b))
    fp12.f12_sqr(d, 1000)
    assert get(d, 12) == from_fq12(fq12(a) * fq12(a))
    fp12.f12_inv(d, 1000)
    assert get(d, 12) == from_fq12(fq12(a).inv())
    final.final_exponentiation(d, 1000)
    cyclotomic = get(d, 12)
    put(1000, cyclotomic)
    fp12.f12_cyclotomic_sqr(d, 1000)
    assert get(d, 12) == from_fq12(fq12(cyclotomic) * fq12(cyclotomic))
    line = put(3000, numbers(6, 3))
    fp12.f12_mul_034(1000, line, line + 2, line + 4)
    get(1000, 12)
    fp12.f12_mul_134(1000, line, line + 2)
    get(1000, 12)


@pytest.mark.parametrize(("moving", "fixed"), [(1, 0), (2, 0), (1, 2), (0, 3)])
def test_the_miller_loop(moving: int, fixed: int) -> None:
    q = [value for element in g2(7) for value in element]
    for k in range(moving):
        put(10_000 + k * miller.PAIR, [*g1(5 + k), *q])
    lines = put(20_000, numbers(fixed * miller.FIXED_LINES, 4))
    points = put(30_000, numbers(fixed * miller.FIXED_POINT, 5))
    miller.miller(1000, 10_000, moving, lines, points, fixed)
    get(1000, 12)
    for k in range(moving):
        miller.subgroup_residual(2000, 10_000 + k * miller.PAIR)
        assert get(2000, 4) == [0, 0, 0, 0]


def test_curves_and_inverses() -> None:
    q = [value for element in g2(7) for value in element]
    put(100, [*g1(5), *q])
    miller.g1_residual(200, 100)
    miller.twist_residual(300, 102)
    assert get(200, 1) == [0]
    assert get(300, 2) == [0, 0]
    tower["fp2"].fp_inv(400, 100)
    assert get(400, 1) == [pow(g1(5)[0], -1, P)]


def test_g1() -> None:
    """Points are reduced between operations: a loop of any length keeps its bounds."""
    module = tower["g1"]
    p, q = put(100, [*g1(5), 1]), put(200, [*g1(11), 1])
    module.g1_add(300, p, q)
    module.g1_add_affine(400, p, q)
    assert get(300, 3) == get(400, 3)
    module.g1_double(300)
    get(300, 3)


def test_the_largest_bounds_fit_with_room() -> None:
    """Pinned, so that a change that comes near the limits is seen."""
    put(1000, numbers(12, 1))
    final.final_exponentiation(5000, 1000)
    q = [value for element in g2(7) for value in element]
    put(10_000, [*g1(5), *q])
    miller.miller(1000, 10_000, 1, 0, 0, 0)
    assert bounds.largest["form"] < 80
    assert bounds.largest["subtrahend of a form"] <= 3
    assert bounds.largest["factor"] <= 8
