"""A segment on disk: the packets of some seconds of film, as one encoder left them.

No container of FFmpeg's keeps every codec, time base and duration exactly, so the file is our own:
a head, then one record for each packet. What a segment belongs to is `toonvid.resume.segmented`'s.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType

from av.packet import Packet
from av.stream import Stream

from toonvid.engine import file_sha256

_MAGIC = b"toonvid segment 1\n"
_HEAD = struct.Struct("<iiI")  # time base, length of the extradata that follows
_RECORD = struct.Struct("<qq?I")  # pts, duration, key frame or not, length of the content behind it


@dataclass(frozen=True)
class Segment:
    """What is known of a finished segment."""

    name: str
    """Of its file."""
    size: int
    """Of its file, in bytes."""
    sha256: str
    frames: int
    depth: int
    """How many frames the encoder's order puts a frame behind the order in which it is shown."""


class SegmentWriter:
    """Writes one segment. A context manager: left with an error, it leaves no file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._shown: list[int] = []

    def __enter__(self) -> SegmentWriter:
        self.path.unlink(missing_ok=True)  # of a run that was killed; a link is not followed
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
            time_base: Of the packets.
            extradata: What a decoder must know before the first of them.
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
            self._file.write(
                _RECORD.pack(packet.pts, packet.duration or 0, packet.is_keyframe, len(content))
            )
            self._file.write(content)
            self._shown.append(packet.pts)

    def finish(self) -> Segment:
        """Make the file safe on disk, and say what it is."""
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
    """The time base and the extradata of a segment."""
    with path.open("rb") as file:
        file.seek(len(_MAGIC))
        numerator, denominator, size = _HEAD.unpack(file.read(_HEAD.size))
        return Fraction(numerator, denominator), file.read(size)


def read_times(path: Path) -> list[int]:
    """The pts of a segment's packets, in their order."""
    return [pts for pts, _, _, _ in _records(path, with_content=False)]


def read_packets(path: Path) -> Iterator[Packet[Stream]]:
    """Yield the packets of a segment. They have no time of decoding yet."""
    time_base, _ = read_head(path)
    for pts, duration, is_key, content in _records(path, with_content=True):
        packet = Packet(content)
        packet.time_base = time_base
        packet.pts, packet.duration = pts, duration
        packet.is_keyframe = is_key
        yield packet


def _records(path: Path, with_content: bool) -> Iterator[tuple[int, int, bool, bytes]]:
    with path.open("rb") as file:
        file.seek(len(_MAGIC))
        file.seek(_HEAD.unpack(file.read(_HEAD.size))[2], os.SEEK_CUR)
        while head := file.read(_RECORD.size):
            pts, duration, is_key, size = _RECORD.unpack(head)
            if with_content:
                yield pts, duration, is_key, file.read(size)
            else:
                file.seek(size, os.SEEK_CUR)
                yield pts, duration, is_key, b""
