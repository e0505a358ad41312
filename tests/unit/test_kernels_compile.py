"""The kernels' compile cache: an edit opens a folder for what it reaches; nothing stale runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kernels.compile import CACHE_VARIABLE, SOURCES, is_cold, reached, source_hash

INNER = """from kernels.compile import njit
@njit()
def inner(x):
    return x + {}
"""
OUTER = """from kernels.compile import njit
from kernels.deep.inner import inner
@njit()
def outer(x):
    return 2 * inner(x)
"""
# Prints the answer, and how many signatures came from the disk (plain functions have no counter).
CALL = """from kernels.outer import outer
print(outer(20), sum(outer.stats.cache_hits.values()) if hasattr(outer, "stats") else "plain")"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program of two kernels, one inlined in the other's file, beside the real decorator."""
    kernels = tmp_path / "program" / "kernels"
    (kernels / "deep").mkdir(parents=True)
    shutil.copy(SOURCES / "compile.py", kernels)
    (kernels / "deep" / "inner.py").write_text(INNER.format(1), "utf-8")
    (kernels / "outer.py").write_text(OUTER, "utf-8")
    return kernels.parent


def call(program: Path, cache: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", CALL],
        cwd=program,
        env=os.environ | {CACHE_VARIABLE: str(cache)} | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout.strip()


def test_an_edit_in_an_imported_kernel_is_not_stale(program: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert is_cold(cache)
    assert call(program, cache) == "42 0"
    assert not is_cold(cache)
    assert call(program, cache) == "42 1"
    (program / "kernels" / "deep" / "inner.py").write_text(INNER.format(2), "utf-8")
    assert call(program, cache) == "44 0"
    assert len(list((cache / "outer").iterdir())) == 2


def test_an_edit_elsewhere_leaves_the_code_warm(program: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    call(program, cache)
    (program / "kernels" / "other.py").write_text("changed = True", "utf-8")
    assert call(program, cache) == "42 1"


def test_what_a_kernel_reaches(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "own.py").write_text("import kernels.field.words", "utf-8")
    (tmp_path / "field.py").write_text("from kernels.deep.own import x", "utf-8")
    (tmp_path / "apart.py").write_text("from kernels.deep import own", "utf-8")
    assert reached(tmp_path, "deep") == reached(tmp_path, "field") == ["compile", "deep", "field"]
    assert reached(tmp_path, "apart") == ["apart", "compile", "deep", "field"]


def test_copies_of_a_version_share_its_code(program: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    call(program, cache)
    assert call(Path(shutil.copytree(program, tmp_path / "copy")), cache) == "42 1"


def test_without_compiling(program: Path, tmp_path: Path) -> None:
    assert call(program, tmp_path / "cache", NUMBA_DISABLE_JIT="1") == "42 plain"


def test_a_folder_that_cannot_be_made_costs_only_the_cache(program: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", "utf-8")
    assert call(program, tmp_path / "file" / "cache") == "42 0"
    assert is_cold(None)


def test_the_hash_changes_with_each_name_and_byte(tmp_path: Path) -> None:
    def of(files: dict[str, str]) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, "utf-8")
        return source_hash(folder, ["a", "b"])

    same = {"a.py": "1", "b/c.py": "2"}
    assert of(same) == of(same) == of(same | {"a.txt": "not a source"})
    others = [{"a.py": "1"}, {"a.py": "1", "b/d.py": "2"}, {"a.py": "1", "b/c.py": "3"}]
    others.append({"a.py": "1b/c.py2"})
    assert len({of(files) for files in [same, *others]}) == 5
