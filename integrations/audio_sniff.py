"""What a file is, from its first bytes, and whether its container is whole. No decoder takes part.

The demuxer is chosen here and forced: left to guess, FFmpeg opens random bytes as MP3 and follows
playlists (`#EXTM3U`, `ffconcat`) to other files and hosts.
"""

from __future__ import annotations

import re
from typing import BinaryIO

HEAD_BYTES = 16 * 1024
OGG_TAIL_BYTES = 128 * 1024  # two of the largest pages
OGG_LAST_PAGE = 0x04
OGG_HEADER_BYTES = 27
MP3_HEADER_BYTES = 4
MAX_TAGS = 4
MAX_MOV_BOXES = 4_096  # a fragmented hour has some hundreds

# Formats that are audio (or might be) and are not accepted: an honest answer, not "unreadable".
_OTHERS = (
    re.compile(rb"RIFF....(?!WAVE)", re.DOTALL),
    re.compile(rb"RF64|riff\x2e\x91\xcf\x11|FORM....AIF[FC]|caff|\.snd|MThd|#!AMR|ADIF|MAC |wvpk"),
    re.compile(rb"TTA[12]|MPCK|MP\+|OFR |DSD |FRM8|\x30\x26\xb2\x75\x8e\x66\xcf\x11|FLV|\.RMF"),
    re.compile(rb"\x0b\x77|\x7f\xfe\x80\x01"),  # AC-3, DTS
    re.compile(rb"\xff[\xf0\xf1\xf8\xf9]"),  # ADTS: the durations it claims are wrong
    re.compile(rb"\x47.{187}\x47", re.DOTALL),  # MPEG transport stream
)
_KINDS = (
    ("ogg", re.compile(rb"OggS")),
    ("flac", re.compile(rb"fLaC")),
    ("wav", re.compile(rb"RIFF....WAVE", re.DOTALL)),
    ("mov", re.compile(rb"....ftyp", re.DOTALL)),
    ("matroska", re.compile(rb"\x1a\x45\xdf\xa3")),
)


def sniff(file: BinaryIO) -> tuple[str | None, bytes]:
    """(FFmpeg demuxer, "unsupported", or None for not audio; the first bytes after any ID3 tag)."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    start = 0
    for _ in range(MAX_TAGS):
        if head[:3] != b"ID3" or len(head) < 10:
            break
        start += 10 + _seven_bits(head[6:10])
        file.seek(start)
        head = file.read(HEAD_BYTES)
    for kind, signature in _KINDS:
        if signature.match(head):
            return kind, head
    if _is_mp3_frame(head):
        return "mp3", head
    return ("unsupported" if any(other.match(head) for other in _OTHERS) else None), head


def mp3_has_length(head: bytes) -> bool:
    """Whether the first frame says how many there are (Xing, Info, VBRI); else it is a guess."""
    start = head[:400]
    return any(mark in start for mark in (b"Xing", b"Info", b"VBRI"))


def is_whole(kind: str, file: BinaryIO) -> bool:
    """Whether the container ends where it says; True where it does not say (the decoder will)."""
    if kind == "ogg":
        return _ogg_is_whole(file)
    if kind == "wav":
        return _wav_is_whole(file)
    return kind != "mov" or _mov_is_whole(file)


def _wav_is_whole(file: BinaryIO) -> bool:
    """Whether all that the RIFF header announces is there; some writers leave it unset."""
    size = file.seek(0, 2)
    file.seek(4)
    announced = int.from_bytes(file.read(4), "little")
    return announced in {0, 0xFFFFFFFF} or announced + 8 <= size + 1  # a final pad byte may lack


def _mov_is_whole(file: BinaryIO) -> bool:
    """Whether the top-level boxes (ISO 14496-12) fill the file exactly."""
    size, at = file.seek(0, 2), 0
    for _ in range(MAX_MOV_BOXES):
        if at == size:
            return True
        file.seek(at)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length == 0:  # to the end of the file
            return True
        if length < 8 or at + length > size:
            return False
        at += length
    return True


def _ogg_is_whole(file: BinaryIO) -> bool:
    """Whether the file ends with a complete page that says it is its stream's last (RFC 3533)."""
    size = file.seek(0, 2)
    file.seek(max(0, size - OGG_TAIL_BYTES))
    tail = file.read()
    at = tail.rfind(b"OggS")
    while at >= 0:
        end = _ogg_page_end(tail, at)
        if end is not None and end <= len(tail):
            # Bytes after the last whole page: the rest of a page that was cut.
            return end == len(tail) and bool(tail[at + 5] & OGG_LAST_PAGE)
        if end is not None or len(tail) - at < OGG_HEADER_BYTES:
            return False
        at = tail.rfind(b"OggS", 0, at)  # the four letters occurred in the audio itself
    return False


def _ogg_page_end(data: bytes, at: int) -> int | None:
    header = data[at : at + OGG_HEADER_BYTES]
    if len(header) < OGG_HEADER_BYTES or header[4] != 0:
        return None
    lacing = data[at + OGG_HEADER_BYTES : at + OGG_HEADER_BYTES + header[26]]
    return at + OGG_HEADER_BYTES + header[26] + sum(lacing)


def _is_mp3_frame(head: bytes) -> bool:
    """A frame header of MPEG audio layer III with no reserved value in it."""
    if len(head) < MP3_HEADER_BYTES or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bit_rate, sample_rate = head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and layer == 1 and bit_rate not in {0, 15} and sample_rate != 3


def _seven_bits(raw: bytes) -> int:
    """ID3's numbers leave out each byte's top bit."""
    value = 0
    for byte in raw:
        value = value << 7 | byte & 0x7F
    return value
