"""Only pinned files are used: any other content, size, name or version is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from integrations import proof_artifacts
from integrations.proof_artifacts import ArtifactError, UnknownVersion, load

FILES = {"listen.wasm": b"wasm", "listen.zkey": b"zkey", "verification_key.json": b'{"IC": []}'}


def write(folder: Path, versions: dict[str, dict[str, bytes]]) -> Path:
    pins: dict[str, dict[str, dict[str, object]]] = {}
    for version, files in versions.items():
        (folder / version).mkdir(parents=True)
        for name, content in files.items():
            (folder / version / name).write_bytes(content)
            pin: dict[str, object] = {
                "sha256": hashlib.sha256(content).hexdigest(),
                "bytes": len(content),
            }
            pins.setdefault(version, {})[name] = pin
    (folder / "pins.json").write_text(json.dumps(pins))
    return folder


def test_keys_are_found_by_version(tmp_path: Path) -> None:
    newer = {**FILES, "verification_key.json": b"other"}
    artifacts = load(write(tmp_path, {"listen-v1": FILES, "listen-v2": newer}))
    assert artifacts.versions == ("listen-v1", "listen-v2")
    assert artifacts.verification_key("listen-v1") == b'{"IC": []}'
    assert artifacts.verification_key("listen-v2") == b"other"
    assert artifacts.path("listen-v1", "listen.zkey").read_bytes() == b"zkey"


@pytest.mark.parametrize("version", ["listen-v3", "", "../listen-v1", "LISTEN-V1"])
def test_unknown_version(tmp_path: Path, version: str) -> None:
    artifacts = load(write(tmp_path, {"listen-v1": FILES}))
    with pytest.raises(UnknownVersion):
        artifacts.verification_key(version)
    with pytest.raises(UnknownVersion):
        artifacts.path(version, "listen.zkey")


@pytest.mark.parametrize("name", ["listen.r1cs", "../pins.json", ""])
def test_a_path_is_only_that_of_a_pinned_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnknownVersion):
        load(write(tmp_path, {"listen-v1": FILES})).path("listen-v1", name)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", ["one-bit", "longer", "shorter", "missing"])
def test_any_other_file_is_refused(tmp_path: Path, name: str, change: str) -> None:
    path = write(tmp_path, {"listen-v1": FILES}) / "listen-v1" / name
    content = FILES[name]
    if change == "missing":
        path.unlink()
    else:
        flipped = bytes([content[0] ^ 1]) + content[1:]
        changed = {"one-bit": flipped, "longer": content + b" ", "shorter": content[:-1]}
        path.write_bytes(changed[change])
    with pytest.raises(ArtifactError, match=name):
        load(tmp_path)


@pytest.mark.parametrize("field", ["sha256", "bytes"])
def test_a_wrong_pin_is_refused(tmp_path: Path, field: str) -> None:
    path = write(tmp_path, {"listen-v1": FILES}) / "pins.json"
    pins = json.loads(path.read_text())
    pins["listen-v1"]["listen.wasm"][field] = {"sha256": "0" * 64, "bytes": 5}[field]
    path.write_text(json.dumps(pins))
    with pytest.raises(ArtifactError, match=r"listen\.wasm"):
        load(tmp_path)


@pytest.mark.parametrize(
    "pins",
    [
        "{",
        "[]",
        '{"listen-v1": {"verification_key.json": {"sha256": "00"}}}',
        '{"listen-v1": {}}',
        '{"..": {}}',
        '{"listen-v1": {"../../x": {"sha256": "00", "bytes": 1}}}',
        '{"a/b": {}}',
    ],
)
def test_faulty_pins_are_refused(tmp_path: Path, pins: str) -> None:
    (tmp_path / "pins.json").write_text(pins)
    with pytest.raises(ArtifactError):
        load(tmp_path)


def test_no_pins_at_all(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"pins\.json"):
        load(tmp_path)


def test_a_file_over_the_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"listen-v1": FILES})
    monkeypatch.setattr(proof_artifacts, "MAX_FILE_BYTES", 3)
    with pytest.raises(ArtifactError, match="larger"):
        load(tmp_path)
