"""`vibestream proof verify` on snarkjs's files, and on what no tool would write."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from deployments.cli import app
from deployments.commands import proof_files
from deployments.launcher.server import LaunchError
from tests.unit import groth16_vectors as vectors

KEY = vectors.key_file("public9")
HONEST = vectors.proofs("public9")
DEEP = b"[" * 200_000 + b"]" * 200_000


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["proof", "verify", *map(str, arguments)])


def said(result: Result) -> tuple[list[str], int]:
    return result.stdout.splitlines(), result.exit_code


def files(folder: Path, proof: bytes, public: bytes) -> list[str | Path]:
    (folder / "proof.json").write_bytes(proof)
    (folder / "public.json").write_bytes(public)
    return ["--proof", folder / "proof.json", "--public", folder / "public.json"]


def judged(folder: Path, lines: Sequence[bytes], end: bytes = b"\n") -> tuple[list[str], int]:
    (folder / "cases").write_bytes(b"\n".join(lines) + end)
    return said(run("--key", KEY, "--cases", folder / "cases"))


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize("circuit", vectors.CIRCUITS)
def test_snarkjs_files_are_valid(circuit: str, tmp_path: Path) -> None:
    case = vectors.proofs(circuit)[0]
    pair = files(tmp_path, as_json(case["proof"]), as_json(case["publicSignals"]))
    assert said(run("--key", vectors.key_file(circuit), *pair)) == (["valid"], 0)


def test_a_refusal_is_its_code_and_status_1(tmp_path: Path) -> None:
    case = next(one for one in vectors.tampered() if one["expected"] == "point-outside-subgroup")
    pair = files(tmp_path, as_json(case["proof"]), as_json(case["publicSignals"]))
    found = said(run("--key", vectors.key_file(case["key"]), *pair))
    assert found == (["point-outside-subgroup"], 1)


def test_a_line_of_cases_a_verdict(tmp_path: Path) -> None:
    cases = [one for one in vectors.tampered() if one["key"] == "public9"]
    lines, expected = [as_json(one) for one in HONEST], ["valid"] * len(HONEST)
    assert judged(tmp_path, lines) == (expected, 0)
    assert judged(tmp_path, lines, end=b"") == (expected, 0)
    assert judged(tmp_path, lines, end=b"\r\n\n  \n") == (expected, 0)
    expected += [one["expected"] for one in cases]
    assert len(set(expected)) > 6
    assert judged(tmp_path, lines + [as_json(one) for one in cases]) == (expected, 1)


def test_verdicts_stay_beside_their_lines_however_many(tmp_path: Path) -> None:
    """More lines than are verified at once, the bad ones at uneven places."""
    wrong = as_json(HONEST[0] | {"publicSignals": HONEST[1]["publicSignals"]})
    kinds = {0: (wrong, "pairing-failed"), 3: (b"{", "malformed"), 5: (b"", "malformed")}
    lines = [kinds.get(i % 11, (as_json(HONEST[i % len(HONEST)]), "valid")) for i in range(150)]
    assert judged(tmp_path, [line for line, _ in lines]) == ([code for _, code in lines], 1)


def test_no_cases_no_verdicts(tmp_path: Path) -> None:
    assert judged(tmp_path, [], end=b"") == ([], 0)


MALFORMED = {
    "blank": b"",
    "no JSON": b"{",
    "text": b"valid",
    "not UTF-8": b'{"proof": "\xff", "publicSignals": []}',
    "a list": b"[]",
    "no proof": as_json({"publicSignals": HONEST[0]["publicSignals"]}),
    "no signals": as_json({"proof": HONEST[0]["proof"]}),
    "signals in an object": as_json(HONEST[0] | {"publicSignals": {"0": "1"}}),
    "a proof as text": as_json(HONEST[0] | {"proof": json.dumps(HONEST[0]["proof"])}),
    "signals as text": as_json(HONEST[0] | {"publicSignals": "[]"}),
    "a float": as_json(HONEST[0] | {"publicSignals": [1.0] * 9}),
    "true": as_json(HONEST[0] | {"publicSignals": [True] * 9}),
    "null": as_json(HONEST[0] | {"publicSignals": [None] * 9}),
    "not a number": b'{"proof": {}, "publicSignals": [NaN]}',
    "hexadecimal": as_json(HONEST[0] | {"publicSignals": ["0x1"] * 9}),
    "negative": as_json(HONEST[0] | {"publicSignals": ["-1"] * 9}),
    "other digits": as_json(HONEST[0] | {"publicSignals": ["\u0663"] * 9}),
    "another protocol": as_json(HONEST[0] | {"proof": HONEST[0]["proof"] | {"protocol": "plonk"}}),
    "another curve": as_json(HONEST[0] | {"proof": HONEST[0]["proof"] | {"curve": "bls12381"}}),
    "a point of two": as_json(HONEST[0] | {"proof": HONEST[0]["proof"] | {"pi_a": ["1", "2"]}}),
    "not normalised": as_json(
        HONEST[0] | {"proof": HONEST[0]["proof"] | {"pi_a": ["1", "2", "2"]}}
    ),
    "deep": DEEP[:1000] + DEEP[-1000:],
    "deeper than a line may be long": DEEP,
    "deep signals": b'{"proof": {}, "publicSignals": ' + DEEP[150_000:250_000] + b"}",
    "a long number": b'{"proof": {}, "publicSignals": [' + b"9" * 100_000 + b"]}",
    "a long line": as_json(HONEST[0]) + b" " * proof_files.MAX_LINE_BYTES,
    "exactly one part long": b" " * (proof_files.MAX_LINE_BYTES - 1) + b"x",
}


def test_malformed_lines_do_not_disturb_their_neighbours(tmp_path: Path) -> None:
    lines, expected = [as_json(HONEST[0])], ["valid"]
    for line in MALFORMED.values():
        lines += [line, as_json(HONEST[1])]
        expected += ["malformed", "valid"]
    found, status = judged(tmp_path, lines)
    names = [name for name in MALFORMED for _ in "xy"]
    assert list(zip(names, found[1:], strict=True)) == list(zip(names, expected[1:], strict=True))
    assert status == 1


@pytest.mark.parametrize("limit", [1_000, 50_000])
def test_depth_is_malformed_whatever_the_recursion_limit(tmp_path: Path, limit: int) -> None:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(limit)
    try:
        assert judged(tmp_path, [b"[" * 100_000]) == (["malformed"], 1)
    finally:
        sys.setrecursionlimit(before)


@pytest.mark.parametrize("wrong", [b"", b"{}", b"[]", DEEP, b"1" * 2_000_000, b"\x00\xff"])
def test_malformed_files(tmp_path: Path, wrong: bytes) -> None:
    proof, public = as_json(HONEST[0]["proof"]), as_json(HONEST[0]["publicSignals"])
    assert said(run("--key", KEY, *files(tmp_path, wrong, public))) == (["malformed"], 1)
    if wrong != b"[]":
        assert said(run("--key", KEY, *files(tmp_path, proof, wrong))) == (["malformed"], 1)
    (tmp_path / "key.json").write_bytes(wrong)
    pair = files(tmp_path, proof, public)
    assert said(run("--key", tmp_path / "key.json", *pair)) == (["malformed"], 1)


def test_no_signals_are_too_few(tmp_path: Path) -> None:
    pair = files(tmp_path, as_json(HONEST[0]["proof"]), b"[]")
    assert said(run("--key", KEY, *pair)) == (["wrong-input-count"], 1)


@pytest.mark.parametrize("case", vectors.keys(), ids=lambda case: case["why"])
def test_a_bad_key_is_refused_whole(case: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "key.json").write_bytes(as_json(case["key"]))
    lines = [as_json(one) for one in vectors.proofs("public2")]
    (tmp_path / "cases").write_bytes(b"\n".join(lines))
    found = said(run("--key", tmp_path / "key.json", "--cases", tmp_path / "cases"))
    is_valid = case["expected"] == "valid"
    assert found == ((["valid"] * len(lines), 0) if is_valid else ([case["expected"]], 1))


@pytest.mark.parametrize("given", [[], ["--proof", "p"], ["--proof", "p", "--cases", "c"]])
def test_half_a_question_is_a_usage_error(given: list[str]) -> None:
    assert run("--key", KEY, *given).exit_code == 2


@pytest.mark.parametrize("absent", ["--key", "--proof", "--public", "--cases"])
def test_a_file_that_is_not_there_is_one_line_for_the_operator(tmp_path: Path, absent: str) -> None:
    proof, public = as_json(HONEST[0]["proof"]), as_json(HONEST[0]["publicSignals"])
    given = dict(zip(*[iter(files(tmp_path, proof, public))] * 2, strict=True))
    given = ({} if absent == "--cases" else given) | {"--key": KEY} | {absent: tmp_path / "none"}
    result = run(*[part for pair in given.items() for part in pair])
    assert isinstance(result.exception, LaunchError)
    assert "none cannot be read: No such file" in str(result.exception)


def test_who_waits_for_the_compiler_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pair = files(tmp_path, as_json(HONEST[0]["proof"]), as_json(HONEST[0]["publicSignals"]))
    for is_cold in (True, False):
        monkeypatch.setattr("kernels.compile.is_cold", lambda _folder, cold=is_cold: cold)
        result = run("--key", KEY, *pair)
        assert said(result) == (["valid"], 0)
        assert ("compiling" in result.stderr) is is_cold


def test_in_a_process_of_its_own(tmp_path: Path) -> None:
    """Nothing but verdicts on the standard output, and a complaint is one line beside it."""
    (tmp_path / "cases").write_bytes(as_json(HONEST[0]) + b"\n" + DEEP + b"\n" + as_json(HONEST[1]))
    command = [sys.executable, "-m", "deployments.cli", "proof", "verify", "--key", str(KEY)]

    def done(cases: str) -> tuple[str, str, int]:
        ended = subprocess.run(
            [*command, "--cases", str(tmp_path / cases)],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return ended.stdout, ended.stderr, ended.returncode

    assert done("cases") == ("valid\nmalformed\nvalid\n", "", 1)
    out, complaint, status = done("none")
    assert (out, status) == ("", 1)
    assert complaint.startswith("error: ")
    assert complaint.count("\n") == 1
