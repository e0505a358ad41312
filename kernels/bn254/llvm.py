"""Field operations as LLVM functions that Numba's compiled code calls on raw addresses.

Numba has no integer wider than 64 bits, so a backend writes the body of each operation in LLVM's
intermediate representation; Numba functions call it through an intrinsic. Elements lie in
memory and are passed as addresses (64-bit integers): arrays of the caller, or the frame by `stack`.

A body is emitted once a module as its own `linkonce_odr` function and not inlined: a pairing has
thousands of calls, and inlined it would be megabytes of code that fit no cache. Only copies and
plain sums, smaller than a call, are (their name is INLINE). Stack space is
allocated in the entry block alone, for an allocation inside a loop would grow the frame each turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic as _numba_intrinsic

I64 = ir.IntType(64)
ALIGNMENT = 64
INLINE = ""

intrinsic: Any = _numba_intrinsic

Address = int
Operation2 = Callable[[Address, Address], None]
Operation3 = Callable[[Address, Address, Address], None]
Operation4 = Callable[[Address, Address, Address, Address], None]
Operation5 = Callable[[Address, Address, Address, Address, Address], None]


def pointer(builder: Any, address: Any, pointee: Any, offset: int = 0) -> Any:
    """The address, `offset` bytes on, as a pointer."""
    if offset:
        address = builder.add(address, ir.Constant(I64, offset))
    return builder.inttoptr(address, pointee.as_pointer())


def _emit(module: Any, name: str, arguments: int, body: Callable[..., None]) -> Any:
    function = module.globals.get(name)
    if function is None:
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * arguments), name)
        function.linkage = "linkonce_odr"
        function.attributes.add("noinline")
        function.attributes.add("nounwind")
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        body(builder, *function.args)
        builder.ret_void()
    return function


def _code(name: str, arguments: int, body: Callable[..., None]) -> tuple[Any, Callable[..., Any]]:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        if name == INLINE:
            body(builder, *values)
        else:
            builder.call(_emit(builder.module, name, arguments, body), list(values))
        return context.get_dummy_value()

    return types.void(*[types.intp] * arguments), generate


def operation2(name: str, body: Callable[..., None]) -> Operation2:
    """Make an operation f(destination, a) from body(builder, destination, a)."""
    code = _code(name, 2, body)

    @intrinsic  # type: ignore[untyped-decorator]
    def operation(context: Any, d: Any, a: Any) -> Any:
        return code

    return operation  # type: ignore[no-any-return]


def operation3(name: str, body: Callable[..., None]) -> Operation3:
    """Make an operation f(destination, a, b) from body(builder, destination, a, b)."""
    code = _code(name, 3, body)

    @intrinsic  # type: ignore[untyped-decorator]
    def operation(context: Any, d: Any, a: Any, b: Any) -> Any:
        return code

    return operation  # type: ignore[no-any-return]


def operation4(name: str, body: Callable[..., None]) -> Operation4:
    """Make an operation f(destination, a, b, c) from body(builder, destination, a, b, c)."""
    code = _code(name, 4, body)

    @intrinsic  # type: ignore[untyped-decorator]
    def operation(context: Any, d: Any, a: Any, b: Any, c: Any) -> Any:
        return code

    return operation  # type: ignore[no-any-return]


def operation5(name: str, body: Callable[..., None]) -> Operation5:
    """Make an operation of a destination and four operands from such a body."""
    code = _code(name, 5, body)

    @intrinsic  # type: ignore[untyped-decorator]
    def operation(context: Any, d: Any, a: Any, b: Any, c: Any, e: Any) -> Any:
        return code

    return operation  # type: ignore[no-any-return]


def nothing() -> Callable[[Address], None]:
    """An operation that emits no code: a reduction, where values are always reduced."""

    @intrinsic  # type: ignore[untyped-decorator]
    def operation(context: Any, a: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return context.get_dummy_value()

        return types.void(types.intp), generate

    return operation  # type: ignore[no-any-return]


def reduction(name: str, body: Callable[..., None]) -> Callable[[Address], None]:
    """Make an operation f(a) in place from body(builder, a)."""
    code = _code(name, 1, body)

    @intrinsic  # type: ignore[untyped-decorator]
    def operation(context: Any, a: Any) -> Any:
        return code

    return operation  # type: ignore[no-any-return]


def table(name: str, words: Sequence[int]) -> Callable[[], Address]:
    """Make a function that returns the address of constant 64-bit words, aligned to 64 bytes."""
    content = ir.Constant(ir.ArrayType(I64, len(words)), list(words))

    @intrinsic  # type: ignore[untyped-decorator]
    def address(context: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            variable = builder.module.globals.get(name)
            if variable is None:
                variable = ir.GlobalVariable(builder.module, content.type, name)
                variable.initializer = content
                variable.global_constant = True
                variable.linkage = "linkonce_odr"
                variable.align = ALIGNMENT
            return builder.ptrtoint(variable, I64)

        return types.intp(), generate

    return address  # type: ignore[no-any-return]


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def _stack(context: Any, size: Any) -> Any:
    """Address of `size` bytes (a constant) in the frame of the calling function."""
    if not isinstance(size, types.IntegerLiteral):
        return None

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        with builder.goto_entry_block():
            space = builder.alloca(ir.ArrayType(ir.IntType(8), size.literal_value))
            space.align = ALIGNMENT
        return builder.ptrtoint(space, I64)

    return types.intp(size), generate


@intrinsic  # type: ignore[untyped-decorator]
def _noinline(context: Any) -> Any:
    """Keep the calling function out of its callers: code stays small and is compiled once."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic  # type: ignore[untyped-decorator]
def _load(context: Any, address: Any) -> Any:
    """The 64-bit word at an address."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load(pointer(builder, values[0], I64), align=8)

    return types.uint64(types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]
def _store(context: Any, address: Any, word: Any) -> Any:
    """Write a 64-bit word to an address."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.store(values[1], pointer(builder, values[0], I64), align=8)
        return context.get_dummy_value()

    return types.void(types.intp, types.uint64), generate


stack: Callable[[int], Address] = _stack
noinline: Callable[[], None] = _noinline
load: Callable[[Address], np.uint64] = _load
store: Callable[[Address, np.uint64], None] = _store
