"""A segment on disk: the packets of some seconds of video, as one encoder gave them.

In: packets. Out: a file, and the same packets read back, without their dts, which
`toonvid.resume.join` computes. No container format keeps every codec, time base and duration
exactly, so the file is our own: a head, then one record for each packet. Which conversion a segment
belongs to is in the journal.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType

from av.packet import (
    Packet,
    PacketSideData,
    PktSideDataT,
    packet_sidedata_type_from_literal,
)
from av.stream import Stream

from toonvid.engine import file_sha256

_MAGIC = b"toonvid segment 1\n"
_HEAD = struct.Struct("<iiI")  # time base; bytes of extradata, which follow
_RECORD = struct.Struct("<qqBI")  # pts, duration, flags; bytes of content, which follow
_IS_KEY, _HAS_ALPHA = 1, 2  # flags of a record
_ALPHA_SIZE = struct.Struct("<I")  # bytes of opacity, which follow the content
# Where VP8 and VP9 keep the opacity of a frame: a second picture beside the packet.
_ALPHA: PktSideDataT = "matroska_block_additional"


@dataclass(frozen=True)
class Segment:
    """A finished segment, as the journal describes it."""

    name: str
    """File name."""
    size: int
    """Size of the file, in bytes."""
    sha256: str
    """SHA-256 of the file, in hexadecimal."""
    frames: int
    """Number of packets, each of one frame."""
    depth: int
    """By how many places, at most, B-frames put a packet behind the order in which frames are
    shown."""


class SegmentWriter:
    """Writes one segment. A context manager: left with an error, it leaves no file."""

    def __init__(self, path: Path) -> None:
        """Remember where to write."""
        self.path = path
        self._shown: list[int] = []  # pts of the packets so far

    def __enter__(self) -> SegmentWriter:
        # A killed run may have left a file. Creating it anew does not follow a link either.
        self.path.unlink(missing_ok=True)
        self._file = self.path.open("xb")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._file.close()
        finally:
            if error is not None:
                self.path.unlink(missing_ok=True)

    def begin(self, time_base: Fraction, extradata: bytes) -> None:
        """Write the head.

        Args:
            time_base: Seconds in one unit of the packets' times.
            extradata: What a decoder must know before the first packet.
        """
        head = _HEAD.pack(time_base.numerator, time_base.denominator, len(extradata))
        self._file.write(_MAGIC + head + extradata)

    def write(self, packets: Iterable[Packet[Stream]]) -> None:
        """Append packets of the segment's encoder.

        Raises:
            ValueError: The first one is not a key frame, so nothing could decode the segment.
        """
        for packet in packets:
            assert packet.pts is not None, "an encoder gives each frame its time"
            if not self._shown and not packet.is_keyframe:
                raise ValueError("a segment must begin with a key frame")
            content = bytes(packet)
            alpha = bytes(packet.get_sidedata(_ALPHA)) if packet.has_sidedata(_ALPHA) else b""
            flags = _IS_KEY * packet.is_keyframe | _HAS_ALPHA * bool(alpha)
            self._file.write(_RECORD.pack(packet.pts, packet.duration or 0, flags, len(content)))
            self._file.write(content)
            if alpha:
                self._file.write(_ALPHA_SIZE.pack(len(alpha)) + alpha)
            self._shown.append(packet.pts)

    def finish(self) -> Segment:
        """Wait until the file is safe on disk, and describe it."""
        self._file.flush()
        os.fsync(self._file.fileno())
        rank = {pts: place for place, pts in enumerate(sorted(self._shown))}
        return Segment(
            name=self.path.name,
            size=self._file.tell(),
            sha256=file_sha256(self.path),
            frames=len(self._shown),
            depth=max(place - rank[pts] for place, pts in enumerate(self._shown)),
        )


def read_head(path: Path) -> tuple[Fraction, bytes]:
    """Return the time base and the extradata of a segment."""
    with path.open("rb") as file:
        file.seek(len(_MAGIC))
        numerator, denominator, size = _HEAD.unpack(file.read(_HEAD.size))
        return Fraction(numerator, denominator), file.read(size)


def read_times(path: Path) -> list[int]:
    """Return the pts of a segment's packets, in the order of the file."""
    return [record.pts for record in _records(path, with_content=False)]


def read_packets(path: Path) -> Iterator[Packet[Stream]]:
    """Yield the packets of a segment. They have no dts."""
    time_base, _ = read_head(path)
    for record in _records(path, with_content=True):
        packet = Packet(record.content)
        packet.time_base = time_base
        packet.pts, packet.duration = record.pts, record.duration
        packet.is_keyframe = record.is_key
        if record.alpha:
            kind = packet_sidedata_type_from_literal(_ALPHA)
            alpha = PacketSideData(kind, len(record.alpha))  # type: ignore[call-arg]
            alpha.update(record.alpha)
            packet.set_sidedata(alpha)
        yield packet


@dataclass(frozen=True)
class _Record:
    """One packet of a segment; content and opacity are empty where they were not asked for."""

    pts: int
    duration: int
    is_key: bool
    content: bytes
    alpha: bytes


def _records(path: Path, with_content: bool) -> Iterator[_Record]:
    with path.open("rb") as file:
        file.seek(len(_MAGIC))
        file.seek(_HEAD.unpack(file.read(_HEAD.size))[2], os.SEEK_CUR)
        while head := file.read(_RECORD.size):
            pts, duration, flags, size = _RECORD.unpack(head)
            content = alpha = b""
            if with_content:
                content = file.read(size)
            else:
                file.seek(size, os.SEEK_CUR)
            if flags & _HAS_ALPHA:
                (alpha_size,) = _ALPHA_SIZE.unpack(file.read(_ALPHA_SIZE.size))
                alpha = file.read(alpha_size)
            yield _Record(pts, duration, bool(flags & _IS_KEY), content, alpha)
