"""Container header: what MP4 and Matroska state of a video that PyAV does not show.

In: a file. Out: `HeaderFacts`: crop, projection, stereo layout and the profile of Dolby Vision of
one track. FFmpeg reads these values into side data of the stream, which PyAV has no door to. Other
containers, pipes and addresses give no facts.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

logger = logging.getLogger(__name__)

_MATROSKA, _MP4 = "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2"  # FFmpeg's names
_LARGEST_MOOV = 2**26  # bytes: the index of a day of video has fewer
_MATROSKA_HEAD_BYTES = 2**22  # the tracks come before the first cluster
_VISUAL_ENTRY_BYTES = 78  # fields of a video's sample entry before its boxes
_TO_MATRIX = 28  # bytes from a track's number to its display matrix, with a duration of 32 bits
_SPHERICAL_V1 = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")  # a box with XML, of Google
_DOLBY_VISION = (b"dvcC", b"dvvC", b"dvwC")
_SEGMENT, _TRACKS, _TRACK_ENTRY, _CLUSTER = (
    0x18538067,
    0x1654AE6B,
    0xAE,
    0x1F43B675,
)
_TRACK_TYPE, _IS_VIDEO = 0x83, 1
_CHAPTERS, _EDITION, _CHAPTER = 0x1043A770, 0x45B9, 0xB6
_VIDEO, _PROJECTION, _PROJECTION_TYPE = 0xE0, 0x7670, 0x7671
_CROP_BOTTOM, _CROP_TOP, _CROP_LEFT, _CROP_RIGHT = 0x54AA, 0x54BB, 0x54CC, 0x54DD
_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT = 0x54B0, 0x54BA, 0x54B2
_STEREO_MODE, _BLOCK_ADDITION, _ADDITION_TYPE, _ADDITION_DATA = 0x53B8, 0x41E4, 0x41E7, 0x41ED


@dataclass(frozen=True)
class Crop:
    """Pixels to be cut off the decoded frames before they are rotated."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    @property
    def edges(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom."""
        return self.left, self.top, self.right, self.bottom


@dataclass(frozen=True)
class HeaderFacts:
    """Statements of a container about one video track."""

    crop: Crop = Crop()
    clean_size: tuple[Fraction, Fraction, Fraction, Fraction] | None = None
    """MP4's clean aperture: width, height, and how far its middle lies right of and below the
    frame's, in pixels; None without one."""
    display_size: tuple[int, int] | None = None
    """Width and height to show the cropped frame with, which give its aspect ratio; None where only
    the aspect ratio of a pixel is stated."""
    is_spherical: bool = False
    """Whether frames are a projection of a sphere (360 or 180 degree video)."""
    is_stereo: bool = False
    """Whether frames hold the views of two eyes."""
    dolby_vision_profile: int | None = None
    """None without Dolby Vision."""
    is_turned: bool = False
    """Whether frames are displayed with width and height exchanged; told by MP4 alone."""
    is_encrypted: bool = False
    """Whether its frames cannot be decoded without a key (MP4 with DRM)."""
    chapter_count: int = 0
    """Chapters that Matroska lists before its packets, with those inside of others."""

    def crop_of(self, width: int, height: int) -> Crop:
        """Return the crop of frames of a size in pixels; none where it would leave nothing."""
        crop = self.crop
        if self.clean_size is not None:
            clean_width, clean_height, right, down = self.clean_size
            left = round((width - clean_width) / 2 + right)
            top = round((height - clean_height) / 2 + down)
            right_cut, bottom_cut = width - left - clean_width, height - top - clean_height
            crop = Crop(left, top, round(right_cut), round(bottom_cut))
        is_valid = min(crop.left, crop.top, crop.right, crop.bottom) >= 0
        if not is_valid or crop.left + crop.right >= width or crop.top + crop.bottom >= height:
            return Crop()
        return crop


def read_header_facts(name: str, container: str, track_id: int, place: int) -> HeaderFacts:
    """Read what a file's header states of one track.

    Args:
        name: The source as the user named it.
        container: FFmpeg's name of its format.
        track_id: `id` of the stream, by which MP4 knows it.
        place: How many video streams come before it, by which it is found in Matroska.
    """
    if "://" in name or container not in (_MATROSKA, _MP4):
        return HeaderFacts()
    try:
        path = Path(name)
        if not path.is_file():
            return HeaderFacts()
        with path.open("rb") as file:
            return _mp4_facts(file, track_id) if container == _MP4 else _matroska_facts(file, place)
    except (OSError, ValueError, IndexError, struct.error, ZeroDivisionError) as error:
        logger.debug("%s: its header cannot be read: %s", name, error)  # FFmpeg reads the rest
        return HeaderFacts()


def _mp4_facts(file: BinaryIO, track_id: int) -> HeaderFacts:
    moov = _read_moov(file)
    for kind, track in _boxes(moov):
        if kind != b"trak":
            continue
        boxes = dict(_boxes(track))
        header = boxes.get(b"tkhd", b"")
        at = 20 if header[:1] == b"\1" else 12  # version 1 has times of 64 bits
        if header[at : at + 4] == struct.pack(">I", track_id):
            facts = _sample_entry_facts(_descend(track, b"mdia", b"minf", b"stbl", b"stsd"))
            is_v1 = any(
                kind == b"uuid" and content.startswith(_SPHERICAL_V1)
                for kind, content in _boxes(track)
            )
            return replace(
                facts,
                is_spherical=facts.is_spherical or is_v1,
                is_turned=_is_turned(header[at + _TO_MATRIX + (4 if header[:1] == b"\1" else 0) :]),
            )
    return HeaderFacts()


def _is_turned(matrix: bytes) -> bool:
    """Whether a display matrix, which begins with its rows (a, b, u) and (c, d, v), transposes."""
    a, b, _, c, d = (abs(value) for value in struct.unpack(">5i", matrix[:20]))
    return bool(a < b and d < c)


def _sample_entry_facts(descriptions: bytes) -> HeaderFacts:
    entries = list(_boxes(descriptions[8:]))
    _, entry = entries[0] if entries else (b"", b"")
    # Programs that decrypt may leave the encrypted description beside the plain one.
    facts = HeaderFacts(is_encrypted=bool(entries) and all(kind == b"encv" for kind, _ in entries))
    for kind, content in _boxes(entry[_VISUAL_ENTRY_BYTES:]):
        if kind == b"clap":
            numbers = struct.unpack(">IIIIiIiI", content[:32])
            width, height, right, down = (
                Fraction(numbers[place], numbers[place + 1]) for place in range(0, 8, 2)
            )
            facts = replace(facts, clean_size=(width, height, right, down))
        elif kind == b"sv3d":
            facts = replace(facts, is_spherical=True)
        elif kind == b"st3d":
            facts = replace(facts, is_stereo=content[4] != 0)
        elif kind == b"vexu":  # spatial video of Apple
            facts = replace(facts, is_stereo=True)
        elif kind in _DOLBY_VISION:
            facts = replace(facts, dolby_vision_profile=content[2] >> 1)
    return facts


def _read_moov(file: BinaryIO) -> bytes:
    while len(head := file.read(8)) == 8:
        size, kind = struct.unpack(">I4s", head)
        header = 8
        if size == 1:
            size, header = struct.unpack(">Q", file.read(8))[0], 16
        if kind == b"moov":
            return file.read(min(_LARGEST_MOOV, size - header if size else _LARGEST_MOOV))
        if size < header:
            break
        file.seek(size - header, 1)
    return b""


def _descend(content: bytes, *path: bytes) -> bytes:
    """Return the content of the first box at each step of a path; empty where one is missing."""
    for wanted in path:
        content = next((found for kind, found in _boxes(content) if kind == wanted), b"")
    return content


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of each box of an MP4 file."""
    place = 0
    while place + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, place)
        header = 8
        if size == 1:
            size, header = struct.unpack_from(">Q", content, place + 8)[0], 16
        size = size or len(content) - place
        if size < header:
            return
        yield kind, content[place + header : place + size]
        place += size


def _matroska_facts(file: BinaryIO, place: int) -> HeaderFacts:
    head = file.read(_MATROSKA_HEAD_BYTES)
    segment = next((found for name, found in _elements(head) if name == _SEGMENT), b"")
    tracks = next((found for name, found in _elements(segment) if name == _TRACKS), b"")
    chapters = next((found for name, found in _elements(segment) if name == _CHAPTERS), b"")
    count = sum(_chapter_count(found) for name, found in _elements(chapters) if name == _EDITION)
    entries = [track for name, track in _elements(tracks) if name == _TRACK_ENTRY]
    for track in entries:
        values = dict(_elements(track))
        if _number(values.get(_TRACK_TYPE, b"")) != _IS_VIDEO:
            continue
        if place == 0:
            facts = _track_facts(track, dict(_elements(values.get(_VIDEO, b""))))
            return replace(facts, chapter_count=count)
        place -= 1
    return HeaderFacts()


def _chapter_count(content: bytes) -> int:
    inside = [found for name, found in _elements(content) if name == _CHAPTER]
    return len(inside) + sum(map(_chapter_count, inside))


def _track_facts(track: bytes, video: dict[int, bytes]) -> HeaderFacts:
    def number(name: int) -> int:
        return _number(video.get(name, b""))

    projection = dict(_elements(video.get(_PROJECTION, b"")))
    size = (number(_DISPLAY_WIDTH), number(_DISPLAY_HEIGHT))
    has_size = all(size) and number(_DISPLAY_UNIT) in (0, 3)  # pixels, or an aspect ratio
    profile = None
    for name, content in _elements(track):
        addition = dict(_elements(content)) if name == _BLOCK_ADDITION else {}
        data = addition.get(_ADDITION_DATA, b"")
        if addition.get(_ADDITION_TYPE, b"")[-4:] in _DOLBY_VISION and len(data) > 2:
            profile = data[2] >> 1
    return HeaderFacts(
        crop=Crop(
            left=number(_CROP_LEFT),
            top=number(_CROP_TOP),
            right=number(_CROP_RIGHT),
            bottom=number(_CROP_BOTTOM),
        ),
        display_size=size if has_size else None,
        is_spherical=_number(projection.get(_PROJECTION_TYPE, b"")) != 0,
        is_stereo=number(_STEREO_MODE) != 0,
        dolby_vision_profile=profile,
    )


def _elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield name and content of each element of a Matroska file, up to the first cluster."""
    place = 0
    while place < len(content):
        name, place = _variable_number(content, place, keep_marker=True)
        size, place = _variable_number(content, place, keep_marker=False)
        if name == _CLUSTER:
            return
        yield name, content[place : place + size]
        place += size


def _variable_number(content: bytes, place: int, keep_marker: bool) -> tuple[int, int]:
    """Return a number of EBML and the offset behind it."""
    first = content[place]
    length = 9 - first.bit_length()
    if length > 8:
        raise ValueError(f"no EBML number at {place}")
    value = int.from_bytes(content[place : place + length], "big")
    if not keep_marker:
        value &= (1 << 7 * length) - 1
        if value == (1 << 7 * length) - 1:  # size unknown: to the end
            value = len(content)
    return value, place + length


def _number(content: bytes) -> int:
    return int.from_bytes(content, "big")
