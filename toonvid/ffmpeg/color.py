"""Color tags and pixel formats of decoded frames, and the tags that a target gets.

In: frames as FFmpeg decoded them. Out: `FrameFormat`, which decides the filter graph of
`toonvid.ffmpeg.filter_graphs`, and the `ColorTags` of the target. No pixel is touched here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import av
from av.video.codeccontext import VideoCodecContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from toonvid.video import BT601, BT709, ColorTags

UNSPECIFIED = 2
"""Code point of H.273 for an unknown matrix, primaries or transfer."""

TV_RANGE, FULL_RANGE = 1, 2
"""FFmpeg's color ranges: black is 16 and white 235, or black is 0 and white 255."""

HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
WIDE_PRIMARIES = {9, 11, 12}  # BT.2020, DCI-P3, Display P3

# FFmpeg's names of the matrices of H.273.
MATRIX_NAMES = {
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    9: "bt2020nc",
    10: "bt2020c",
}
_WRITTEN_MATRICES = {1, 5, 6}  # all video players support these
# Codecs whose standards say that black is 16 where no range is stated, of gray too. Everything else
# with gray pixels and no range is an image, whose black is 0.
_LIMITED_UNLESS_TAGGED = {"h264", "hevc", "vvc", "av1", "vp9", "mpeg2video", "mpeg4", "prores"}
_HD_WIDTH, _HD_HEIGHT = 1280, 720  # untagged frames of at least this size are taken to be BT.709


@dataclass(frozen=True)
class FrameFormat:
    """Properties of decoded frames that a filter graph depends on; a change needs a new graph."""

    width: int
    """Width as decoded, before rotation, in pixels."""
    height: int
    """Height as decoded, before rotation, in pixels."""
    pix_fmt: str
    """FFmpeg's name of the pixel format."""
    color: ColorTags
    full_range: bool
    """Whether black is 0 and white 255, rather than 16 and 235."""
    interlaced: bool
    """Whether the frames are to be deinterlaced."""
    crop: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Pixels to cut off at the left, top, right and bottom of the decoded frames."""

    @classmethod
    def from_frame(
        cls, frame: VideoFrame, interlaced: bool, crop: tuple[int, int, int, int] = (0, 0, 0, 0)
    ) -> FrameFormat:
        """Read the format of a decoded frame.

        Args:
            frame: As decoded.
            interlaced: Whether this frame or an earlier one of the stream is interlaced.
            crop: Pixels to cut off at the left, top, right and bottom.
        """
        pix_fmt = frame.format.name
        # Gray images without a range are full; video codecs' are tagged by `StatedColor`.
        is_full = frame.color_range == FULL_RANGE or pix_fmt.startswith("yuvj")
        is_gray = len(frame.format.components) < 3
        return cls(
            width=frame.width,
            height=frame.height,
            pix_fmt=pix_fmt,
            color=_color_tags(frame),
            full_range=is_full or (is_gray and frame.color_range != TV_RANGE),
            interlaced=interlaced,
            crop=crop,
        )

    @property
    def is_yuv(self) -> bool:
        """Whether pixels are YUV rather than RGB, gray or palette entries."""
        found = av.VideoFormat(self.pix_fmt)
        is_other = found.is_rgb or found.has_palette or self.pix_fmt.startswith("xyz")
        return len(found.components) >= 3 and not is_other

    @property
    def is_gray(self) -> bool:
        """Whether pixels are gray of more than one bit."""
        found = av.VideoFormat(self.pix_fmt)
        is_other = found.is_rgb or found.has_palette or self.pix_fmt.startswith("mono")
        return len(found.components) < 3 and not is_other

    @property
    def has_alpha(self) -> bool:
        """Whether pixels have an opacity."""
        return has_alpha(av.VideoFormat(self.pix_fmt))

    @property
    def exceeds_bt709(self) -> bool:
        """Whether colors may lie outside the gamut or the brightness of BT.709."""
        return self.color.primaries in WIDE_PRIMARIES or self.color.transfer in HDR_TRANSFERS


@dataclass(frozen=True)
class StatedColor:
    """Color tags of a container, for streams whose own headers have none."""

    matrix: int = UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    color_range: int = 0
    """`TV_RANGE`, `FULL_RANGE`, or 0 for unknown."""

    @classmethod
    def from_context(cls, context: VideoCodecContext) -> StatedColor:
        """Read what a container states; called before a frame is decoded, which overwrites it."""
        is_video_codec = context.codec.canonical_name in _LIMITED_UNLESS_TAGGED
        return cls(
            matrix=int(context.colorspace),
            primaries=int(context.color_primaries),
            transfer=int(context.color_trc),
            color_range=int(context.color_range) or (TV_RANGE if is_video_codec else 0),
        )

    def tag(self, frame: VideoFrame) -> VideoFrame:
        """State on a frame, in place, what the frame does not state itself."""
        if int(frame.colorspace) == UNSPECIFIED and self.matrix != UNSPECIFIED:
            frame.colorspace = self.matrix
        if int(frame.color_primaries) in (0, UNSPECIFIED):
            frame.color_primaries = self.primaries
        if int(frame.color_trc) in (0, UNSPECIFIED):
            frame.color_trc = self.transfer
        if int(frame.color_range) == 0 and self.color_range:
            frame.color_range = self.color_range
        return frame


def has_alpha(pixel_format: VideoFormat) -> bool:
    """Whether pixels have an opacity."""
    return pixel_format.has_palette or any(c.is_alpha for c in pixel_format.components)


def target_color(frame: VideoFrame) -> tuple[ColorTags, str | None]:
    """Choose the color tags of the target.

    Args:
        frame: The first frame of the source, as decoded.

    Returns:
        The tags, and a notice for the user when colors are mapped to BT.709, else None.
    """
    tags = _color_tags(frame)
    if name := HDR_TRANSFERS.get(tags.transfer):
        return BT709, f"HDR ({name}) is tone-mapped to BT.709"
    if tags.primaries in WIDE_PRIMARIES:
        return BT709, "wide gamut is mapped to BT.709"
    if tags.matrix not in _WRITTEN_MATRICES:
        return replace(tags, matrix=BT709.matrix), None
    return tags, None


def _color_tags(frame: VideoFrame) -> ColorTags:
    """Return the frame's tags; missing ones are guessed from its size, as video players do."""
    is_hd = frame.height >= _HD_HEIGHT or frame.width >= _HD_WIDTH
    matrix, primaries, transfer = (
        int(frame.colorspace),
        int(frame.color_primaries),
        int(frame.color_trc),
    )
    if matrix not in MATRIX_NAMES:
        matrix = (BT709 if is_hd else BT601).matrix
    # Primaries and transfer usually belong to the same standard as the matrix.
    standard = BT709 if matrix == BT709.matrix else BT601
    return ColorTags(
        matrix=matrix,
        primaries=standard.primaries if primaries in (0, UNSPECIFIED) else primaries,
        transfer=standard.transfer if transfer in (0, UNSPECIFIED) else transfer,
    )
