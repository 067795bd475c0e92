"""Earlier: whether a target is the whole work of an earlier run of the same conversion.

So a folder run goes on where it was stopped. A target that was damaged or cut short since, or that
was made of another source or with other options, is not: it is refused as any other file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from toonvid.backends import Backend
from toonvid.reading.options import DecodeOptions
from toonvid.resume.fingerprint import Job
from toonvid.resume.segmented import SEGMENT_SECONDS
from toonvid.resume.work_folder import remove_leftovers
from toonvid.stylizing.options import StylizeOptions
from toonvid.writing.options import EncodeOptions
from toonvid.writing.part_folder import part_folder
from toonvid.writing.provenance import has_provenance_tag

_ENDS = {
    b"\xff\xd8": b"\xff\xd9",  # JPEG: first bytes -> last bytes
    b"\x89P": b"IEND\xaeB`\x82",
    b"GI": b";",
}
_SEGMENT_ID = b"\x18\x53\x80\x67"
_HEAD_BYTES = 1024
_TS_PACKET_BYTES = 188


def is_finished_target(
    source: str,
    target: str,
    backend: Backend,
    options: tuple[DecodeOptions, StylizeOptions, EncodeOptions],
) -> bool:
    """Whether nothing is left to do. What a run has left beside its target is tidied away.

    Args:
        source: Any.
        target: Any.
        backend: Open.
        options: As they are asked for now.

    Raises:
        SourceError: The source cannot be read.
    """
    source_file, target_file = Path(source), Path(target)
    if not (source_file.is_file() and target_file.is_file()):
        return False
    if source_file.stat().st_mtime_ns > target_file.stat().st_mtime_ns:
        return False
    job = Job.describe(source_file, backend, options, SEGMENT_SECONDS)
    if not (has_provenance_tag(target_file, job.identity) and _is_whole(target_file)):
        return False
    if part_folder(target_file).is_dir():
        remove_leftovers(target_file)
    return True


def _is_whole(target: Path) -> bool:
    """Whether nothing was lost at the end of a file that toonvid wrote whole."""
    suffix = target.suffix.lower()
    with target.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        if suffix in (".mp4", ".m4v", ".mov"):
            return _boxes_end(file, size) == size
        head = file.read(_HEAD_BYTES)
        file.seek(max(0, size - _HEAD_BYTES))
        tail = file.read()
    if suffix in (".mkv", ".webm"):
        return _segment_end(head) == size
    if head.startswith(b"RIFF"):  # WebP
        return size == 8 + int.from_bytes(head[4:8], "little")
    if suffix == ".ts":
        return size % _TS_PACKET_BYTES == 0
    return tail.endswith(_ENDS.get(head[:2], b"not known"))


def _boxes_end(file: BinaryIO, size: int) -> int:
    """Where the last box of an MP4 file says that it ends; 0 where there is no index."""
    at, has_index = 0, False
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        has_index |= head[4:8] == b"moov"
        at += max(length, 8)
    return at if has_index else 0


def _segment_end(head: bytes) -> int:
    """Where the head of a Matroska file says that it ends."""
    at = head.find(_SEGMENT_ID) + len(_SEGMENT_ID)
    return at + 8 + int.from_bytes(head[at + 1 : at + 8], "big")  # after a marker, seven bytes
