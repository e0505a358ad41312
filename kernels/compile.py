"""The decorator that compiles a kernel: Numba's `njit`, cached on disk by what the sources say.

Numba's own cache notices an edit only in the file of the function itself, so code inlined from an
imported module stays as it was, and stale code runs. It also files code by the absolute path, so a
copy of the same program compiles again. Here the cache is a folder named by a hash of every source
below `kernels/`: any edit opens a new folder, and all copies of one version share theirs.

The cache holds machine code that is trusted as it is read: its folder is the user's alone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, UserProvidedCacheLocator

CACHE_VARIABLE = "VIBESTREAM_KERNEL_CACHE"
SOURCES = Path(__file__).parent
HASH_DIGITS = 16

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def njit(**options: Any) -> Callable[[Kernel], Kernel]:
    """Compile to machine code when first called, or load it from the cache; the GIL is released.

    options: as `numba.njit` takes them. With NUMBA_DISABLE_JIT=1 the function stays plain Python;
    where the cache's folder cannot be written it compiles in every process.
    """

    def decorate(function: Kernel) -> Kernel:
        compiled: Any = numba.njit(nogil=True, **options)(function)
        if hasattr(compiled, "enable_caching") and cache_folder() is not None:
            compiled._cache = _Cache(function)  # type: ignore[no-untyped-call]
        return compiled  # type: ignore[no-any-return]

    return decorate


@cache
def cache_folder() -> Path | None:
    """Where this version's machine code is kept; None where nothing can be written."""
    folder = _base() / source_hash(SOURCES)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


def is_cold(folder: Path | None) -> bool:
    """Whether nothing of this version was compiled yet: the first call of each kernel will take
    seconds."""
    return folder is None or next(folder.rglob("*.nbi"), None) is None


def source_hash(folder: Path) -> str:
    """A name for the sources below the folder: changes with any name or byte of a .py file."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        for part in (file.relative_to(folder).as_posix().encode(), file.read_bytes()):
            digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:HASH_DIGITS]


def _base() -> Path:
    if given := os.environ.get(CACHE_VARIABLE):
        return Path(given)
    user = os.environ.get("XDG_CACHE_HOME")
    return (Path(user) if user else Path.home() / ".cache") / "vibestream" / "kernels"


class _Locator(UserProvidedCacheLocator):
    """Files a function below the version's folder, by its module's path within the kernels."""

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        folder = cache_folder()
        assert folder is not None, "without a folder there is no cache"
        self._stamp = folder.name
        self._py_file = file
        self._lineno = function.__code__.co_firstlineno
        module = function.__module__
        self._cache_path = str(folder / module.rpartition(".")[0])

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> _Locator:
        self = cls(function, file)
        self.ensure_cache_path()  # type: ignore[no-untyped-call]
        return self

    def get_source_stamp(self) -> str:
        return self._stamp


class _Implementation(CompileResultCacheImpl):
    _locator_classes = [_Locator]  # noqa: RUF012


class _Cache(FunctionCache):
    _impl_class = _Implementation
