"""JPEG: pictures to and from what browsers send and show."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.error import FFmpegError
from av.filter.graph import Graph
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from toonvid.errors import SourceError
from toonvid.ffmpeg.color import encoder_graph, ready_frames
from toonvid.video import BT601, Pixels

_PIX_FMT = "yuvj420p"
_QUALITY = "4"  # FFmpeg's scale, 2 is the finest but one: good to look at, small enough to send
_MOST_PIXELS = 4096 * 2304  # what a camera in a browser may send


class JpegEncoder:
    """Writes pictures as JPEG files, one after the other; used by one thread at a time."""

    def __init__(self) -> None:
        self._size: tuple[int, int] | None = None
        self._count = 0
        self._context: VideoCodecContext
        self._graph: Graph

    def encode(self, pixels: Pixels) -> bytes:
        """The file of a picture, (H, W, 3)."""
        height, width = pixels.shape[:2]
        if self._size != (width, height):
            self._open(width, height)
        self._graph.vpush(VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24"))
        data = b""
        for picture in ready_frames(self._graph):
            picture.pts, picture.time_base = self._count, self._context.time_base
            self._count += 1
            data += b"".join(bytes(packet) for packet in self._context.encode(picture))
        return data

    def _open(self, width: int, height: int) -> None:
        context = av.CodecContext.create("mjpeg", "w")
        assert isinstance(context, VideoCodecContext)
        context.width, context.height, context.pix_fmt = width, height, _PIX_FMT
        context.time_base = Fraction(1, 25)
        context.options = {"qmin": _QUALITY, "qmax": _QUALITY}
        context.thread_count = 1  # threads that share out pictures hold them back
        self._graph = encoder_graph(
            width, height, (width, height), _PIX_FMT, BT601, True, with_alpha=False
        )
        self._context, self._size = context, (width, height)


def decode_jpeg(data: bytes) -> Pixels:
    """The picture in a JPEG file, (H, W, 3), RGB.

    Raises:
        SourceError: It is none, or larger than any camera's.
    """
    context = av.CodecContext.create("mjpeg", "r")
    assert isinstance(context, VideoCodecContext)
    context.options = {"max_pixels": str(_MOST_PIXELS)}
    context.thread_count = 1
    try:
        frames = [*context.decode(Packet(data)), *context.decode(None)]
        return np.asarray(frames[0].to_ndarray(format="rgb24"), np.uint8)
    except (FFmpegError, IndexError, ValueError) as error:
        raise SourceError("what came from the browser is no picture") from error
