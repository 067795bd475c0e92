"""Further images: what an image file holds beside the one image that is read.

In: an open still image and the bytes of its file. Out: a line for each kind of content that its
target will not have: pages, views of other cameras or eyes, gain maps, and videos that phones
append to their photos. Animations are not handled here.
"""

from __future__ import annotations

import logging
import re

from PIL import Image, JpegImagePlugin, TiffImagePlugin

logger = logging.getLogger(__name__)

_MPF_IMAGE_COUNT = 0xB001  # tag of the Multi-Picture Format (CIPA DC-007)
_SUBFILE_TYPE, _SUB_IFDS, _DNG_VERSION = 0x00FE, 0x014A, 0xC612  # tags of TIFF
_HEIF_HEAD_BYTES = 2**16  # hold the properties of a HEIF file
_HEIF_HEAD = slice(4, 8)  # "ftyp"
# The first box of a video, of the brands that phones write. Eight bytes do not occur by chance.
_VIDEO = re.compile(rb"ftyp(?:mp4[12]|isom|iso[2-9]|avc1|qt  |3gp[4-9])")
# Marks of gain maps: ISO 21496-1, Adobe and Google's Ultra HDR in JPEG, Apple's and ISO's in HEIF.
_JPEG_GAIN_MAPS = (b"urn:iso:std:iso:ts:21496", b"hdr-gain-map/1.0/", b"HDRGainMap")
_HEIF_GAIN_MAPS = (b"hdrgainmap", b"tmap")


def is_camera_raw(image: Image.Image, data: bytes) -> bool:
    """Whether a TIFF is the raw file of a camera (DNG, NEF, ARW, CR2), whose first image is small.

    Args:
        image: Open, its pixels not read yet.
        data: The whole file.
    """
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return False
    tags = image.tag_v2
    is_reduced = bool(int(tags.get(_SUBFILE_TYPE, 0)) & 1) and _SUB_IFDS in tags
    return is_reduced or _DNG_VERSION in tags or data[8:10] == b"CR"


def left_out_of_image(image: Image.Image, data: bytes) -> list[str]:
    """Describe what a file holds beside its first image, one line for each kind.

    Args:
        image: A still image, open.
        data: The whole file.
    """
    lines = []
    is_heif = data[_HEIF_HEAD] == b"ftyp"
    marks, place = (
        (_HEIF_GAIN_MAPS, data[:_HEIF_HEAD_BYTES]) if is_heif else (_JPEG_GAIN_MAPS, data)
    )
    has_gain_map = (is_heif or image.format == "JPEG") and any(mark in place for mark in marks)
    if has_gain_map:
        lines.append("its HDR gain map is left out")
    further = _image_count(image) - 1 - has_gain_map
    if further > 0:
        kind = "page" if image.format == "TIFF" else "image"
        are = "s are" if further > 1 else " is"
        lines.append(f"{further} further {kind}{are} left out")
    if image.format in ("JPEG", "HEIF") and _VIDEO.search(data, _HEIF_HEAD.stop):
        lines.append("the video inside of it (a motion photo) is left out")
    return lines


def _image_count(image: Image.Image) -> int:
    try:
        if isinstance(image, JpegImagePlugin.JpegImageFile):
            return _multi_picture_count(image)
        # Of HEIF, libheif also counts tiles that a file does not mark as such.
        return int(getattr(image, "n_frames", 1)) if image.format == "TIFF" else 1
    except Exception as error:  # damaged directories raise anything, and are no reason to fail
        logger.debug("further images cannot be counted: %s", error)
        return 1


def _multi_picture_count(image: JpegImagePlugin.JpegImageFile) -> int:
    """Return the number of images that a JPEG's Multi-Picture Format lists; 1 without it."""
    index = image._getmp()  # Pillow has no public name for it
    return int(index[_MPF_IMAGE_COUNT]) if index else 1
