"""Compiles the kernels into the user's cache, once for each version of them, and says what it does.

`make run` runs it before the actors start, so that none of them waits for a compiler: from nothing
it takes a minute or so, with a warm cache a second. It speaks as the engine does: `step <what>`.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Compile all that the actors use."""
    from deployments.composition.kernels import load_hashes
    from kernels import groth16, matching, twap

    _say("hashes and trees")
    load_hashes()
    _say("averages over time")
    twap.compile_all()
    groth16.compile_all(_say)
    _say("matching of orders")
    matching.compile_all()
    return 0


def _say(what: str) -> None:
    print(f"step compiled kernels: {what}", flush=True)  # noqa: T201 - the protocol with the parent process


if __name__ == "__main__":
    sys.exit(main())
