"""snarkjs's files and lines of cases, read within limits; a verdict whatever they hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from deployments.launcher.server import LaunchError
from kernels.groth16 import (
    EACH_AT_ONCE,
    Malformed,
    Proof,
    PublicSignals,
    Verdict,
    VerifyingKey,
    parse_key,
    parse_proof,
    parse_signals,
    verify,
    verify_each,
)

MAX_FILE_BYTES = 1 << 20
MAX_LINE_BYTES = 1 << 18
TOO_LONG = b"too long"  # which is no JSON

Parsed = tuple[Proof, PublicSignals]


def read_key(path: Path) -> VerifyingKey:
    """The key of the file, checked. Raises Malformed with the code that refuses it, LaunchError."""
    return parse_key(_read(path))


def judge_files(key: VerifyingKey, proof: Path, public: Path) -> Verdict:
    """The verdict on a proof.json with its public.json. Raises LaunchError."""
    try:
        return verify(key, *_parsed(_decoded(_read(proof)), _decoded(_read(public))))
    except Malformed as error:
        return error.verdict


def judge_cases(key: VerifyingKey, path: Path) -> Iterator[Verdict]:
    """A verdict for each line `{"proof": …, "publicSignals": […]}`. Raises LaunchError."""
    try:
        with path.open("rb") as file:
            lines = _lines(file)
            while some := list(islice(lines, EACH_AT_ONCE)):
                yield from _judge_lines(key, some)
    except OSError as error:
        raise LaunchError(f"{path} cannot be read: {error.strerror}") from error


def _judge_lines(key: VerifyingKey, lines: Sequence[bytes]) -> list[Verdict]:
    read = [_parsed_line(line) for line in lines]
    parsed = [pair for pair in read if not isinstance(pair, Verdict)]
    found = iter(verify_each(key, [proof for proof, _ in parsed], [public for _, public in parsed]))
    return [pair if isinstance(pair, Verdict) else next(found) for pair in read]


def _parsed_line(line: bytes) -> Parsed | Verdict:
    """The proof and the signals of a line, or why it has none."""
    try:
        case = _decoded(line)
        if not isinstance(case, dict) or not case.keys() >= {"proof", "publicSignals"}:
            return Verdict.MALFORMED
        return _parsed(case["proof"], case["publicSignals"])
    except Malformed as error:
        return error.verdict


def _parsed(proof: Any, signals: Any) -> Parsed:
    """What a file or a line decoded to, parsed. Raises Malformed."""
    if not isinstance(proof, dict) or not isinstance(signals, list):
        raise Malformed(Verdict.MALFORMED, "not an object and a list")
    return parse_proof(proof), parse_signals(signals)


def _decoded(text: bytes) -> Any:
    """The JSON value. Raises Malformed: also for one nested too deeply, or a number too long."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Malformed(Verdict.MALFORMED, "not JSON") from None


def _read(path: Path) -> bytes:
    """The file's bytes, or so many that it is certainly too long. Raises Malformed, LaunchError."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise LaunchError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise Malformed(Verdict.MALFORMED, "too long")
    return content


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Each line, or TOO_LONG in place of one that is.

    Blank lines at the end are left out; elsewhere they count, so that verdicts stay beside lines.
    """
    blank = 0
    while line := file.readline(MAX_LINE_BYTES):
        if _is_cut(line):
            while _is_cut(file.readline(MAX_LINE_BYTES)):
                pass
            line = TOO_LONG
        if line.strip():
            yield from [b""] * blank
            yield line
            blank = 0
        else:
            blank += 1


def _is_cut(line: bytes) -> bool:
    return len(line) == MAX_LINE_BYTES and not line.endswith(b"\n")
