"""Poseidon against circomlib's vectors and against its definition; the field below it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kernels.poseidon import LIMBS, MAX_INPUTS, ORDER, hash_array, hash_fields
from kernels.poseidon import field as fr
from kernels.poseidon.constants import instance, parameters
from tests.unit import poseidon_naive as naive

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "data" / "poseidon" / "circomlib.json").read_text("utf-8")
)
WIDTHS = range(2, 18)
ELEMENT = st.one_of(
    st.integers(0, ORDER - 1),
    st.sampled_from([0, 1, 2, ORDER - 1, ORDER // 2, 2**64 - 1, 2**128, 2**253, 2**192 - 1]),
)
# What the kernels hold between steps: not canonical, below twice the order.
LOOSE = st.one_of(
    st.integers(0, 2 * ORDER - 1),
    st.sampled_from([0, ORDER - 1, ORDER, ORDER + 1, 2 * ORDER - 1, 2**254, 2**192 - 1]),
)


def digest(values: Iterable[int]) -> str:
    return hashlib.sha256(b"".join(value.to_bytes(32, "big") for value in values)).hexdigest()


def element(value: int) -> fr.Element:
    first, second, third, fourth = fr.to_limbs([value])[0]
    return first, second, third, fourth


def number(limbs: fr.Element) -> int:
    return fr.from_limbs(np.array(limbs, np.uint64))[0]


@pytest.mark.parametrize("width", WIDTHS)
def test_constants_are_circomlibs(width: int) -> None:
    constants, mix = instance(width)
    expected = VECTORS["constants_sha256"][str(width)]
    assert digest(value for row in constants for value in row) == expected["round_constants"]
    assert digest(value for row in mix for value in row) == expected["mix"]


@pytest.mark.parametrize("width", [2, 3, 5, 15])
def test_constants_are_those_of_the_generator_run_bit_by_bit(width: int) -> None:
    constants, mix = instance(width)
    assert ([value for row in constants for value in row], mix) == naive.constants(width)


def test_published_hashes() -> None:
    # From circomlib's own tests (test/poseidoncircuit.js).
    assert hash_fields([1, 2]) == (
        7853200120776062878684798364095072458815029376092732009249414926327459813530
    )
    assert hash_fields([3, 4]) == (
        14763215145315200506921711489642608356394854266165572616578112107564877678998
    )
    assert hash_fields([1, 2, 0, 0, 0]) == (
        1018317224307729531995786483840663576608797660851238720571059489595066344487
    )
    assert hash_fields(range(1, 17)) == (
        9989051620750914585850546081941653841776809718687451684622678807385399211877
    )


@pytest.mark.parametrize("inputs", range(1, MAX_INPUTS + 1))
def test_circomlibs_hashes(inputs: int) -> None:
    found = [one for one in VECTORS["hashes"] if len(one["inputs"]) == inputs]
    rows = [[int(value) for value in one["inputs"]] for one in found]
    hashes = [int(one["hash"]) for one in found]
    assert len(rows) == 6
    assert [hash_fields(row) for row in rows] == hashes
    limbs = fr.to_limbs(value for row in rows for value in row).reshape(len(rows), inputs, LIMBS)
    assert fr.from_limbs(hash_array(limbs)) == hashes


@settings(max_examples=30)
@given(st.lists(ELEMENT, min_size=1, max_size=MAX_INPUTS))
def test_hash_is_the_definitions(values: list[int]) -> None:
    assert hash_fields(values) == naive.poseidon(values)


@pytest.mark.parametrize("values", [[], [0] * 17, [ORDER], [1, -1], [2**256], [0, 2**300]])
def test_what_is_not_an_input_is_refused(values: list[int]) -> None:
    with pytest.raises(ValueError, match=r"Poseidon takes|not a field element"):
        hash_fields(values)


def test_rows_do_not_disturb_each_other_or_their_inputs() -> None:
    rows = fr.to_limbs(range(60)).reshape(30, 2, LIMBS)
    before = rows.copy()
    hashes = fr.from_limbs(hash_array(rows))
    assert (rows == before).all()
    assert hashes == [hash_fields([2 * n, 2 * n + 1]) for n in range(30)]
    assert fr.from_limbs(hash_array(rows[::-3])) == hashes[::-3]  # not contiguous
    assert hash_array(rows[:0]).shape == (0, LIMBS)


def test_parameters_are_below_the_order() -> None:
    for width in WIDTHS:
        for table in parameters(width):
            assert max(fr.from_limbs(table)) < ORDER


@given(LOOSE, LOOSE)
@example(2 * ORDER - 1, 2 * ORDER - 1)
def test_field_operations_stay_in_bounds_and_agree(a: int, b: int) -> None:
    inverse = pow(fr.MONTGOMERY, -1, ORDER)
    operations: list[tuple[Callable[..., fr.Element], tuple[int, ...], int]] = [
        (fr.add, (a, b), a + b),
        (fr.multiply, (a, b), a * b * inverse),
        (fr.fifth_power, (a,), a**5 * inverse**4),
    ]
    for operation, operands, expected in operations:
        result = number(operation(*map(element, operands)))
        assert result < 2 * ORDER
        assert result % ORDER == expected % ORDER
    assert number(fr.to_plain(element(a))) == a * inverse % ORDER


@given(st.lists(st.tuples(LOOSE, ELEMENT), min_size=1, max_size=fr.MAX_SUMMANDS))
@example([(2 * ORDER - 1, ORDER - 1)] * fr.SUMMANDS_BELOW_4)
@example([(2 * ORDER - 1, ORDER - 1)] * fr.SUMMANDS_BELOW_8)
@example([(2 * ORDER - 1, ORDER - 1)] * fr.MAX_SUMMANDS)
def test_dot_stays_in_bounds_and_agrees(pairs: list[tuple[int, int]]) -> None:
    x, y = (fr.to_limbs(column) for column in zip(*pairs, strict=True))
    result = number(fr.dot(x, y))
    assert result < 2 * ORDER
    inverse = pow(fr.MONTGOMERY, -1, ORDER)
    assert result % ORDER == sum(a * b for a, b in pairs) * inverse % ORDER


def test_dot_may_subtract_so_often() -> None:
    """A result is below (1 + 2n·r/2^256)·r: 4r, 8r and 16r for the numbers of summands named so."""
    for summands, times in (
        (fr.SUMMANDS_BELOW_4, 4),
        (fr.SUMMANDS_BELOW_8, 8),
        (fr.MAX_SUMMANDS, 16),
    ):
        assert 2**256 + 2 * summands * ORDER < times * 2**256
    assert 2 * (MAX_INPUTS + 1) - 1 <= fr.MAX_SUMMANDS  # as many as the widest recurrence has


@given(st.lists(st.integers(0, 2**256 - 1), max_size=5))
def test_limbs_and_back(values: list[int]) -> None:
    assert fr.from_limbs(fr.to_limbs(values)) == values
