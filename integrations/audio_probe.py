"""Decode one untrusted file from end to end and say what it is. Runs in a process of its own.

    python -m integrations.audio_probe FILE

prints one line of JSON: {"facts": {…}} or {"refused": code, "params": {…}}. The process limits its
own processor time, memory, open files and output before it touches the file, so that a hostile one
costs a worker and nothing else. Exit status 0 in both cases; anything else is a crash.
"""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from domain.music import POLICY
from integrations.audio_sniff import is_whole, mp3_has_length, sniff
from messages import music

CPU_SECONDS = 60  # an hour of 48 kHz stereo takes 4 to 7, by codec
ADDRESS_SPACE_BYTES = 2 * 1024**3
OPEN_FILES = 64
OUTPUT_BYTES = 64 * 1024
GAP_MS = 5  # the smallest hole worth the name; containers round their times to a millisecond
# How much shorter than its header's promise a whole file may decode: encoders pad, players skip.
TOLERANCE_MS = {"flac": 1, "alac": 1, "pcm": 1, "aac": 100}
TOLERANCE_OTHERS_MS = 60
CODECS = {
    "opus": "opus", "vorbis": "vorbis", "flac": "flac", "mp3": "mp3", "mp3float": "mp3",
    "aac": "aac", "alac": "alac",
}  # fmt: skip
CONTENT_TYPES = {
    "ogg": "audio/ogg", "flac": "audio/flac", "wav": "audio/wav", "mp3": "audio/mpeg",
    "mov": "audio/mp4", "matroska": "audio/webm",
}  # fmt: skip
# Damage that FFmpeg would paper over is an error here.
STRICT = {"err_detect": "crccheck+bitstream+buffer+explode"}


class AudioFacts(msgspec.Struct, frozen=True):
    """What is known of an accepted file. `duration_ms` is of the decoded samples."""

    duration_ms: int
    codec: str
    content_type: str
    sample_rate: int
    channels: int
    peak_db: float
    rms_db: float


class Measure:
    """What decoding has shown so far. Full scale is 1; `samples` are of one channel."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.samples = 0
        self.peak = 0.0
        self.packets = 0
        self.damaged: list[int] = []  # their numbers
        self.gap_ms = 0.0
        self._power = 0.0
        self._values = 0
        self._first_time: float | None = None

    def add(self, frame: Any) -> None:
        """Take in a decoded frame. Raises UnreadableAudio if it holds what is not a number."""
        import numpy as np

        values = frame.to_ndarray()
        if values.dtype == np.uint8:
            values = (values.astype(np.float32) - 128) / 128
        elif values.dtype.kind == "i":
            values = values.astype(np.float32) / -float(np.iinfo(values.dtype).min)
        flat = values.ravel()
        with np.errstate(all="ignore"):
            power = float(np.dot(flat, flat))
        if not math.isfinite(power):
            raise music.UnreadableAudio
        self._power += power
        self._values += flat.size
        self.peak = max(self.peak, float(flat.max()), -float(flat.min()))
        self._look_for_gap(frame)
        self.samples += frame.samples

    def _look_for_gap(self, frame: Any) -> None:
        """Demuxers drop what fails its checksum without a word, but the clock then runs ahead.

        Drift since the first frame, not the step between two: Vorbis steps are uneven.
        """
        if frame.time is None:
            return
        if self._first_time is None:
            self._first_time = frame.time
        clock = frame.time - self._first_time
        self.gap_ms = max(self.gap_ms, (clock - self.samples / self.rate) * 1_000)

    @property
    def duration_ms(self) -> int:
        """How long the decoded audio plays."""
        return self.samples * 1_000 // self.rate

    @property
    def rms(self) -> float:
        """Root of the mean power."""
        return math.sqrt(self._power / self._values) if self._values else 0.0

    @property
    def damaged_inside(self) -> bool:
        """Whether a packet other than the last, where a cut shows, was damaged."""
        return any(number < self.packets - 1 for number in self.damaged)


def inspect(path: Path) -> AudioFacts:
    """The facts of an acceptable file. Raises the AudioRefused leaf that says what is wrong."""
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise music.EmptyAudio
        kind, head = sniff(file)
        if kind is None:
            raise music.UnreadableAudio
        if kind == "unsupported":
            raise music.UnsupportedAudio
        if not is_whole(kind, file):
            raise music.TruncatedAudio
    return _decode(path, kind, head)


def _decode(path: Path, kind: str, head: bytes) -> AudioFacts:
    import av

    try:
        # Only the forced demuxer, only this file: nothing it says opens another.
        options = {"protocol_whitelist": "file", "format_whitelist": _family(kind), **STRICT}
        container = av.open(str(path), format=kind, options=options, metadata_errors="ignore")
    except av.FFmpegError as error:
        raise music.UnreadableAudio from error
    with container:
        stream = _audio_stream(container)
        codec = _codec_name(stream.codec_context.name)
        promised_ms = None if kind == "mp3" and not mp3_has_length(head) else _length_ms(stream)
        seen = _measure(container, stream)
        channels = stream.channels
    _judge(seen, promised_ms, TOLERANCE_MS.get(codec, TOLERANCE_OTHERS_MS))
    peak_db, rms_db = _decibels(seen.peak), _decibels(seen.rms)
    if peak_db < POLICY.silence_peak_db or rms_db < POLICY.silence_rms_db:
        raise music.SilentAudio
    return AudioFacts(
        seen.duration_ms, codec, CONTENT_TYPES[kind], seen.rate, channels, peak_db, rms_db
    )


def _measure(container: Any, stream: Any) -> Measure:
    """Decode everything. Raises AudioTooLong as soon as it is."""
    import av

    seen = Measure(stream.rate)
    longest = (POLICY.max_song_ms + 1) * stream.rate // 1_000
    packets = _packets(container, stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return seen
            if packet.size:
                seen.packets += 1
                if packet.is_corrupt:
                    seen.damaged.append(seen.packets - 1)
            for frame in packet.decode():
                seen.add(frame)
        except av.FFmpegError:
            seen.damaged.append(seen.packets - 1)
        if seen.samples > longest or seen.packets > longest:
            raise music.AudioTooLong(longest_ms=POLICY.max_song_ms)


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    yield from container.demux(stream)


def _judge(seen: Measure, promised_ms: int | None, tolerance_ms: int) -> None:
    """Wholeness, then length; of several reasons the most telling one."""
    if not seen.samples:
        raise music.UnreadableAudio
    if seen.damaged_inside or seen.gap_ms > max(tolerance_ms, GAP_MS):
        raise music.CorruptAudio(damaged_packets=len(seen.damaged), gap_ms=int(seen.gap_ms))
    if promised_ms is not None and promised_ms - seen.duration_ms > tolerance_ms:
        raise music.TruncatedAudio(decoded_ms=seen.duration_ms, promised_ms=promised_ms)
    if seen.damaged:
        raise music.CorruptAudio(damaged_packets=len(seen.damaged), gap_ms=0)
    if seen.duration_ms < POLICY.min_song_ms:
        raise music.AudioTooShort(shortest_ms=POLICY.min_song_ms, decoded_ms=seen.duration_ms)
    if seen.duration_ms > POLICY.max_song_ms:
        raise music.AudioTooLong(longest_ms=POLICY.max_song_ms)


def _audio_stream(container: Any) -> Any:
    pictures = [s for s in container.streams.video if "ATTACHED_PIC" not in s.disposition.name]
    if len(container.streams.audio) != 1 or pictures:
        raise music.UnsupportedAudio
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise music.UnsupportedAudio
    if not POLICY.min_sample_rate <= stream.rate <= POLICY.max_sample_rate:
        raise music.UnsupportedAudio if stream.rate else music.UnreadableAudio
    if not 1 <= stream.channels <= POLICY.max_channels:
        raise music.UnsupportedAudio
    stream.codec_context.options = STRICT
    return stream


def _codec_name(name: str) -> str:
    codec = "pcm" if name.startswith("pcm_") else CODECS.get(name)
    if codec is None:
        raise music.UnsupportedAudio
    return codec


def _length_ms(stream: Any) -> int | None:
    """The length that the header promises, if it does."""
    if stream.duration and stream.time_base:
        return int(stream.duration * stream.time_base * 1_000)
    duration = stream.container.duration
    return int(duration // 1_000) if duration else None


def _family(kind: str) -> str:
    return {"mov": "mov,mp4,m4a,3gp,3g2,mj2", "matroska": "matroska,webm"}.get(kind, kind)


def _decibels(ratio: float) -> float:
    return round(20 * math.log10(ratio), 2) if ratio > 0 else -999.0


def limit_self() -> None:
    """Bound what this process may use, for good."""
    for what, most in (
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_AS, ADDRESS_SPACE_BYTES),
        (resource.RLIMIT_FSIZE, OUTPUT_BYTES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
    ):
        resource.setrlimit(what, (most, most))


def describe(path: Path) -> dict[str, Any]:
    """The line to print."""
    try:
        return {"facts": msgspec.to_builtins(inspect(path))}
    except music.AudioRefused as refusal:
        return {"refused": refusal.code, "params": refusal.params}
    except MemoryError:
        return {"refused": music.AudioTooComplex.code, "params": {}}


def main() -> int:
    """Entry of the process."""
    limit_self()
    sys.stdout.buffer.write(msgspec.json.encode(describe(Path(sys.argv[1]))) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
