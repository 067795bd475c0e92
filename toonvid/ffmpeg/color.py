"""Color tags and pixel formats of decoded frames, and the tags that a target gets.

In: frames as FFmpeg decoded them. Out: `FrameFormat`, which decides the filter graph of
`toonvid.ffmpeg.filter_graphs`, and the `ColorTags` of the target. No pixel is touched here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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
_HD_WIDTH, _HD_HEIGHT = 1280, 720  # untagged frames of at least this size are taken to be BT.709
_YUV_PREFIXES = ("yuv", "nv", "p0", "p2", "p4", "y2", "uyvy", "yvyu")
_ALPHA_PREFIXES = ("pal8", "rgba", "bgra", "argb", "abgr", "ya", "yuva", "gbrap")


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

    @classmethod
    def from_frame(cls, frame: VideoFrame, interlaced: bool) -> FrameFormat:
        """Read the format of a decoded frame.

        Args:
            frame: As decoded.
            interlaced: Whether this frame or an earlier one of the stream is interlaced.
        """
        pix_fmt = frame.format.name
        return cls(
            width=frame.width,
            height=frame.height,
            pix_fmt=pix_fmt,
            color=_color_tags(frame),
            full_range=frame.color_range == FULL_RANGE or pix_fmt.startswith("yuvj"),
            interlaced=interlaced,
        )

    @property
    def is_yuv(self) -> bool:
        """Whether pixels are YUV rather than RGB, gray or palette entries."""
        return self.pix_fmt.startswith(_YUV_PREFIXES)

    @property
    def has_alpha(self) -> bool:
        """Whether pixels have an opacity."""
        return self.pix_fmt.startswith(_ALPHA_PREFIXES)

    @property
    def exceeds_bt709(self) -> bool:
        """Whether colors may lie outside the gamut or the brightness of BT.709."""
        return self.color.primaries in WIDE_PRIMARIES or self.color.transfer in HDR_TRANSFERS


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
