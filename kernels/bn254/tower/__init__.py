"""Extension fields, curves and the pairing, written once over the operations of a backend.

The modules here import their operations from `kernels.bn254.scalar`. `kernels.bn254.specialise`
loads the same source again over another backend: eight lanes at once, or the one of the tests that
follows bounds. So the source obeys the strictest of them:

- Values may be unreduced: `x_add` grows the bound, `x_sub` needs a subtrahend below 2p (`x_sub_4p`
  one below 4p), `x_reduce` brings a value back below 2p, and factors stay below 8p. Where a
  function's operands have a bound, its docstring says so; results are below 2p unless it says more.
- Operands are addresses. A destination may be an operand, unless the docstring forbids it.
- Each function keeps its temporaries in its own frame.
"""
