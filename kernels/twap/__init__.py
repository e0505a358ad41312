"""Time-weighted averages of prices, in integers: over a whole history at once (`averages`), and
the logarithms (`fixed`) of which geometric means are made."""


def compile_all() -> None:
    """Have the compiled kernel in memory: under a second from nothing, else from the cache."""
    # Imported when used: the owners of books need `fixed` alone, which is plain Python.
    import numpy as np

    from kernels.twap.averages import averages

    ticks = np.array([0, 1], np.int64)
    averages(np.array([0, 2]), ticks, ticks, np.array([[1, 1, 1]]))
