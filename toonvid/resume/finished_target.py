"""Whether a target is the whole result of an earlier run of the same conversion.

A source, a target and the options go in; True or False comes out. A folder run uses it to go on
where it was stopped. A target that was damaged or cut short since, or that was made from another
source or with other options, is not finished: it is refused like any other existing file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from toonvid.backends import Backend
from toonvid.pipeline import ConvertOptions
from toonvid.resume.fingerprint import Job
from toonvid.resume.work_folder import remove_leftovers
from toonvid.video import PIPE
from toonvid.writing.part_folder import part_folder
from toonvid.writing.provenance import has_provenance_tag

# First bytes of an image file -> its last bytes.
_IMAGE_ENDS = {
    b"\xff\xd8": b"\xff\xd9",  # JPEG: start and end of image
    b"\x89P": b"IEND\xaeB`\x82",  # PNG
    b"GI": b";",  # GIF
}
_MATROSKA_SEGMENT_ID = b"\x18\x53\x80\x67"
_HEAD_BYTES = 1024
_TS_PACKET_BYTES = 188


def is_finished_target(
    source: str,
    target: str,
    backend: Backend,
    options: ConvertOptions,
) -> bool:
    """Whether a target is finished, so that nothing is left to do.

    Files that a run left beside its finished target are deleted.

    Args:
        source: Anything that can be converted; only files can be finished.
        target: A path, or `-`.
        backend: Open backend with the engine of the style.
        options: What is asked for now.

    Raises:
        SourceError: The source cannot be read.
    """
    source_file, target_file = Path(source), Path(target)
    if not (source_file.is_file() and target_file.is_file()):
        return False
    if source_file.stat().st_mtime_ns > target_file.stat().st_mtime_ns:
        return False
    job = Job.describe(source_file, backend, options)
    if not (has_provenance_tag(target_file, job.identity) and _is_complete(target_file)):
        return False
    if part_folder(target_file).is_dir():
        remove_leftovers(target_file)
    return True


def has_leftovers(target: str) -> bool:
    """Whether there is a target, and the folder of an unfinished one beside it."""
    return target != PIPE and Path(target).is_file() and part_folder(Path(target)).is_dir()


def _is_complete(target: Path) -> bool:
    """Whether a file that toonvid wrote has not lost its end.

    Every format but MPEG-TS tells its length or has an end marker. Decoding the file would be
    surer, and would take about as long as the conversion itself.
    """
    suffix = target.suffix.lower()
    with target.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        if suffix in (".mp4", ".m4v", ".mov"):
            return _mp4_end(file, size) == size
        head = file.read(_HEAD_BYTES)
        file.seek(max(0, size - _HEAD_BYTES))
        tail = file.read()
    if suffix in (".mkv", ".webm"):
        return _matroska_end(head) == size
    if head.startswith(b"RIFF"):  # WebP
        return size == 8 + int.from_bytes(head[4:8], "little")
    if suffix == ".ts":
        return size % _TS_PACKET_BYTES == 0
    return tail.endswith(_IMAGE_ENDS.get(head[:2], b"not known"))


def _mp4_end(file: BinaryIO, size: int) -> int:
    """Offset at which the last box of an MP4 file ends by its own length; 0 without an index."""
    offset, has_index = 0, False
    while offset + 8 <= size:
        file.seek(offset)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:  # a box above 4 GiB has its length behind its name
            length = int.from_bytes(head[8:16], "big")
        has_index |= head[4:8] == b"moov"
        offset += max(length, 8)
    return offset if has_index else 0


def _matroska_end(head: bytes) -> int:
    """Offset at which a Matroska file's Segment ends by its own length, which is seven bytes."""
    offset = head.find(_MATROSKA_SEGMENT_ID) + len(_MATROSKA_SEGMENT_ID)
    return offset + 8 + int.from_bytes(head[offset + 1 : offset + 8], "big")
