"""Values that travel from reading to writing: frames, `VideoInfo` and auxiliary streams.

`toonvid.reading` makes them, `toonvid.stylizing` replaces the pixels of frames, and
`toonvid.writing` consumes them. Nothing here opens a file.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

from toonvid.errors import SourceError

if TYPE_CHECKING:
    from av.container.core import Chapter
    from av.packet import Packet
    from av.stream import Stream

Pixels: TypeAlias = NDArray[np.uint8]

PIPE = "-"
"""Name of standard input as a source and of standard output as a target."""

HANDFUL = 5
"""Packets or frames that may be left out of a target with a note; more are reported as a loss, or
for leading frames, which no decoder gives, with their number."""

LARGE_FRAME_PIXELS = 2**25
"""Pixels of a frame above which memory counts more than speed; frames of 8K have fewer. Each stage
then holds as few frames as it can."""


@dataclass(frozen=True)
class Frame:
    """One frame: pixels, and the time at which they are shown."""

    pixels: Pixels
    """Shape (H, W, 3), uint8, RGB, with the source's rotation already applied."""
    pts: int
    """Presentation time, in units of `time_base`."""
    time_base: Fraction
    """Seconds per unit of `pts`."""
    duration: int = 0
    """Time on screen, in units of `time_base`; 0 when the source does not state it."""
    alpha: Pixels | None = None
    """Opacity, shape (H, W), uint8, 0 for transparent; None when every pixel is opaque."""

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 3 or self.pixels.shape[2] != 3:
            raise ValueError(f"{self.pixels.shape = }, {self.pixels.dtype = }")
        if self.alpha is not None and self.alpha.shape != self.pixels.shape[:2]:
            raise ValueError(f"{self.alpha.shape = } beside {self.pixels.shape = }")

    @property
    def seconds(self) -> Fraction:
        """Presentation time in seconds."""
        return seconds(self.pts, self.time_base)


def like_without_pixels(frame: Frame) -> Frame:
    """Return a frame of the same size, times and transparency whose pixels take no memory."""
    nothing = np.zeros(1, np.uint8)
    return replace(
        frame,
        pixels=np.broadcast_to(nothing, frame.pixels.shape),
        alpha=None if frame.alpha is None else np.broadcast_to(nothing, frame.alpha.shape),
    )


@dataclass(frozen=True)
class ColorTags:
    """Meaning of a frame's color values, as code points of ITU-T H.273."""

    matrix: int
    """Matrix between RGB and YUV."""
    primaries: int
    """Chromaticities of red, green, blue and white."""
    transfer: int
    """Transfer function (gamma curve)."""


BT709 = ColorTags(matrix=1, primaries=1, transfer=1)
BT601 = ColorTags(matrix=6, primaries=6, transfer=6)
"""SMPTE 170M, the 525-line half of BT.601."""


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a source that are known before its frames are decoded.

    Width and height hold for every frame. The times and counts are what the container states; the
    truth is in each frame.
    """

    name: str
    """Name of the source in messages."""
    container: str
    """FFmpeg's name of the source's container format."""
    width: int
    """Width of the frames in pixels, after rotation and scaling."""
    height: int
    """Height of the frames in pixels, after rotation and scaling."""
    time_base: Fraction
    """Time base of the source's video stream, in seconds per unit."""
    frame_rate: Fraction | None = None
    """Average frames per second; None when the source does not state it."""
    duration_seconds: float | None = None
    """Duration of the requested part; None when the source does not state it."""
    frame_count: int | None = None
    """Estimated number of frames; None when duration or frame rate is unknown."""
    sample_aspect_ratio: Fraction = Fraction(1)
    """Width of a pixel over its height, as displayed."""
    color: ColorTags = BT709
    """Tags for the target: the source's own, or the nearest ones that the target can hold."""
    audio_bit_rate: int = 0
    """Bits per second of all audio streams together, as far as the source states them."""
    is_image: bool = False
    """Whether the source is a still image."""
    is_animated_image: bool = False
    """Whether the source is an animated image: GIF, APNG, WebP or AVIF."""
    loop_count: int = 0
    """How often an animated image is shown; 0 without end."""
    has_alpha: bool = False
    """Whether the source's pixels have an opacity, even where all of them are opaque; of a GIF,
    whether the first frame has transparent pixels."""
    exif: bytes = b""
    """EXIF data of an image that its target keeps, from the TIFF header on; empty for none."""


class PacketQueue:
    """Packets of auxiliary streams on their way from the decoder's thread to the muxer's.

    First in, first out. The decoder puts in the packets that it reads between two video packets;
    the muxer takes all of them with each frame. Safe with one thread at either end.
    """

    # A full queue cannot make the decoder wait, because that could be a deadlock: the muxer takes
    # packets when it gets a frame, and the next frame may come in the file after the very packets
    # that do not fit (audio that is stored before its video, or lasts longer). Instead it is an
    # error to exceed the limit, as with FFmpeg's -max_muxing_queue_size. Files stay far below it:
    # interleaved ones keep at most a second of audio waiting, and 1 GiB is 100 minutes of
    # uncompressed stereo before the first frame. Code that reads without encoding
    # (`toonvid.resume.join`) takes packets one by one.
    LIMIT_BYTES = 2**30
    _OVERHEAD_BYTES = 512  # per packet, beside its content: subtitle packets are small and many

    def __init__(self, source: str = "the source", limit_bytes: int = LIMIT_BYTES) -> None:
        """Create an empty queue.

        Args:
            source: Name of the source in messages.
            limit_bytes: Maximum size of all waiting packets.
        """
        self._source = source
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._waiting: list[Packet[Stream]] = []
        self._waiting_bytes = 0
        self._is_discarding = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, packet: Packet[Stream]) -> None:
        """Add a packet at the end.

        Raises:
            SourceError: The waiting packets would exceed the limit.
        """
        with self._lock:
            if self._is_discarding:
                return
            self._waiting_bytes += packet.size + self._OVERHEAD_BYTES
            if self._waiting_bytes > self._limit_bytes:
                raise SourceError(
                    f"{self._source} has more than {self._limit_bytes / 2**20:.0f} MiB of audio and"
                    " subtitles between two frames; convert it from a file to .mp4 or .mkv"
                )
            self._waiting.append(packet)

    def take(self) -> list[Packet[Stream]]:
        """Remove and return all waiting packets, in order."""
        with self._lock:
            taken, self._waiting, self._waiting_bytes = self._waiting, [], 0
        return taken

    def discard(self) -> None:
        """Drop the waiting packets and all later ones, when no muxer will take them."""
        with self._lock:
            self._is_discarding = True
            self._waiting, self._waiting_bytes = [], 0


@dataclass(frozen=True)
class AuxiliaryStreams:
    """Everything in a source but its video frames. Valid only while the decoder is open."""

    streams: tuple[Stream, ...] = ()
    """Streams of audio, subtitles, cover images, attachments and data, in the source's order."""
    packets: PacketQueue = field(default_factory=PacketQueue)
    """Packets of `streams` except covers, in the source's order, as far as it has been read."""
    covers: list[Packet[Stream]] = field(default_factory=list)
    """Cover images, each the only packet of its stream; all are read before the first frame."""
    chapters: tuple[Chapter, ...] = ()
    """Chapters of the requested part."""
    metadata: dict[str, str] = field(default_factory=dict)
    """Metadata of the container."""
    video_metadata: dict[str, str] = field(default_factory=dict)
    """Metadata of the video stream."""
    video_disposition: int = 0
    """FFmpeg's disposition flags of the video stream."""


def square_pixel_size(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    """Return (width, height) of frames that are enlarged until their pixels are square.

    Args:
        width: Width of the frames, in pixels.
        height: Height of the frames, in pixels.
        aspect: Width of a pixel over its height, when shown.
    """
    one = Fraction(1)
    return round(width * max(aspect, one)), round(height / min(aspect, one))


def over_white(pixels: Pixels, alpha: Pixels) -> Pixels:
    """Blend an image over white.

    Args:
        pixels: (H, W, 3) uint8, RGB.
        alpha: Opacity, (H, W) uint8, 0 for transparent.
    """
    opacity = alpha[:, :, None].astype(np.uint16)
    mixed = pixels * opacity + 255 * (255 - opacity)  # at most 255 * 255: fits 16 bits
    return ((mixed + 127) // 255).astype(np.uint8)


def is_cover(stream: Stream) -> bool:
    """Whether a video stream is a cover image (attached picture) rather than a video."""
    return bool(stream.disposition & Disposition.attached_pic)


def seconds(time: int, time_base: Fraction) -> Fraction:
    """Convert a time in units of `time_base` to seconds, exactly."""
    return time * time_base
