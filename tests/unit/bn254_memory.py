"""Elements of the field in memory, and calls of kernels on them, for any backend of BN254."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from functools import cache
from types import ModuleType
from typing import Any

import numba
import numpy as np
from numba.core.extending import _Intrinsic
from py_ecc.fields import bn128_FQ2 as FQ2
from py_ecc.fields import bn128_FQ12 as FQ12

from kernels.bn254.integers import P

compiled = os.environ.get("NUMBA_DISABLE_JIT", "0") == "0"


@cache
def _calling(operation: Callable[..., Any], operands: int) -> Callable[..., Any]:
    """A compiled function of the same name around one of the field's operations."""

    def one(a: int) -> None:
        operation(a)

    def two(d: int, a: int) -> None:
        operation(d, a)

    def three(d: int, a: int, b: int) -> None:
        operation(d, a, b)

    def four(d: int, a: int, b: int, c: int) -> None:
        operation(d, a, b, c)

    def five(d: int, a: int, b: int, c: int, e: int) -> None:
        operation(d, a, b, c, e)

    return numba.njit((one, two, three, four, five)[operands - 1])


class Backend:
    """One backend's field and its tower: `call` takes and gives integers, a row for each lane."""

    def __init__(self, name: str, field: ModuleType, tower: str) -> None:
        self.name = name
        self.field = field
        self.lanes: int = field.LANES
        self._tower = tower

    def __repr__(self) -> str:
        return self.name

    def __getitem__(self, module: str) -> ModuleType:
        return importlib.import_module(f"{self._tower}.{module}")

    def put(self, rows: Sequence[Sequence[int]], size: int = 0) -> np.ndarray[Any, Any]:
        """Memory, aligned to 64 bytes, with a row of field elements in each lane."""
        elements = max(size, len(rows[0]))
        words, lanes = self.field.LIMBS, self.lanes
        raw = np.zeros(elements * self.field.E1 + 64, np.uint8)
        start = -raw.ctypes.data % 64
        memory = raw[start : start + elements * self.field.E1].view(np.uint64)
        view = memory.reshape(elements, words, lanes)
        for lane, row in enumerate(rows):
            for i, value in enumerate(row):
                view[i, :, lane] = self.field.encode(value)
        return memory

    def get(self, memory: np.ndarray[Any, Any]) -> list[list[int]]:
        view = memory.reshape(-1, self.field.LIMBS, self.lanes)
        return [[self.field.decode(words[:, lane]) for words in view] for lane in range(self.lanes)]

    def call(
        self, function: Callable[..., Any], out: int, *operands: Sequence[Sequence[int]] | int
    ) -> list[list[int]]:
        """function(destination of `out` elements, operands): rows go to memory, numbers stay."""
        destination = self.put([[0] * out] * self.lanes)
        kept = [value if isinstance(value, int) else self.put(value) for value in operands]
        self.apply(
            function,
            destination.ctypes.data,
            *[value if isinstance(value, int) else value.ctypes.data for value in kept],
        )
        return self.get(destination)

    @staticmethod
    def apply(function: Callable[..., Any], *addresses: int) -> None:
        """Call a kernel, or one of the field's operations, on addresses."""
        if isinstance(function, _Intrinsic):
            function = _calling(function, len(addresses))
        function(*addresses)


def backends() -> list[Backend]:
    """All that this machine can run; compiled code only where Numba compiles."""
    if not compiled:
        return []
    from kernels.bn254 import lanes, scalar
    from kernels.bn254.specialise import specialise

    specialise("kernels.bn254.lanes", "kernels.bn254.tower_lanes")
    return [
        Backend("scalar", scalar, "kernels.bn254.tower"),
        Backend("lanes", lanes, "kernels.bn254.tower_lanes"),
    ]


# ------------------------------------------------------------------ py_ecc's elements and ours
def fq2(row: Sequence[int]) -> FQ2:
    return FQ2(list(row))


def from_fq2(element: FQ2) -> list[int]:
    return [int(value) % P for value in element.coeffs]


def fq12(row: Sequence[int]) -> FQ12:
    """py_ecc writes Fp12 over Fp with w^12 = 18 w^6 - 82; there u = w^6 - 9."""
    coefficients = [0] * 12
    for i in range(6):
        at = (i & 1) * 6 + (i >> 1) * 2
        real, imaginary = row[at], row[at + 1]
        coefficients[i] += real - 9 * imaginary
        coefficients[i + 6] += imaginary
    return FQ12([value % P for value in coefficients])


def from_fq12(element: FQ12) -> list[int]:
    row = [0] * 12
    values = [int(value) for value in element.coeffs]
    for i in range(6):
        at = (i & 1) * 6 + (i >> 1) * 2
        row[at] = (values[i] + 9 * values[i + 6]) % P
        row[at + 1] = values[i + 6]
    return row


def fq6(row: Sequence[int]) -> FQ12:
    """Fp6 lies in Fp12 as the even powers of w."""
    return fq12([*row, *[0] * 6])


def from_fq6(element: FQ12) -> list[int]:
    row = from_fq12(element)
    assert not any(row[6:])
    return row[:6]
