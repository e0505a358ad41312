"""`python -m benchmarks NAME` runs benchmarks/NAME.py; without a name it lists them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The modules here that are benchmarks: they have a `main`."""
    files = sorted(FOLDER.glob("[a-z]*.py"))
    return [file.stem for file in files if "\ndef main() -> None:" in file.read_text("utf-8")]


def run(arguments: list[str]) -> int:
    """The exit status."""
    known = names()
    if len(arguments) != 1 or arguments[0] not in known:
        print(f"Say which: make bench NAME={'|'.join(known)}", file=sys.stderr)
        return 2
    importlib.import_module(f"benchmarks.{arguments[0]}").main()
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
