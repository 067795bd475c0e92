"""A recording: live cartoons as a film at their own times, in pieces of a second that are whole at
once: what was written can be played even if the process is killed.

The source's sound goes along as packets. Unlike `toonvid.writing.encoder` this writes in the target's place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.bitstream import BitStreamFilterContext
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from toonvid.errors import TargetError
from toonvid.ffmpeg.color import TV_RANGE, encoder_graph, ready_frames
from toonvid.live.camera import Camera
from toonvid.live.feed import LIVE_TIME_BASE
from toonvid.stylizing.resize import letterbox
from toonvid.video import BT709, AuxiliaryStreams, Frame
from toonvid.writing.codec import Codec
from toonvid.writing.containers import VIDEO_CONTAINERS
from toonvid.writing.provenance import TAG_KEY, video_tag
from toonvid.writing.remux import Remuxer

_PIECE = round(
    1 / LIVE_TIME_BASE
)  # units of the clock from key frame to key frame, and from piece to piece
_USUAL_RATE = Fraction(25)
_FASTER = {"libx264": ("superfast", {"tune": "zerolatency", "forced-idr": "1"})}
# The header waits for the first piece: sound may say only then how it is to be decoded.
_FRAGMENTS = {"movflags": "+frag_keyframe+delay_moov+default_base_moof"}
_PIECES = {
    "mp4": _FRAGMENTS,
    "mov": _FRAGMENTS,
    "matroska": {"cluster_time_limit": "1000"},
    "webm": {"cluster_time_limit": "1000"},
}
# Packets reach the disk at once, and a sound that falls silent is waited for a second at most.
_MUXING = {"flush_packets": "1", "max_interleave_delta": "1000000"}


class Recording:
    """One film that is being recorded. A context manager; used by one thread."""

    def __init__(self, target: Path, style: str, camera: Camera) -> None:
        """Remember what to write.

        Args:
            target: Replaced if it is there.
            style: Goes into the target's mark.
            camera: Open; its sound goes along.
        """
        self.target = target
        self.frame_count = 0
        self.notices: list[str] = []
        """What of the sound was converted or left out, each in a few words; known at the end."""
        self._style = style
        self._camera = camera
        self._name = VIDEO_CONTAINERS[target.suffix.lower()]
        self._codec = Codec("libvpx-vp9" if self._name == "webm" else "libx264")
        self._headings: dict[int, BitStreamFilterContext] = {}  # stream index -> what it needs
        self._stream: VideoStream | None = None
        self._start = self._last_pts = self._next_piece = 0

    def __enter__(self) -> Recording:
        try:
            self._container = av.open(
                str(self.target),
                "w",
                format=self._name,
                container_options=_MUXING | _PIECES.get(self._name, {}),
            )
        except (FFmpegError, OSError) as error:
            raise self._failure(error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._stream is not None and error is None:
                sound = list(self._sound_packets())
                self._container.mux(self._stream.encode(None))
                self._remuxer.write(sound)
                self._remuxer.finish()
                self.notices = self._remuxer.notices
            self._container.close()
        except (FFmpegError, OSError) as failure:
            if error is None:
                raise self._failure(failure) from failure

    def write(self, frame: Frame) -> None:
        """Write one cartoon, timed by the camera's clock; all go into the size of the first.

        Raises:
            TargetError: The disk is full, say.
        """
        try:
            if self._stream is None:
                self._begin(frame)
            self._remuxer.write(self._sound_packets())
            self._encode(frame)
        except (FFmpegError, OSError) as error:
            raise self._failure(error) from error
        self.frame_count += 1

    def _begin(self, first: Frame) -> None:
        height, width = (side - side % 2 for side in first.pixels.shape[:2])
        preset, options = _FASTER.get(self._codec.name, (None, {}))
        if preset:
            self._codec = replace(self._codec, preset=preset)
        stream = self._container.add_stream(
            self._codec.name,
            rate=self._camera.frame_rate or _USUAL_RATE,
            options=self._codec.options() | options,
        )
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = stream.time_base = LIVE_TIME_BASE
        context = stream.codec_context
        context.color_range, context.colorspace = TV_RANGE, BT709.matrix
        context.color_primaries, context.color_trc = BT709.primaries, BT709.transfer
        stream.metadata[TAG_KEY] = video_tag(self._style)
        with self._camera.audio.streams() as streams:
            self._remuxer = Remuxer(
                AuxiliaryStreams(streams), self._container, audio=True, subtitles=False
            )
            if self._name in ("mp4", "mov"):
                self._headings = {s.index: _heading(s) for s in streams if _lacks_heading(s)}
            self._container.start_encoding()
        self._graph = encoder_graph(
            width, height, (width, height), "yuv420p", BT709, False, with_alpha=False
        )
        self._stream = stream
        self._start = self._next_piece = first.pts
        self._last_pts = first.pts - 1

    def _encode(self, frame: Frame) -> None:
        assert self._stream is not None
        width, height = self._stream.width, self._stream.height
        pixels = frame.pixels
        if (pixels.shape[1] // 2, pixels.shape[0] // 2) == (width // 2, height // 2):
            pixels = pixels[:height, :width]
        pixels = letterbox(pixels, width, height)
        self._last_pts = max(frame.pts, self._last_pts + 1)
        self._graph.vpush(VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24"))
        for picture in ready_frames(self._graph):
            picture.pts, picture.time_base = self._last_pts - self._start, LIVE_TIME_BASE
            if frame.pts >= self._next_piece:
                picture.pict_type = PictureType.I
                self._next_piece = frame.pts + _PIECE
            self._container.mux(self._stream.encode(picture))

    def _sound_packets(self) -> Iterator[Packet[Stream]]:
        """Yield the sound that has come, on the recording's clock; that before its start is left out."""
        for packet in self._camera.audio.take():
            shift = round(self._start * LIVE_TIME_BASE / packet.time_base)
            assert packet.pts is not None and packet.dts is not None
            packet.pts -= shift
            packet.dts -= shift
            heading = self._headings.get(packet.stream_index)
            if packet.pts >= 0:
                yield from [packet] if heading is None else heading.filter(packet)

    def _failure(self, error: FFmpegError | OSError) -> TargetError:
        reason = error.strerror or str(error)
        return TargetError(f"cannot record {self.target}: {reason.lower()}")


def _lacks_heading(sound: Stream) -> bool:
    """Whether each packet of AAC says how it is decoded, as in broadcasts, and the stream does not.

    FFmpeg mends that by itself, but not in a film of pieces.
    """
    context = sound.codec_context
    return context.codec.canonical_name == "aac" and not context.extradata


def _heading(sound: Stream) -> BitStreamFilterContext:
    """Moves what the packets say to the stream."""
    return BitStreamFilterContext("aac_adtstoasc", sound)
