"""JPEG images to and from browsers, for the page of `toonvid live`.

In: an RGB array, or the bytes of a JPEG file. Out: the other one. Image files of `toonvid convert`
are read and written by `toonvid.reading` and `toonvid.writing`.
"""

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
from toonvid.ffmpeg.filter_graphs import encoder_graph, ready_frames
from toonvid.video import BT601, Pixels

_PIX_FMT = "yuvj420p"
_QUALITY = "4"  # FFmpeg's scale, 1 (best) to 31: good to look at, small enough to send
_MAX_PIXELS = 4096 * 2304  # of an image that a browser's camera may send


class JpegEncoder:
    """Encodes frames as JPEG files, one at a time. Not thread-safe."""

    def __init__(self) -> None:
        self._size: tuple[int, int] | None = None
        self._count = 0
        self._context: VideoCodecContext
        self._graph: Graph

    def encode(self, pixels: Pixels) -> bytes:
        """Return the JPEG file of a frame.

        Args:
            pixels: (H, W, 3) uint8, RGB. A new size opens a new encoder.
        """
        height, width = pixels.shape[:2]
        if self._size != (width, height):
            self._open(width, height)
        self._graph.vpush(VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24"))
        data = b""
        for frame in ready_frames(self._graph):
            frame.pts, frame.time_base = self._count, self._context.time_base
            self._count += 1
            data += b"".join(bytes(packet) for packet in self._context.encode(frame))
        return data

    def _open(self, width: int, height: int) -> None:
        context = av.CodecContext.create("mjpeg", "w")
        assert isinstance(context, VideoCodecContext)
        context.width, context.height, context.pix_fmt = width, height, _PIX_FMT
        context.time_base = Fraction(1, 25)
        context.options = {"qmin": _QUALITY, "qmax": _QUALITY}
        context.thread_count = 1  # frame threads would delay each frame
        self._graph = encoder_graph(
            width,
            height,
            shown=(width, height),
            pix_fmt=_PIX_FMT,
            color=BT601,
            full_range=True,
            with_alpha=False,
        )
        self._context, self._size = context, (width, height)


def decode_jpeg(data: bytes) -> Pixels:
    """Decode a JPEG file.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        SourceError: It is not a JPEG image, or larger than 4096 x 2304 pixels.
    """
    context = av.CodecContext.create("mjpeg", "r")
    assert isinstance(context, VideoCodecContext)
    context.options = {"max_pixels": str(_MAX_PIXELS)}
    context.thread_count = 1
    try:
        frames = [*context.decode(Packet(data)), *context.decode(None)]
        return np.asarray(frames[0].to_ndarray(format="rgb24"), np.uint8)
    except (FFmpegError, IndexError, ValueError) as error:
        raise SourceError("the data from the browser is not a JPEG image") from error
