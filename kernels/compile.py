"""The decorator that compiles a kernel: Numba's `njit`, cached on disk by what the sources say.

Numba's own cache notices an edit only in the file of the function itself, so code inlined from an
imported module stays as it was, and stale code runs. It also files code by the absolute path, so a
copy of the same program compiles again. Here each kernel, `kernels/<name>`, has a folder named by a
hash of its sources and of those of every kernel that it reaches: an edit opens a new folder for
whatever it may change and leaves the rest warm, and all copies of one version share theirs.

The cache holds machine code that is trusted as it is read: its folder is the user's alone.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, UserProvidedCacheLocator

CACHE_VARIABLE = "VIBESTREAM_KERNEL_CACHE"
SOURCES = Path(__file__).parent
HASH_DIGITS = 16
_MENTION = re.compile(r"\bkernels\.(\w+)")

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def njit(**options: Any) -> Callable[[Kernel], Kernel]:
    """Compile to machine code when first called, or load it from the cache; the GIL is released.

    options: as `numba.njit` takes them. With NUMBA_DISABLE_JIT=1 the function stays plain Python;
    where the cache's folder cannot be written it compiles in every process.
    """

    def decorate(function: Kernel) -> Kernel:
        compiled: Any = numba.njit(nogil=True, **options)(function)
        if hasattr(compiled, "enable_caching") and _folder_of(function) is not None:
            compiled._cache = _Cache(function)  # type: ignore[no-untyped-call]
        return compiled  # type: ignore[no-any-return]

    return decorate


def inner(**options: Any) -> Callable[[Kernel], Kernel]:
    """Compile what only other kernels call: it has no way in from Python, and no file of its own.

    That is most of what a small function takes to compile. Tests call it with NUMBA_DISABLE_JIT=1.
    """
    wrappers: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    decorate: Callable[[Kernel], Kernel] = numba.njit(nogil=True, **wrappers, **options)
    return decorate


@cache
def cache_folder(kernel: str) -> Path | None:
    """Where the machine code of `kernels/<kernel>` is kept; None where nothing can be written."""
    folder = _base() / kernel / source_hash(SOURCES, reached(SOURCES, kernel))
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


def _folder_of(function: Callable[..., Any]) -> Path | None:
    """Where its code is kept; None for what is not below `kernels/`, whose sources no hash sees."""
    package, _, rest = function.__module__.partition(".")
    return cache_folder(rest.partition(".")[0]) if package == SOURCES.name else None


def is_cold(folder: Path | None) -> bool:
    """Whether nothing of this version was compiled yet: the first call of each kernel will take
    seconds."""
    return folder is None or next(folder.rglob("*.nbi"), None) is None


def reached(folder: Path, kernel: str) -> list[str]:
    """A kernel and all that its sources name as `kernels.<name>`, and theirs; sorted.

    A name in a comment or a string counts: it costs a compilation at most.
    """
    found, open_ends = {kernel, Path(__file__).stem}, [kernel]
    while open_ends:
        for file in _sources(folder, open_ends.pop()):
            named = set(_MENTION.findall(file.read_text("utf-8"))) - found
            found |= named
            open_ends += named
    return sorted(found)


def source_hash(folder: Path, kernels: Iterable[str]) -> str:
    """A name for the sources of kernels: changes with any name or byte of theirs."""
    digest = hashlib.sha256()
    for kernel in kernels:
        for file in _sources(folder, kernel):
            for part in (file.relative_to(folder).as_posix().encode(), file.read_bytes()):
                digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:HASH_DIGITS]


def _sources(folder: Path, kernel: str) -> list[Path]:
    """The files of `<kernel>/` and `<kernel>.py`, whichever there are."""
    alone = folder / f"{kernel}.py"
    return sorted([*(folder / kernel).rglob("*.py"), *([alone] if alone.exists() else [])])


def _base() -> Path:
    if given := os.environ.get(CACHE_VARIABLE):
        return Path(given)
    user = os.environ.get("XDG_CACHE_HOME")
    return (Path(user) if user else Path.home() / ".cache") / "vibestream" / "kernels"


class _Locator(UserProvidedCacheLocator):
    """Files a function below the version's folder, by its module's path within the kernels."""

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        folder = _folder_of(function)
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
