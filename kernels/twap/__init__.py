"""Time-weighted averages of prices and the references made of them, in integers: over a whole
history at once (`averages`, `references`), and the logarithms (`fixed`, compiled in `logs`)."""


def compile_all() -> None:
    """Have the averages in memory: a second from nothing, else from the cache.

    `references`, of which no process of the engine has need, takes some six seconds when it is
    first called.
    """
    # Imported when used: the owners of books need `fixed` alone, which is plain Python.
    import numpy as np

    from kernels.twap.averages import averages

    starts, ticks = np.array([0, 2]), np.array([0, 1], np.int64)
    averages(starts, ticks, ticks, np.array([[1, 1, 1]]))
