"""HEIC photos as telephones store them: a grid of tiles, each an HEVC picture of its own."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np

from support.clips import Clip
from support.headers import box

TILE = 64  # pixels on each side: HEVC encodes no smaller ones


def write_heic_grid(path: Path, colors: list[tuple[int, int, int]]) -> Path:
    """Write a photo of tiles in one row, each of one color."""
    tiles = [_tile(path.with_name(f"tile{place}.mkv"), color) for place, color in enumerate(colors)]
    configuration = tiles[0][0]
    samples = [sample for _, sample in tiles]
    count, grid = len(tiles), len(tiles) + 1

    def full(kind: bytes, content: bytes, version: int = 0, flags: int = 0) -> bytes:
        return box(kind, struct.pack(">I", version << 24 | flags) + content)

    items = b"".join(
        full(b"infe", struct.pack(">HH", number, 0) + kind + b"\0", version=2)
        for number, kind in [*((n, b"hvc1") for n in range(1, count + 1)), (grid, b"grid")]
    )
    references = struct.pack(f">HH{count}H", grid, count, *range(1, count + 1))
    properties = box(b"hvcC", configuration)
    properties += full(b"ispe", struct.pack(">II", TILE, TILE))
    properties += full(b"ispe", struct.pack(">II", TILE * count, TILE))
    links = b"".join(struct.pack(">HBBB", n, 2, 0x81, 2) for n in range(1, count + 1))
    links += struct.pack(">HBB", grid, 1, 3)
    linked = struct.pack(">I", grid) + links
    layout = struct.pack(">BBBBHH", 0, 0, 0, count - 1, TILE * count, TILE)  # one row

    def meta(offsets: list[int]) -> bytes:
        places = b"".join(
            struct.pack(">HHHHII", n, 0, 0, 1, offsets[n - 1], len(samples[n - 1]))
            for n in range(1, count + 1)
        )
        places += struct.pack(">HHHHII", grid, 1, 0, 1, 0, len(layout))  # in the idat box
        return full(
            b"meta",
            full(b"hdlr", bytes(4) + b"pict" + bytes(13))
            + full(b"pitm", struct.pack(">H", grid))
            + full(b"iloc", struct.pack(">HH", 0x4400, grid) + places, version=1)
            + full(b"iinf", struct.pack(">H", grid) + items)
            + full(b"iref", box(b"dimg", references))
            + box(b"iprp", box(b"ipco", properties) + full(b"ipma", linked))
            + box(b"idat", layout),
        )

    kind = box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")
    start = len(kind) + len(meta([0] * count)) + 8
    offsets = [start + sum(map(len, samples[:place])) for place in range(count)]
    path.write_bytes(kind + meta(offsets) + box(b"mdat", b"".join(samples)))
    return path


def _tile(path: Path, color: tuple[int, int, int]) -> tuple[bytes, bytes]:
    """Return the decoder configuration and the one sample of a tile."""
    pixels = np.full((TILE, TILE, 3), color, np.uint8)
    # Three frames: with one, x265 gives times now and then that no muxer takes.
    Clip([pixels] * 3, codec="libx265").write(path)
    with av.open(str(path)) as source:
        sample = next(bytes(packet) for packet in source.demux(video=0))
        configuration = bytes(source.streams.video[0].codec_context.extradata or b"")
    return configuration, sample
