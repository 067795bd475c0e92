"""Recognition of image files: the formats that `toonvid.reading.image_file` reads.

In: the name of a source. Out: the bytes of its file if it is such an image. Pillow is not loaded
here, because a video does not need it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from toonvid.errors import SourceError
from toonvid.reading.stall_guard import run_with_timeout
from toonvid.video import PIPE

ImageFormat: TypeAlias = Literal["png", "jpeg", "webp", "tiff", "avif", "heic"]

_HEAD_BYTES = 12
_VIDEOS_OF_JPEGS = {".mjpeg", ".mjpg"}  # one JPEG file after the other
# Brands of HEIF files whose images are HEVC: photos of telephones, mostly grids of tiles.
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"mif1"}
_AVIF_BRANDS = {b"avif", b"avis"}


def read_image_file(name: str, stall_seconds: float) -> bytes | None:
    """Read a file whole if it is an image in one of the formats.

    Args:
        name: A path, an address, or `-`.
        stall_seconds: How long its disk may take to answer; 0 for any time.

    Returns:
        The content of the file; None for everything that is left to FFmpeg: videos, other image
        formats, and what cannot be opened, because FFmpeg's message names the reason.

    Raises:
        SourceError: The disk does not answer.
    """
    if "://" in name or name == PIPE or Path(name).suffix.lower() in _VIDEOS_OF_JPEGS:
        return None
    try:
        return run_with_timeout(lambda: _read(Path(name)), stall_seconds)
    except TimeoutError as error:
        raise SourceError(f"{name} cannot be read: {error}") from error
    except (OSError, ValueError):
        return None


def image_format(head: bytes) -> ImageFormat | None:
    """Return the format of a file with these first bytes; None for what is left to FFmpeg."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[:4] in (b"II*\0", b"MM\0*"):
        return "tiff"
    if head[4:8] == b"ftyp" and head[8:12] in _AVIF_BRANDS:
        return "avif"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS:
        return "heic"
    return None


def _read(path: Path) -> bytes | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        return None if image_format(head) is None else head + file.read()
