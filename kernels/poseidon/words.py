"""Arithmetic on tuples of 64-bit words that Numba lacks: wide products, sums and differences.

Each is an LLVM intrinsic over integers of 128 to 512 bits, which LLVM lowers to the processor's
own multiplications and carry chains. Words are `uint64`, least significant first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending
from numba.core import cgutils, types

WORD_BITS = 64
ZERO = np.uint64(0)

# Numba's annotations describe what it is given, not what it makes of it.
intrinsic: Callable[[Callable[..., Any]], Callable[..., Any]] = extending.intrinsic

_WORD, _DOUBLE = ir.IntType(WORD_BITS), ir.IntType(2 * WORD_BITS)


def _packed(builder: Any, words: Any) -> Any:
    """One wide integer of a tuple of words."""
    wide_type = ir.IntType(WORD_BITS * words.type.count)
    wide = ir.Constant(wide_type, 0)
    for at in range(words.type.count):
        word = builder.zext(builder.extract_value(words, at), wide_type)
        wide = builder.or_(wide, builder.shl(word, ir.Constant(wide_type, WORD_BITS * at)))
    return wide


def _unpacked(builder: Any, wide: Any) -> Any:
    """The tuple of words of a wide integer."""
    shifted = (
        builder.lshr(wide, ir.Constant(wide.type, at)) for at in range(0, wide.type.width, 64)
    )
    words = [builder.trunc(word, _WORD) for word in shifted]
    return cgutils.pack_array(builder, words)  # type: ignore[no-untyped-call]


@intrinsic
def accumulate(_typing: Any, total: Any, a: Any, b: Any) -> Any:
    """total + a·b of three words and two, which three words must hold."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        total = _packed(builder, arguments[0])
        a, b = (builder.zext(word, _DOUBLE) for word in arguments[1:])
        product = builder.zext(builder.mul(a, b), total.type)
        return _unpacked(builder, builder.add(total, product))

    return total(total, a, b), generate


@intrinsic
def wide_add(_typing: Any, a: Any, b: Any) -> Any:
    """a + b of two tuples of as many words, which the sum must fit."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        a, b = (_packed(builder, words) for words in arguments)
        return _unpacked(builder, builder.add(a, b))

    return a(a, b), generate


@intrinsic
def subtract_once(_typing: Any, a: Any, bound: Any) -> Any:
    """a - bound of two tuples of as many words where that is not below zero, else a."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        a, bound = (_packed(builder, words) for words in arguments)
        is_below = builder.icmp_unsigned("<", a, bound)
        return _unpacked(builder, builder.select(is_below, a, builder.sub(a, bound)))

    return a(a, bound), generate


@intrinsic
def always_inline(_typing: Any) -> Any:
    """Have LLVM inline the function that this stands in."""

    def generate(context: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
        builder.function.attributes.add("alwaysinline")
        return context.get_dummy_value()

    return types.void(), generate
