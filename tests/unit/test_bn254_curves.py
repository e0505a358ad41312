"""G1, the twist and the pairing against py_ecc and published vectors."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_ecc.bn128 import bn128_curve, bn128_pairing

from kernels.bn254 import twist
from kernels.bn254.integers import B, G1Point, G2Point, P, R, X
from kernels.bn254.parameters import LINES
from tests.unit.bn254_memory import Backend, backends, from_fq12
from tests.unit.groth16_instances import g1, g2, outside_subgroup

VECTORS = Path(__file__).parents[1] / "data" / "bn254"

# The first call of a kernel compiles it, or loads it from the cache.
pytestmark = pytest.mark.timeout(900)

every_backend = pytest.mark.parametrize("backend", backends(), ids=repr)
scalar_backend = pytest.mark.parametrize(
    "backend", [backend for backend in backends() if backend.lanes == 1], ids=repr
)
scalars = st.integers(1, R - 1)


@contextmanager
def deep_recursion() -> Iterator[None]:
    """py_ecc's power calls itself once for each bit of the exponent."""
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        yield
    finally:
        sys.setrecursionlimit(usual)


def vectors(name: str) -> Any:
    loaded = json.loads((VECTORS / name).read_text())
    return loaded["vectors"] if isinstance(loaded, dict) else loaded


def words(hexadecimal: str) -> list[int]:
    content = bytes.fromhex(hexadecimal)
    return [int.from_bytes(content[i : i + 32], "big") for i in range(0, len(content), 32)]


def flat(point: Any) -> list[int]:
    return [int(value) for part in point for value in (part if isinstance(part, tuple) else [part])]


def affine(row: list[int]) -> G1Point | None:
    x, y, z = row
    if not z:
        return None
    inverse = pow(z, -1, P)
    return x * inverse**2 % P, y * inverse**3 % P


# --------------------------------------------------------------------------------------- G1
@every_backend
@settings(max_examples=10)
@given(data=st.data())
def test_g1_adds_and_doubles(backend: Backend, data: st.DataObject) -> None:
    module = backend["g1"]
    ks = [data.draw(scalars) for _ in range(backend.lanes)]
    js = [data.draw(scalars) for _ in range(backend.lanes)]
    p = [[*g1(k), 1] for k in ks]
    # The other operand with a Z that is not 1.
    zs = [data.draw(scalars) for _ in range(backend.lanes)]
    q_affine = [list(g1(j)) for j in js]
    q = [[x * z**2 % P, y * z**3 % P, z] for (x, y), z in zip(q_affine, zs, strict=True)]
    for function, second in ((module.g1_add_affine, q_affine), (module.g1_add, q)):
        for lane, row in enumerate(backend.call(function, 3, p, second)):
            if (ks[lane] - js[lane]) % R:
                assert affine(row) == g1(ks[lane] + js[lane])
    memory = backend.put(q)
    module.g1_double(memory.ctypes.data)
    for lane, row in enumerate(backend.get(memory)):
        assert affine(row) == g1(2 * js[lane])


@every_backend
def test_incomplete_additions_leave_z_zero(backend: Backend) -> None:
    p = [list(g1(7))] * backend.lanes
    minus = [[x, P - y] for x, y in p]
    start = [[*row, 1] for row in p]
    for q in (p, minus):
        result = backend.call(backend["g1"].g1_add_affine, 3, start, q)
        assert all(row[2] == 0 for row in result)
        again = backend.call(backend["g1"].g1_add_affine, 3, result, [list(g1(9))] * backend.lanes)
        assert all(row[2] == 0 for row in again)


def accumulate(backend: Backend, start: list[int], point: list[int]) -> list[int]:
    from kernels.bn254.fixed_base import g1_accumulate

    memory = backend.put([start])
    g1_accumulate(memory.ctypes.data, backend.put([point]).ctypes.data)
    return backend.get(memory)[0]


@scalar_backend
def test_geth_addition_vectors(backend: Backend) -> None:
    for vector in vectors("geth-bn256Add.json"):
        x1, y1, x2, y2 = [*words(vector["Input"]), 0, 0, 0, 0][:4]
        total = [x1, y1, 1] if x1 or y1 else [0, 0, 0]
        if x2 or y2:
            total = accumulate(backend, total, [x2, y2])
        assert list(affine(total) or (0, 0)) == words(vector["Expected"]), vector["Name"]


def multiple(backend: Backend, point: G1Point, scalar: int, bits: int) -> G1Point | None:
    from kernels.bn254.fixed_base import fixed_base_sum, fixed_base_table

    table = backend.put([[0]], 2 * (256 // bits) * ((1 << bits) - 1))
    work = backend.put([[0]], 4 << bits)
    base = backend.put([list(point)])
    fixed_base_table(table.ctypes.data, base.ctypes.data, bits, work.ctypes.data)
    number = np.frombuffer(scalar.to_bytes(32, "little"), np.uint64)
    total = backend.put([[0, 0, 0]])
    fixed_base_sum(total.ctypes.data, table.ctypes.data, number.ctypes.data, 1, bits)
    return affine(backend.get(total)[0])


@scalar_backend
@pytest.mark.parametrize("bits", [4, 8])
def test_geth_multiplication_vectors(backend: Backend, bits: int) -> None:
    for vector in vectors("geth-bn256ScalarMul.json"):
        x, y, scalar = [*words(vector["Input"]), 0, 0, 0][:3]
        if x or y:
            product = multiple(backend, (x, y), scalar, bits) or (0, 0)
            assert list(product) == words(vector["Expected"]), vector["Name"]


@scalar_backend
@pytest.mark.parametrize("size", [64, 128, 254])
def test_constantine_g1_vectors(backend: Backend, size: int) -> None:
    for vector in vectors(f"constantine-tv_BN254_Snarks_scalar_mul_G1_{size}bit.json"):
        point, expected = (
            (int(vector[name]["x"], 16), int(vector[name]["y"], 16)) for name in ("P", "Q")
        )
        assert multiple(backend, point, int(vector["scalar"], 16), 8) == expected


# ------------------------------------------------------------------------------- the twist
def constantine_g2(written: Any) -> G2Point:
    x, y = ((int(part["c0"], 16), int(part["c1"], 16)) for part in (written["x"], written["y"]))
    return x, y


def twist_multiple(point: G2Point, scalar: int) -> G2Point:
    total = point
    for bit in bin(scalar)[3:]:
        total, _ = twist.double(total)
        if bit == "1":
            total, _ = twist.add(total, point)
    return total


@pytest.mark.parametrize("size", [64, 128, 254])
def test_constantine_g2_vectors(size: int) -> None:
    for vector in vectors(f"constantine-tv_BN254_Snarks_scalar_mul_G2_{size}bit.json"):
        point, expected = constantine_g2(vector["P"]), constantine_g2(vector["Q"])
        assert twist.on_twist(point)
        assert twist_multiple(point, int(vector["scalar"], 16)) == expected
        assert len(twist.fixed_lines(point)) == LINES


@settings(max_examples=10)
@given(scalars)
def test_psi_is_multiplication_by_the_trace_less_one(k: int) -> None:
    point = g2(k)
    assert twist.psi(point) == g2(k * 6 * X**2)


def test_the_subgroup_test_admits_no_other_order() -> None:
    """gcd of the endomorphism's norm and the twist's order is r: the argument of the check."""
    trace, cofactor = 6 * X**2 + 1, 2 * P - R
    # f = (6X + 2) + psi - psi^2 + psi^3 modulo psi^2 - trace psi + p, constant first.
    f = [6 * X + 2, 1, -1, 1]
    while len(f) > 2:
        top = f.pop()
        f[-1] += top * trace
        f[-2] -= top * P
    norm = f[0] ** 2 + f[0] * f[1] * trace + f[1] ** 2 * P
    assert math.gcd(norm, cofactor * R) == R


@pytest.mark.parametrize("seed", range(5))
def test_lines_of_a_point_outside_the_subgroup_are_refused(seed: int) -> None:
    point = outside_subgroup(seed)
    assert twist.on_twist(point)
    with pytest.raises(twist.OutsideSubgroupError):
        twist.fixed_lines(point)


# -------------------------------------------------------------------------------- pairings
def pairs_in(backend: Backend, rows: list[list[list[int]]]) -> Any:
    """Records of the Miller loop, one after another; rows[k][lane] is a pair's six numbers."""
    records = [
        [value for row in pairs for value in (*row, *[0] * 18)] for pairs in zip(*rows, strict=True)
    ]
    return backend.put(records)


def product_is_one(backend: Backend, pairs: list[list[int]]) -> bool:
    """The product of the pairs' pairings, the same in each lane."""
    module = backend["miller"]
    memory = pairs_in(backend, [[pair] * backend.lanes for pair in pairs])
    value = backend.put([[0] * 12] * backend.lanes)
    module.miller(value.ctypes.data, memory.ctypes.data, len(pairs), 0, 0, 0)
    address = value.ctypes.data
    backend["final"].final_exponentiation(address, address)
    results = [row == [1] + [0] * 11 for row in backend.get(value)]
    assert len(set(results)) == 1
    return results[0]


def residuals_vanish(backend: Backend, q: G2Point) -> list[bool]:
    module = backend["miller"]
    memory = pairs_in(backend, [[[1, 2, *flat(q)]] * backend.lanes])
    value = backend.put([[0] * 12] * backend.lanes)
    module.miller(value.ctypes.data, memory.ctypes.data, 1, 0, 0, 0)
    rows = backend.call(module.subgroup_residual, 6, backend.get(memory))
    return [not any(row[:4]) and any(row[4:]) for row in rows]


@every_backend
def test_geth_pairing_vectors(backend: Backend) -> None:
    for vector in vectors("geth-bn256Pairing.json"):
        numbers = words(vector["Input"])
        pairs = []
        for i in range(0, len(numbers), 6):
            x, y, x1, x0, y1, y0 = numbers[i : i + 6]
            if (x or y) and (x0 or x1 or y0 or y1):
                assert all(residuals_vanish(backend, ((x0, x1), (y0, y1))))
                pairs.append([x, y, x0, x1, y0, y1])
        expected = bool(int(vector["Expected"], 16))
        assert (not pairs or product_is_one(backend, pairs)) == expected, vector["Name"]


@every_backend
@settings(max_examples=3)
@given(scalars, scalars)
def test_the_pairing_is_bilinear(backend: Backend, a: int, b: int) -> None:
    pairs = [[*g1(a), *flat(g2(b))], [*g1(-a * b), *flat(g2(1))]]
    assert product_is_one(backend, pairs)
    pairs[1] = [*g1(-a * b + 1), *flat(g2(1))]
    assert not product_is_one(backend, pairs)


@every_backend
def test_the_pairing_is_py_eccs_to_a_known_power(backend: Backend) -> None:
    """Both raise to (p^12 - 1) / r, this one to 2X (6X^2 + 3X + 1) times that."""
    p, q = (
        bn128_curve.multiply(bn128_curve.G1, 5),
        bn128_curve.multiply(bn128_curve.G2, 11),
    )
    memory = pairs_in(backend, [[[*g1(5), *flat(g2(11))]] * backend.lanes])
    value = backend.put([[0] * 12] * backend.lanes)
    backend["miller"].miller(value.ctypes.data, memory.ctypes.data, 1, 0, 0, 0)
    backend["final"].final_exponentiation(value.ctypes.data, value.ctypes.data)
    with deep_recursion():
        oracle = bn128_pairing.pairing(q, p) ** (2 * X * (6 * X**2 + 3 * X + 1))
    assert all(row == from_fq12(oracle) for row in backend.get(value))


@every_backend
@settings(max_examples=3)
@given(scalars, scalars)
def test_known_lines_give_the_same_product(backend: Backend, a: int, b: int) -> None:
    """A fixed pair and the moving pair of the negated point cancel."""
    x, y = g1(a)
    q = g2(b)
    lines = [value for line in twist.fixed_lines(q) for value in flat(line)]
    inverse = pow(y, -1, P)
    known = backend.put([lines] * backend.lanes)
    point = backend.put([[x * inverse % P, inverse]] * backend.lanes)
    memory = pairs_in(backend, [[[x, P - y, *flat(q)]] * backend.lanes])
    value = backend.put([[0] * 12] * backend.lanes)
    backend["miller"].miller(
        value.ctypes.data, memory.ctypes.data, 1, known.ctypes.data, point.ctypes.data, 1
    )
    backend["final"].final_exponentiation(value.ctypes.data, value.ctypes.data)
    assert all(row == [1] + [0] * 11 for row in backend.get(value))


@every_backend
@pytest.mark.parametrize("seed", range(3))
def test_the_loop_tells_points_outside_the_subgroup(backend: Backend, seed: int) -> None:
    assert all(residuals_vanish(backend, g2(seed + 3)))
    assert not any(residuals_vanish(backend, outside_subgroup(seed)))


@every_backend
def test_curve_residuals(backend: Backend) -> None:
    module = backend["miller"]
    good, bad = list(g1(5)), [1, 3]
    for point, zero in ((good, True), (bad, False)):
        rows = backend.call(module.g1_residual, 1, [point] * backend.lanes)
        assert all((row == [0]) == zero for row in rows)
        expected = (point[1] ** 2 - point[0] ** 3 - B) % P
        assert rows == [[expected]] * backend.lanes
    q = flat(outside_subgroup(1))
    for point, zero in ((q, True), ([*q[:3], q[3] ^ 1], False)):
        rows = backend.call(module.twist_residual, 2, [point] * backend.lanes)
        assert all((row == [0, 0]) == zero for row in rows)
