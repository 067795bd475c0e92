"""Damaged files, made from small clips: any number, the same for the same seed.

Also damage inside the packets of a video, and decoding that conceals it in the same way each time.
"""

from __future__ import annotations

import os
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import pytest

from support.clips import Clip, Subtitles, Tone, image_file, moving_frames

_F = Fraction
_CLIPS = {
    "mp4": Clip(
        moving_frames(12), audio=(Tone(),), subtitles=(Subtitles(),), chapters=((0, 400, "A"),)
    ),
    "mov": Clip(moving_frames(12), audio=(Tone("pcm_s16le"),), rotation=(90, False, False)),
    "mkv": Clip(moving_frames(12), audio=(Tone("libopus"),), subtitles=(Subtitles("srt"),)),
    "webm": Clip(moving_frames(8), codec="libvpx-vp9", options={"deadline": "realtime"}),
    "ts": Clip(moving_frames(12), audio=(Tone("mp2"),)),
    "avi": Clip(moving_frames(12), codec="mpeg4", audio=(Tone("libmp3lame"),)),
    "gif": Clip(moving_frames(6), codec="gif", pix_fmt="rgb8", time_base=_F(1, 100)),
}
_PICTURES = {"png": "png", "jpg": "mjpeg", "webp": "libwebp"}
# Boxes of MP4 with sizes, rates, counts and times, on which everything else depends.
_BOXES = (b"tkhd", b"mdhd", b"mvhd", b"avc1", b"stts", b"ctts", b"stsz", b"stco", b"stsc", b"elst")
_PACKET_SEED = 11  # FFmpeg conceals these bits otherwise where it has not decoded what is before
_ABSURD = (0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def clips(folder: Path) -> list[Path]:
    """Write the intact originals, one of each format, and return their paths."""
    videos = [video.write(folder / f"video.{suffix}") for suffix, video in _CLIPS.items()]
    for suffix, codec in _PICTURES.items():
        path = folder / f"image.{suffix}"
        path.write_bytes(image_file(moving_frames(1)[0], codec))
        videos.append(path)
    return videos


def damaged_files(originals: list[Path], folder: Path, count: int, seed: int) -> Iterator[Path]:
    """Write and yield `count` damaged files; each may be deleted before the next one is written."""
    rng = random.Random(seed)
    damages: list[Callable[[bytearray, random.Random], bytearray]] = [
        *(_flip_bits, _truncate, _swap, _blank, _repeat, _falsify_header, _falsify_header, _append)
    ]
    for number in range(count):
        if number % 25 == 24:
            yield _hostile_file(folder, number, rng)
            continue
        original = originals[number % len(originals)]
        damage = rng.choice(damages)
        content = damage(bytearray(original.read_bytes()), rng)
        path = folder / f"{number:05}{damage.__name__}{original.suffix}"
        path.write_bytes(content)
        yield path


def _flip_bits(content: bytearray, rng: random.Random) -> bytearray:
    """Flip some or many bits."""
    for _ in range(rng.choice((1, 3, 30, 300))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return content


def _truncate(content: bytearray, rng: random.Random) -> bytearray:
    """Remove the end or the beginning."""
    at = rng.randrange(len(content))
    return content[:at] if rng.random() < 0.8 else content[at:]


def _swap(content: bytearray, rng: random.Random) -> bytearray:
    """Swap two ranges, as when packets arrive out of order."""
    size = rng.choice((188, 500, len(content) // 5))
    a, b = sorted(rng.sample(range(max(2, len(content) - size)), 2))
    if b - a < size:
        return _flip_bits(content, rng)
    content[a : a + size], content[b : b + size] = content[b : b + size], content[a : a + size]
    return content


def _blank(content: bytearray, rng: random.Random) -> bytearray:
    """Overwrite a range with zeros, as a disk does that has lost a block."""
    size = rng.choice((16, 512, 4096))
    at = rng.randrange(len(content))
    content[at : at + size] = bytes(len(content[at : at + size]))
    return content


def _repeat(content: bytearray, rng: random.Random) -> bytearray:
    """Repeat a range, so that everything after it is not where the header says."""
    at, size = rng.randrange(len(content)), rng.randrange(1, 2000)
    content[at:at] = content[at : at + size]
    return content


def _append(content: bytearray, rng: random.Random) -> bytearray:
    """Append random bytes."""
    return content + rng.randbytes(rng.randrange(1, 20000))


def _falsify_header(content: bytearray, rng: random.Random) -> bytearray:
    """Write absurd sizes, rates, counts or times into the header."""
    found = [at for box in _BOXES if (at := content.find(box)) >= 0]
    at = rng.choice(found) + 4 + rng.randrange(0, 96) if found else rng.randrange(8, 200)
    width = rng.choice((2, 4))
    number = rng.choice(_ABSURD) & (0xFFFF if width == 2 else 0xFFFFFFFF)
    content[at : at + width] = number.to_bytes(width, rng.choice(("big", "little")))
    return content


def _hostile_file(folder: Path, number: int, rng: random.Random) -> Path:
    """Write a file that is made to do harm."""
    name, content = rng.choice(
        [
            ("loop.m3u8", b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nloop.m3u8\n" * 50),
            ("loop.ffconcat", b"ffconcat version 1.0\nfile 'loop.ffconcat'\n" * 50),
            ("secret.m3u8", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n"),
            *BOMBS.items(),
            ("empty.mp4", b""),
            ("zeros.mkv", bytes(100_000)),
            ("noise.ts", rng.randbytes(100_000)),
        ]
    )
    path = folder / f"{number:05}{name}" if not name.startswith("loop") else folder / name
    path.write_bytes(content)
    return path


def _bomb(width: int, height: int) -> bytes:
    """Return a PNG of some kilobytes that claims a huge size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checksum

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(bytes(2**20)))
    return b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b"")


def _jpeg_bomb() -> bytes:
    """Return a JPEG of a small image that claims a huge size."""
    whole = bytearray(image_file(moving_frames(1)[0], "mjpeg"))
    at = whole.index(b"\xff\xc0") + 5
    whole[at : at + 4] = b"\xff\xdc\xff\xdc"
    return bytes(whole)


def _webp_bomb() -> bytes:
    whole = bytearray(image_file(moving_frames(1)[0], "libwebp"))
    at = whole.index(b"\x9d\x01\x2a") + 3
    whole[at : at + 4] = b"\xff\x3f\xff\x3f"
    return bytes(whole)


BOMBS = {
    "bomb.png": _bomb(60000, 60000),
    "thin.png": _bomb(1, 2**30),
    "bomb.gif": b"GIF89a\xff\xff\xff\xff\x00\x00\x00,\0\0\0\0\xff\xff\xff\xff\0\2\0;",
    "bomb.jpg": _jpeg_bomb(),
    "bomb.webp": _webp_bomb(),
}
"""Images of some kilobytes that claim a huge size."""


def flip_packet_bits(video: Path, first_packet: int) -> None:
    """Damage half of the video packets from one on, but nothing of the container's index."""
    with av.open(str(video)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(video.read_bytes())
    places = random.Random(_PACKET_SEED)
    for begin, size in packets[first_packet:]:
        for _ in range(3 if places.random() < 0.5 else 0):
            content[begin + places.randrange(5, size)] ^= 1 << places.randrange(8)
    video.write_bytes(content)


@contextmanager
def one_core() -> Iterator[None]:
    """Let FFmpeg decode on one thread: several conceal the same damage in another way each time."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("threads cannot be bound to a core")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
