"""Image files: photos and animated images, with their color profiles, as FFmpeg's frames.

In: a JPEG, PNG, WebP, AVIF, HEIC or TIFF file. Out: its frames in rgb24 or rgba, rotated as EXIF
asks, with the colors of sRGB, and the EXIF data that a target is to keep. Pillow decodes, because
FFmpeg does not apply ICC profiles, does not read animated WebP or the alpha of AVIF, and gives a
single tile of a HEIC photo. All other images, and images from pipes and addresses, are left to
FFmpeg.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO

import numpy as np
from av.video.frame import VideoFrame
from PIL import (
    AvifImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from toonvid.errors import SourceError
from toonvid.ffmpeg.color import HDR_TRANSFERS, WIDE_PRIMARIES
from toonvid.reading.container import frame_too_large_error
from toonvid.reading.further_images import is_camera_raw, left_out_of_image
from toonvid.reading.icc_profile import is_srgb, to_srgb
from toonvid.reading.image_format import ImageFormat, image_format
from toonvid.reading.options import DecodeOptions
from toonvid.video import Pixels

logger = logging.getLogger(__name__)

TIME_BASE = Fraction(1, 100_000)
"""Seconds per unit of the frames' times: fine enough for the fractions of APNG."""

_ORIENTATION = 0x0112  # EXIF tag
_THUMBNAIL_IFD = 1
# EXIF tags that say how the source's own pixels are stored, which is not how the target's are.
_STALE_EXIF = (*range(0x0100, 0x0104), 0x0106, 0x0111, 0x0115, 0x0116, 0x0117, 0x011C, 0x0142)
_STALE_EXIF = (*_STALE_EXIF, *range(0x0143, 0x0146), 0x0153, 0x8773, 0x02BC, 0x83BB, 0x8649)
_HEIF_HEAD_BYTES = 2**16  # hold the properties of a HEIF file
# White, red, green and blue of sRGB in the units of PNG's cHRM chunk, 1/100,000.
_SRGB_CHROMATICITIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
_CHROMATICITY_TOLERANCE = 1000
_LEFT_TO_FFMPEG_IF_WIDE = (PngImagePlugin.PngImageFile, AvifImagePlugin.AvifImageFile)
_LEAST_DELAY_MS = 10  # shorter delays mean "as fast as possible"; programs show 100 ms then
_USUAL_DELAY_MS = 100


@dataclass(frozen=True)
class ImageProperties:
    """What a file states of itself."""

    format: str
    """Pillow's name of the format in lower case, such as `jpeg`."""
    is_animated: bool
    """Whether there is more than one frame."""
    frame_count: int
    loop_count: int
    """How often an animation is shown; 0 without end."""
    exif: bytes
    """EXIF data for a target, beginning with its TIFF header; empty without any."""


class StillOrAnimation:
    """An open image. Its frames are read by one thread at a time."""

    def __init__(self, name: str, image: Image.Image) -> None:
        """Read the properties and the first frame.

        Args:
            name: Name of the source in messages.
            image: Opened by Pillow.

        Raises:
            OSError, ValueError, SyntaxError: Pillow cannot decode it.
        """
        self.notices: list[str] = []
        """Conversions of colors that the user should know of, one line each."""
        self.damage: str | None = None
        """What could not be read, set while frames are; None for nothing."""
        self._name, self._image = name, image
        # A TIFF's further images are pages, and a JPEG's are other views.
        count = getattr(image, "n_frames", 1) if image.format in ("PNG", "WEBP", "AVIF") else 1
        self._first_index = int(bool(image.info.get("default_image")) and count > 1)
        self._count = count - self._first_index
        if self._first_index:  # an APNG whose first image is not part of the animation
            image.seek(1)
        self.first = self._frame(0, 0)
        """The first frame, as `frames` yields it."""
        self.properties = ImageProperties(
            format=(image.format or "image").lower(),
            is_animated=self._count > 1,
            frame_count=self._count,
            loop_count=_loop_count(image),
            exif=_kept_exif(image),
        )

    def frames(self) -> Iterator[VideoFrame]:
        """Yield all frames in rgb24, or rgba where the file has opacity, with times from 0 on."""
        frame, end = self.first, self.first.duration
        yield frame
        for index in range(1, self._count):
            try:
                self._image.seek(self._first_index + index)
                frame = self._frame(index, end)
            except Exception as error:  # decoders raise anything on damaged files
                logger.debug("%s: frame %d: %s", self._name, index, error)
                self.damage = f"{self._count - index} of its {self._count} frames cannot be decoded"
                return
            end += frame.duration
            yield frame

    def _frame(self, index: int, pts: int) -> VideoFrame:
        self._image.load()
        upright = ImageOps.exif_transpose(self._image)
        converted, notice = to_srgb(upright, self._image.info.get("icc_profile"))
        if notice and index == 0:
            self.notices.append(notice)
        pixels = _rgb_or_rgba(converted)
        frame = VideoFrame.from_ndarray(pixels, "rgba" if pixels.shape[2] == 4 else "rgb24")
        frame.pts, frame.time_base = pts, TIME_BASE
        frame.duration = self._delay() if self._count > 1 else 0
        return frame

    def _delay(self) -> int:
        """Return how long the current frame is shown, in units of `TIME_BASE`."""
        delay = float(self._image.info.get("duration") or 0)
        return round((delay if delay >= _LEAST_DELAY_MS else _USUAL_DELAY_MS) / 1000 / TIME_BASE)


def open_image_file(name: str, data: bytes, options: DecodeOptions) -> StillOrAnimation | None:
    """Open an image that this module reads.

    Args:
        name: Name of the source in messages.
        data: The whole file, from `toonvid.reading.image_format.read_image_file`.
        options: Limit of size.

    Returns:
        The image; None for what is left to FFmpeg: HDR images, and damaged images, of which FFmpeg
        may decode a part.

    Raises:
        SourceError: It is above the pixel limit, a camera's raw file, or a HEIC photo that cannot
            be read, of which FFmpeg would give a piece.
    """
    format_ = image_format(data)
    assert format_ is not None, "read_image_file gives nothing else"
    plugin = _PLUGINS[format_]
    try:
        image = plugin(BytesIO(data))
        if image.width * image.height > options.max_pixels:
            raise frame_too_large_error(name, *image.size, options.max_pixels)
        if is_camera_raw(image, data):
            raise SourceError(
                f"{name} is a camera's raw file, of which only a preview could be read: develop it"
                " to JPEG, PNG or TIFF first"
            )
        is_wide = has_wide_colors(data)
        if is_wide and plugin in _LEFT_TO_FFMPEG_IF_WIDE and b"grid" not in data[:_HEIF_HEAD_BYTES]:
            return None
        opened = StillOrAnimation(name, image)
        if not opened.properties.is_animated:
            opened.notices += left_out_of_image(image, data)
        if _ends_early(data):
            opened.damage = "its end is missing"
        if is_wide:
            opened.notices.append("its HDR or wide colors are taken for standard ones")
        return opened
    except SourceError:
        raise
    except Exception as error:  # decoders raise anything on damaged files
        if format_ != "heic":
            logger.debug("%s is left to FFmpeg: %s", name, error)
            return None
        raise SourceError(
            f"{name} is a HEIC image that libheif cannot read ({error}); save it as JPEG or PNG"
        ) from error


def is_plain(data: bytes) -> bool:
    """Whether any decoder reads a file right: it has no opacity and no colors but those of sRGB.

    Only the file's head is read, which takes a small part of the time of decoding it.

    Args:
        data: The whole file.
    """
    format_ = image_format(data)
    if format_ in (None, "avif", "heic"):
        return format_ is None
    try:
        image = _PLUGINS[format_](BytesIO(data))
        return not image.has_transparency_data and is_srgb(image.info.get("icc_profile"))
    except Exception as error:  # decoders raise anything on damaged files
        logger.debug("%s file: %s", format_, error)
        return True


def has_wide_colors(data: bytes) -> bool:
    """Whether a PNG or HEIF file states colors beyond sRGB without an ICC profile.

    FFmpeg's decoders read these statements and libswscale maps such colors; Pillow does neither.
    """
    if data.startswith(b"\x89PNG"):
        head = data[: data.find(b"IDAT")]
        if (place := head.find(b"cICP")) >= 0:
            return _is_wide(head[place + 4], head[place + 5])
        place = head.find(b"cHRM")
        if place < 0 or b"iCCP" in head or b"sRGB" in head:
            return False
        stated = struct.unpack_from(">8I", head, place + 4)
        return any(
            abs(value - own) > _CHROMATICITY_TOLERANCE
            for value, own in zip(stated, _SRGB_CHROMATICITIES, strict=True)
        )
    head = data[:_HEIF_HEAD_BYTES]
    place = head.find(b"colrnclx")
    if head[4:8] != b"ftyp" or place < 0 or b"colrprof" in head:
        return False
    return _is_wide(*struct.unpack_from(">HH", head, place + 8))


def _ends_early(data: bytes) -> bool:
    """Whether a HEIF file is shorter than its boxes say; libheif decodes the tiles it has."""
    place = 0
    while data[4:8] == b"ftyp" and place + 16 <= len(data):
        (size,) = struct.unpack_from(">I", data, place)
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, place + 8)
        if size < 8:
            return False
        place += size
    return place > len(data)


def _is_wide(primaries: int, transfer: int) -> bool:
    return primaries in WIDE_PRIMARIES or transfer in HDR_TRANSFERS


def _open_heic(file: BytesIO) -> Image.Image:
    import pi_heif  # loads libheif, which nothing else needs

    opened: Image.Image = pi_heif.HeifImageFile(file)
    return opened


# The formats' classes are used rather than `Image.open`, which has a pixel limit of its own that a
# library must not change for the whole process.
_PLUGINS: dict[ImageFormat, Callable[[BytesIO], Image.Image]] = {
    "png": PngImagePlugin.PngImageFile,
    "jpeg": JpegImagePlugin.JpegImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
    "tiff": TiffImagePlugin.TiffImageFile,
    "avif": AvifImagePlugin.AvifImageFile,
    "heic": _open_heic,
}


def _rgb_or_rgba(image: Image.Image) -> Pixels:
    """Return the pixels (H, W, 3 or 4), uint8, of an image in any of Pillow's modes.

    Raises:
        ValueError: The values have no range that could be mapped to 0..255.
    """
    if image.mode.startswith("I;16"):
        gray = np.asarray(image).astype(np.uint32)
        gray8 = ((gray * 255 + 32767) // 65535).astype(np.uint8)
        return np.repeat(gray8[:, :, None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise ValueError(f"values without a stated range (mode {image.mode})")
    has_alpha = image.has_transparency_data
    return np.array(image.convert("RGBA" if has_alpha else "RGB"))


def _loop_count(image: Image.Image) -> int:
    """Return how often an animation is shown; 0 without end, which is the default of AVIF."""
    return int(image.info.get("loop") or 0)


def _kept_exif(image: Image.Image) -> bytes:
    """Return the EXIF data without what is no longer true: orientation, sizes and the thumbnail."""
    try:
        exif = image.getexif()
        if not exif:
            return b""
        for tag in (_ORIENTATION, *_STALE_EXIF):
            exif.pop(tag, None)
        exif.get_ifd(_THUMBNAIL_IFD).clear()
        return exif.tobytes().removeprefix(b"Exif\0\0") if exif else b""
    except Exception as error:  # damaged EXIF raises anything, and is no reason to fail
        logger.debug("EXIF is left out: %s", error)
        return b""
