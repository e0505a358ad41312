"""Load the tower's source again over another backend.

`kernels.bn254.tower` is written over the operations of `kernels.bn254.scalar`. Here each of its
modules is executed once more under another package's name, its imports of the backend and of itself
led to the other backend and package. So there is one source to read and to correct, and two machine
codes.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

BACKEND: Final = "kernels.bn254.scalar"
TOWER: Final = "kernels.bn254.tower"
FRAMES: Final = "kernels.bn254.llvm"
# In the order in which they import each other.
MODULES: Final = ("fp2", "fp6", "fp12", "g1", "final", "miller")


class _Imports(ast.NodeTransformer):
    def __init__(self, backend: str, package: str, frames: str) -> None:
        self._modules = {BACKEND: backend, FRAMES: frames}
        self._package = package

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        module = node.module or ""
        if module in self._modules:
            node.module = self._modules[module]
        elif module.startswith(TOWER + "."):
            node.module = self._package + module.removeprefix(TOWER)
        return node


def specialise(backend: str, package: str, frames: str = FRAMES) -> dict[str, ModuleType]:
    """The tower's modules by name, over a backend's module, as modules of `package`; loaded once.

    frames: the module that gives `stack` and `noinline`.
    """
    return {name: _load(name, _Imports(backend, package, frames), package) for name in MODULES}


def _load(name: str, imports: _Imports, package: str) -> ModuleType:
    full = f"{package}.{name}"
    if full in sys.modules:
        return sys.modules[full]
    file = Path(__file__).parent / "tower" / f"{name}.py"
    tree = imports.visit(ast.parse(file.read_text(), str(file)))
    module = ModuleType(full)
    module.__file__ = str(file)
    sys.modules[full] = module
    exec(compile(tree, str(file), "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    return module
