"""Linear forms over Fp2 with small coefficients, each one operation of a backend.

Between its products the tower adds and subtracts. Done one by one, each sum is stored, loaded and
reduced; a form does it at once and reduces its result. Coefficients are in Z[u], one an operand.
Operands of a form are below 2p (only ever products and reduced values), results too.
"""

from __future__ import annotations

from typing import Final

from kernels.bn254.integers import Fp2

Form = tuple[Fp2, ...]

_ONE, _MINUS, _XI, _MINUS_XI = (1, 0), (-1, 0), (9, 1), (-9, -1)

DOUBLE: Final[Form] = ((2, 0),)
TRIPLE: Final[Form] = ((3, 0),)
TIMES_XI: Final[Form] = (_XI,)
# a + b, a - b, a + xi b, a - b - c, a - b + c, a - b - xi c.
SUM: Final[Form] = (_ONE, _ONE)
DIFFERENCE: Final[Form] = (_ONE, _MINUS)
PLUS_XI: Final[Form] = (_ONE, _XI)
MINUS_MINUS: Final[Form] = (_ONE, _MINUS, _MINUS)
MINUS_PLUS: Final[Form] = (_ONE, _MINUS, _ONE)
MINUS_MINUS_XI: Final[Form] = (_ONE, _MINUS, _MINUS_XI)
# Karatsuba's three coefficients: d + xi (a - b - c), a - b - c + xi d, a - b - c + d; of (a, b, c,
# d).
KARATSUBA_0: Final[Form] = (_XI, _MINUS_XI, _MINUS_XI, _ONE)
KARATSUBA_1: Final[Form] = (_ONE, _MINUS, _MINUS, _XI)
KARATSUBA_2: Final[Form] = (_ONE, _MINUS, _MINUS, _ONE)
# The first one where c = 0: xi (a - b) + c.
XI_DIFFERENCE_PLUS: Final[Form] = (_XI, _MINUS_XI, _ONE)
# Cyclotomic squares: 3 (a - b - xi b) - 2 c and 6 a + 2 b.
CYCLOTOMIC_EVEN: Final[Form] = ((3, 0), (-30, -3), (-2, 0))
CYCLOTOMIC_ODD: Final[Form] = ((6, 0), (2, 0))
# Steps of the Miller loop: a + 3 b, a - 3 b, a - 12 b, 4 (a - b - c), a + b - 2 c.
PLUS_3: Final[Form] = (_ONE, (3, 0))
MINUS_3: Final[Form] = (_ONE, (-3, 0))
MINUS_12: Final[Form] = (_ONE, (-12, 0))
FOUR_MINUS_MINUS: Final[Form] = ((4, 0), (-4, 0), (-4, 0))
PLUS_MINUS_2: Final[Form] = (_ONE, _ONE, (-2, 0))
