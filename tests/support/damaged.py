"""Damaged files, made from our own clips: as many as wanted, the same for the same seed."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

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
# Where MP4 keeps numbers that everything else hangs on: sizes, rates, counts, times.
_BOXES = (b"tkhd", b"mdhd", b"mvhd", b"avc1", b"stts", b"ctts", b"stsz", b"stco", b"stsc", b"elst")
_ABSURD = (0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def clips(folder: Path) -> list[Path]:
    """The sound originals, one of each kind."""
    films = [film.write(folder / f"film.{suffix}") for suffix, film in _CLIPS.items()]
    for suffix, codec in _PICTURES.items():
        path = folder / f"picture.{suffix}"
        path.write_bytes(image_file(moving_frames(1)[0], codec))
        films.append(path)
    return films


def damaged_files(originals: list[Path], folder: Path, count: int, seed: int) -> Iterator[Path]:
    """Write and yield `count` damaged files; each may be deleted before the next is asked for."""
    dice = random.Random(seed)
    ways: list[Callable[[bytearray, random.Random], bytearray]] = [
        *(_flipped, _cut, _swapped, _blanked, _doubled, _lying, _lying, _grown)
    ]
    for number in range(count):
        if number % 25 == 24:
            yield _trap(folder, number, dice)
            continue
        original = originals[number % len(originals)]
        way = dice.choice(ways)
        content = way(bytearray(original.read_bytes()), dice)
        path = folder / f"{number:05}{way.__name__}{original.suffix}"
        path.write_bytes(content)
        yield path


def _flipped(content: bytearray, dice: random.Random) -> bytearray:
    """Bits turned over, some or many."""
    for _ in range(dice.choice((1, 3, 30, 300))):
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    return content


def _cut(content: bytearray, dice: random.Random) -> bytearray:
    """The end missing, or the beginning."""
    at = dice.randrange(len(content))
    return content[:at] if dice.random() < 0.8 else content[at:]


def _swapped(content: bytearray, dice: random.Random) -> bytearray:
    """Two stretches in each other's place, as packets are that arrive out of order."""
    size = dice.choice((188, 500, len(content) // 5))
    a, b = sorted(dice.sample(range(max(2, len(content) - size)), 2))
    if b - a < size:
        return _flipped(content, dice)
    content[a : a + size], content[b : b + size] = content[b : b + size], content[a : a + size]
    return content


def _blanked(content: bytearray, dice: random.Random) -> bytearray:
    """A stretch of zeros, as a disk leaves it that lost a block."""
    size = dice.choice((16, 512, 4096))
    at = dice.randrange(len(content))
    content[at : at + size] = bytes(len(content[at : at + size]))
    return content


def _doubled(content: bytearray, dice: random.Random) -> bytearray:
    """A stretch written twice, so that all that follows lies elsewhere than the header says."""
    at, size = dice.randrange(len(content)), dice.randrange(1, 2000)
    content[at:at] = content[at : at + size]
    return content


def _grown(content: bytearray, dice: random.Random) -> bytearray:
    """Nonsense behind the end."""
    return content + dice.randbytes(dice.randrange(1, 20000))


def _lying(content: bytearray, dice: random.Random) -> bytearray:
    """A header with absurd sizes, rates, counts or times."""
    found = [at for box in _BOXES if (at := content.find(box)) >= 0]
    at = dice.choice(found) + 4 + dice.randrange(0, 96) if found else dice.randrange(8, 200)
    width = dice.choice((2, 4))
    number = dice.choice(_ABSURD) & (0xFFFF if width == 2 else 0xFFFFFFFF)
    content[at : at + width] = number.to_bytes(width, dice.choice(("big", "little")))
    return content


def _trap(folder: Path, number: int, dice: random.Random) -> Path:
    """Files that are no accident."""
    name, content = dice.choice(
        [
            ("loop.m3u8", b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nloop.m3u8\n" * 50),
            ("loop.ffconcat", b"ffconcat version 1.0\nfile 'loop.ffconcat'\n" * 50),
            ("secret.m3u8", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n"),
            *BOMBS.items(),
            ("empty.mp4", b""),
            ("zeros.mkv", bytes(100_000)),
            ("noise.ts", dice.randbytes(100_000)),
        ]
    )
    path = folder / f"{number:05}{name}" if not name.startswith("loop") else folder / name
    path.write_bytes(content)
    return path


def _bomb(width: int, height: int) -> bytes:
    """A PNG of some kilobytes that says it is enormous."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checksum

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(bytes(2**20)))
    return b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b"")


def _jpeg_bomb() -> bytes:
    """A JPEG of one picture's bytes that says it is enormous."""
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
"""Pictures of some kilobytes that claim to be enormous."""
