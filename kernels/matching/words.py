"""What the processor can do with a word and Numba cannot say: ends of bits, hashes, prefetches.

Each is a plain function with a compiled form of the same meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import extending
from numba.core import cgutils, types
from numba.np import arrayobj

_MASK = (1 << 64) - 1
_FIRST, _SECOND = 0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53  # MurmurHash3's finaliser

intrinsic: Callable[[Callable[..., Any]], Callable[..., Any]] = extending.intrinsic
overload: Callable[..., Callable[[Callable[..., Any]], Callable[..., Any]]] = extending.overload


def trailing_zeros(word: Any) -> int:
    """How many zeros end a word that is not zero."""
    return (int(word) & -int(word)).bit_length() - 1


def leading_zeros(word: Any) -> int:
    """How many zeros begin a word of 64 bits that is not zero."""
    return 64 - int(word).bit_length()


def spread(value: Any) -> int:
    """A number of 32 bits that mixes all 64 of the value; neighbours of eight stay together."""
    mixed = (int(value) & _MASK) >> 3
    mixed = (mixed ^ mixed >> 33) * _FIRST & _MASK
    mixed = (mixed ^ mixed >> 33) * _SECOND & _MASK
    return (mixed >> 32 & ~7) | (int(value) & 7)


def ref(array: Any, at: int) -> Any:
    """The element at an index that is within the array and not below zero."""
    return array[at]


def prefetch(_array: Any, _at: int) -> None:
    """Have an element on its way to the cache; the index must be within the array."""


@intrinsic
def _count_trailing(_typing: Any, _word: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@intrinsic
def _count_leading(_typing: Any, _word: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@intrinsic
def _spread(_typing: Any, _value: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word = arguments[0].type

        def shifted(value: Any, by: int) -> Any:
            return builder.lshr(value, ir.Constant(word, by))

        mixed = shifted(arguments[0], 3)
        for factor in (_FIRST, _SECOND):
            mixed = builder.xor(mixed, shifted(mixed, 33))
            mixed = builder.mul(mixed, ir.Constant(word, factor))
        high = builder.and_(shifted(mixed, 32), ir.Constant(word, 0xFFFFFFF8))
        return builder.or_(high, builder.and_(arguments[0], ir.Constant(word, 7)))

    return types.int64(types.int64), generate


@intrinsic
def _prefetch(_typing: Any, array: Any, at: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        view = arrayobj.make_array(kind)(context, builder, arguments[0])  # type: ignore[no-untyped-call]
        element = cgutils.get_item_pointer(  # type: ignore[no-untyped-call]
            context, builder, kind, view, [arguments[1]], wraparound=False
        )
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
            builder.module,
            ir.FunctionType(ir.VoidType(), [byte, word, word, word]),
            "llvm.prefetch.p0",
        )
        # For writing, into every level of the cache, as data.
        settings = [ir.Constant(word, value) for value in (1, 3, 1)]
        builder.call(function, [builder.bitcast(element, byte), *settings])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic
def _ref(_typing: Any, array: Any, at: Any) -> Any:
    """As `array[at]`, without a look at whether the index counts from the end."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        view = arrayobj.make_array(kind)(context, builder, arguments[0])  # type: ignore[no-untyped-call]
        element = cgutils.get_item_pointer(  # type: ignore[no-untyped-call]
            context, builder, kind, view, [arguments[1]], wraparound=False
        )
        return arrayobj.load_item(context, builder, kind, element)  # type: ignore[no-untyped-call]

    return array.dtype(array, types.intp), generate


@overload(trailing_zeros, strict=False)
def _trailing_zeros(word: Any) -> Any:
    return lambda word: _count_trailing(word)  # noqa: PLW0108


@overload(leading_zeros, strict=False)
def _leading_zeros(word: Any) -> Any:
    return lambda word: _count_leading(word)  # noqa: PLW0108


@overload(spread, strict=False)
def _spread_overload(value: Any) -> Any:
    return lambda value: _spread(value)  # noqa: PLW0108


@overload(prefetch, strict=False)
def _prefetch_overload(_array: Any, _at: Any) -> Any:
    return lambda _array, _at: _prefetch(_array, _at)  # noqa: PLW0108


@overload(ref, strict=False)
def _ref_overload(array: Any, at: Any) -> Any:
    return lambda array, at: _ref(array, at)  # noqa: PLW0108
