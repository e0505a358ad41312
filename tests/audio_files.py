"""Audio files made on the spot: good ones in every accepted format, and each way of being bad."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np

RATE = 48_000
FORMATS: dict[str, tuple[str, str, str]] = {
    # name: FFmpeg muxer, encoder, sample format
    "opus.ogg": ("ogg", "libopus", "flt"),
    "flac.ogg": ("ogg", "flac", "s16"),
    "flac": ("flac", "flac", "s16"),
    "wav": ("wav", "pcm_s16le", "s16"),
    "f32.wav": ("wav", "pcm_f32le", "flt"),
    "mp3": ("mp3", "libmp3lame", "fltp"),
    "aac.m4a": ("mp4", "aac", "fltp"),
    "alac.m4a": ("mp4", "alac", "s16p"),
    "opus.webm": ("webm", "libopus", "flt"),
    "aac.mka": ("matroska", "aac", "fltp"),
    "adts": ("adts", "aac", "fltp"),
    "aiff": ("aiff", "pcm_s16be", "s16"),
}


def tone(seconds: float, *, volume: float = 0.5) -> np.ndarray:
    """A stereo chord with a little noise, as (samples, 2) float32."""
    t = np.arange(int(seconds * RATE)) / RATE
    noise = np.random.default_rng(7).normal(0, 0.02, t.size)
    mono = np.sin(2 * np.pi * 220 * t) * 0.6 + np.sin(2 * np.pi * 331 * t) * 0.3 + noise
    return np.stack([mono, mono * 0.8], axis=1).astype(np.float32) * volume


def encode(path: Path, samples: np.ndarray, kind: str) -> Path:
    """Write `samples` to `path` in one of FORMATS."""
    muxer, encoder, sample_format = FORMATS[kind]
    resampler = av.AudioResampler(format=sample_format, layout="stereo", rate=RATE)
    with av.open(str(path), "w", format=muxer) as out:
        stream: Any = out.add_stream(encoder, rate=RATE, layout="stereo")
        size = 960 if encoder == "libopus" else 1_152 if encoder == "libmp3lame" else 1_024
        for at in range(0, len(samples), size):
            block = np.ascontiguousarray(samples[at : at + size].reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(block, format="flt", layout="stereo")
            frame.sample_rate, frame.pts = RATE, at
            for converted in resampler.resample(frame):
                out.mux(stream.encode(converted))
        out.mux(stream.encode(None))
    return path


def good(folder: Path, kind: str = "flac", seconds: float = 3.0) -> Path:
    """An acceptable file."""
    return encode(folder / f"good.{kind}", tone(seconds), kind)


def changed(path: Path, change: Callable[[bytes], bytes]) -> Path:
    """A copy of `path` with other bytes."""
    target = path.with_name("changed-" + path.name)
    target.write_bytes(change(path.read_bytes()))
    return target


def truncated(path: Path, keep: float = 0.6) -> Path:
    """A copy that stops early."""
    return changed(path, lambda raw: raw[: int(len(raw) * keep)])


def corrupted(path: Path, length: int = 64) -> Path:
    """A copy with bytes in the middle overwritten."""
    rng = np.random.default_rng(11)

    def damage(raw: bytes) -> bytes:
        middle = len(raw) // 2
        return raw[:middle] + rng.bytes(length) + raw[middle + length :]

    return changed(path, damage)


def random_bytes(folder: Path, size: int = 200_000, seed: int = 3) -> Path:
    """Noise that is no file format at all."""
    path = folder / "random.bin"
    path.write_bytes(np.random.default_rng(seed).bytes(size))
    return path


def endless(folder: Path, seconds: int) -> Path:
    """Hours in a small file, which is what a bomb looks like: a click a second at 8 kHz."""
    path, rate = folder / "endless.flac", 8_000
    second = np.zeros((1, rate), dtype=np.int16)
    second[0, ::rate] = 30_000
    with av.open(str(path), "w", format="flac") as out:
        stream: Any = out.add_stream("flac", rate=rate, layout="mono")
        for number in range(seconds):
            frame = av.AudioFrame.from_ndarray(second, format="s16", layout="mono")
            frame.sample_rate, frame.pts = rate, number * rate
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path
