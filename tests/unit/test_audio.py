"""What the decoder of uploads accepts and why it refuses, on files made on the spot."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from integrations.audio import ROOT, ProcessInspector, _verdict
from integrations.audio_probe import describe, inspect
from integrations.audio_sniff import is_whole, sniff
from messages import music
from messages.errors import Overloaded, Unavailable
from tests import audio_files

ACCEPTED = [kind for kind in audio_files.FORMATS if kind not in {"adts", "aiff"}]
# Formats in which a checksum or a clock betrays sixty-four changed bytes.
CHECKED = ["opus.ogg", "flac.ogg", "flac", "aac.m4a", "alac.m4a"]


@pytest.mark.parametrize("kind", ACCEPTED)
def test_good_files(tmp_path: Path, kind: str) -> None:
    facts = inspect(audio_files.good(tmp_path, kind))
    assert abs(facts.duration_ms - 3_000) <= 30
    assert (facts.sample_rate, facts.channels) == (48_000, 2)
    assert facts.codec in kind or facts.codec == "pcm"
    assert -8 < facts.peak_db < 0


@pytest.mark.parametrize("kind", ACCEPTED)
@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9])
def test_cut_files(tmp_path: Path, kind: str, keep: float) -> None:
    with pytest.raises(music.TruncatedAudio):
        inspect(audio_files.truncated(audio_files.good(tmp_path, kind), keep))


@pytest.mark.parametrize("kind", CHECKED)
def test_damaged_files(tmp_path: Path, kind: str) -> None:
    with pytest.raises(music.CorruptAudio):
        inspect(audio_files.corrupted(audio_files.good(tmp_path, kind)))


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_are_not_audio(tmp_path: Path, seed: int) -> None:
    with pytest.raises(music.UnreadableAudio):
        inspect(audio_files.random_bytes(tmp_path, 20_000, seed))


SIGNATURES = [
    b"\xff\xfb\x90\x64",
    b"ID3\x04\x00\x00\x00\x00\x00\x00",
    b"RIFF\xff\xff\xff\xffWAVE",
    b"\x00\x00\x00\x18ftypM4A ",
    b"\x1aE\xdf\xa3",
    b"fLaC",
]


@pytest.mark.parametrize("signature", SIGNATURES)
def test_a_signature_before_noise_does_not_help(tmp_path: Path, signature: bytes) -> None:
    file = tmp_path / "noise"
    file.write_bytes(signature + np.random.default_rng(5).bytes(50_000))
    with pytest.raises(music.AudioRefused):
        inspect(file)


@pytest.mark.parametrize("kind", ["adts", "aiff"])
def test_formats_that_are_not_accepted(tmp_path: Path, kind: str) -> None:
    with pytest.raises(music.UnsupportedAudio):
        inspect(audio_files.good(tmp_path, kind))


def test_a_film_is_not_a_song(tmp_path: Path) -> None:
    import av

    file = tmp_path / "film.mp4"
    with av.open(str(file), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(10):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with pytest.raises(music.UnsupportedAudio):
        inspect(file)


def test_an_id3_tag_before_the_music_is_skipped(tmp_path: Path) -> None:
    tag = b"ID3\x04\x00\x00\x00\x00\x02\x00" + bytes(256)
    file = audio_files.changed(audio_files.good(tmp_path, "mp3"), lambda raw: tag + raw)
    assert inspect(file).codec == "mp3"


@pytest.mark.parametrize(("volume", "silent"), [(0.0, True), (0.0005, True), (0.01, False)])
def test_silence(tmp_path: Path, volume: float, silent: bool) -> None:
    file = audio_files.encode(tmp_path / "a.flac", audio_files.tone(2, volume=volume), "flac")
    if silent:
        with pytest.raises(music.SilentAudio):
            inspect(file)
    else:
        assert inspect(file)


def test_samples_that_are_not_numbers(tmp_path: Path) -> None:
    samples = audio_files.tone(2)
    samples[50_000] = np.nan
    with pytest.raises(music.UnreadableAudio):
        inspect(audio_files.encode(tmp_path / "nan.wav", samples, "f32.wav"))


@pytest.mark.parametrize(("seconds", "code"), [(0.95, "audio-too-short"), (1.0, None)])
def test_the_shortest_song(tmp_path: Path, seconds: float, code: str | None) -> None:
    file = audio_files.encode(tmp_path / "short.flac", audio_files.tone(seconds), "flac")
    assert describe(file).get("refused") == code


def test_an_hour_is_the_longest(tmp_path: Path) -> None:
    assert inspect(audio_files.endless(tmp_path, 3_600)).duration_ms == 3_600_000
    with pytest.raises(music.AudioTooLong):
        inspect(audio_files.endless(tmp_path, 3_601))


def test_an_empty_file(tmp_path: Path) -> None:
    file = tmp_path / "empty"
    file.touch()
    with pytest.raises(music.EmptyAudio):
        inspect(file)


def test_every_cut_of_an_ogg_file_is_seen(tmp_path: Path) -> None:
    raw = audio_files.good(tmp_path, "opus.ogg", 1.2).read_bytes()
    cut = tmp_path / "cut"
    for keep in range(1, len(raw), 97):
        cut.write_bytes(raw[:keep])
        with cut.open("rb") as file:
            assert not is_whole("ogg", file), keep
    for page in range(1, len(raw)):  # also where a cut leaves whole pages
        if raw[page : page + 4] == b"OggS":
            cut.write_bytes(raw[:page])
            with cut.open("rb") as file:
                assert not is_whole("ogg", file), page
    with audio_files.good(tmp_path, "opus.ogg", 1.2).open("rb") as file:
        assert is_whole("ogg", file)
        assert sniff(file)[0] == "ogg"


def probe(*arguments: str) -> dict[str, object]:
    command = [sys.executable, "-m", "integrations.audio_probe", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=60)
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def test_the_worker_limits_itself(tmp_path: Path) -> None:
    script = (
        "import resource, integrations.audio_probe as p; p.limit_self();"
        "print([resource.getrlimit(r)[0] for r in (resource.RLIMIT_CPU, resource.RLIMIT_AS,"
        " resource.RLIMIT_FSIZE)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True, timeout=60
    )
    assert json.loads(done.stdout) == [60, 2 * 1024**3, 64 * 1024]
    assert "facts" in probe(str(audio_files.good(tmp_path)))


async def test_the_inspector_speaks_for_its_worker(tmp_path: Path) -> None:
    inspector = ProcessInspector()
    assert (await inspector.inspect(audio_files.good(tmp_path))).codec == "flac"
    with pytest.raises(music.TruncatedAudio) as refused:
        await inspector.inspect(audio_files.truncated(audio_files.good(tmp_path)))
    assert refused.value.params["promised_ms"] == 3_000
    assert refused.value.detail == music.TruncatedAudio.__doc__


async def test_the_inspector_has_a_bounded_queue(tmp_path: Path) -> None:
    inspector = ProcessInspector(workers=0, queue=0)
    with pytest.raises(Overloaded):
        await inspector.inspect(tmp_path)


@pytest.mark.parametrize(
    ("status", "output", "error"),
    [
        (-24, b"", music.AudioTooComplex),  # SIGXCPU
        (-9, b"", music.AudioTooComplex),
        (-11, b"", music.AudioTooComplex),  # a decoder that crashed
        (1, b"Traceback", Unavailable),
        (0, b'{"refused":"silent-audio","params":{}}', music.SilentAudio),
    ],
)
def test_how_a_worker_may_end(status: int, output: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        _verdict(status, output)
