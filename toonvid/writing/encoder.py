"""Encoder: RGB frames become packets of one video codec, at the frames' own times.

In: `Frame`s, whose times rise. Out: packets, with the time base and the extradata that a decoder
needs before the first of them. Where packets go is not known here: `toonvid.writing.muxer` puts
them into a target, `toonvid.resume.segment_file` into a segment.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
from av.codec.context import Flags
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from toonvid.errors import TargetError
from toonvid.ffmpeg.filter_graphs import encoder_graph, ready_frames
from toonvid.ffmpeg.opening import open_encoder
from toonvid.video import LARGE_FRAME_PIXELS, Frame, VideoInfo
from toonvid.writing.codec import Codec
from toonvid.writing.containers import ANIMATION_CONTAINERS, target_format
from toonvid.writing.options import EncodeOptions
from toonvid.writing.rgb_input import is_full_range, rgb_image, tag_colors, written_color

# In 1/100 s. Browsers and FFmpeg itself show frames of 1/100 s for 1/10 s.
_SHORTEST_GIF_DELAY = 2
_SHORTEST_GIF_SECONDS = Fraction(_SHORTEST_GIF_DELAY, 100)
_GUESSED_FRAME_RATE = Fraction(25)  # where the source states none; the pts alone count
# For large frames: encoders hold the frames that they look ahead to, and those of their threads.
_LITTLE_MEMORY = {
    "libx264": {"x264-params": "rc-lookahead=0:mbtree=0:bframes=0:ref=1:sliced-threads=1"},
    "libx265": {"x265-params": "rc-lookahead=0:bframes=0:ref=1:frame-threads=1"},
    "libsvtav1": {"svtav1-params": "lookahead=0:pred-struct=1"},
    "libvpx-vp9": {"lag-in-frames": "0"},
}
_BIT_RATE_TOLERANCE = 128000  # bits per second


class Encoder:
    """Encodes the frames of one video. Used by one thread at a time.

    `open` comes first, then `encode` with each frame, then `flush`.
    """

    def __init__(
        self,
        target: str | Path,
        info: VideoInfo,
        options: EncodeOptions | None = None,
        codec: Codec | None = None,
        threads: int = 0,
    ) -> None:
        """Choose the codec. Nothing is opened.

        Args:
            target: The file that the packets are for, or `-` for standard output. Its suffix names
                the container, which decides on the codec and has demands on the encoder.
            info: What is known of the source: frame rate, pixel aspect ratio and color tags.
            options: None for the defaults.
            codec: In place of the one that `options` ask for.
            threads: Number of threads; 0 for as many as the machine has cores. Encoders such as
                libx264 cut frames into as many slices, so that the bytes depend on it.

        Raises:
            TargetError: No container goes by this suffix, or the options do not fit the codec.
            DeviceMissingError: The codec needs hardware that this machine lacks.
        """
        self.target = str(target)
        self.info = info
        self.options = options or EncodeOptions()
        self.format = target_format(self.target, info)
        self.codec = codec or Codec(
            name=self.options.codec or self.format.default_codec,
            crf=self.options.crf,
            preset=self.options.preset,
            pix_fmt=self.options.pix_fmt,
        )
        self._threads = threads
        self.frame_rate = info.frame_rate or _GUESSED_FRAME_RATE
        """Frames per second, as stated to codec and container."""
        self.frame_count = 0
        """Frames encoded so far."""
        self.times: tuple[Fraction, Fraction] | None = None
        """Times of the first and the last frame, in seconds; None before the first."""
        self.last_duration_seconds = Fraction(0)
        """How long the last frame is shown; 0 before the first and where it is not known."""
        self._context: VideoCodecContext | None = None
        self._with_alpha = self._is_alpha_lost = False
        self._packet_count = self._byte_count = self._left_out = 0

    @property
    def expected_bytes(self) -> int:
        """Bytes that the frames so far take, about: the codec holds the last packets back."""
        if not self._packet_count:
            return 0
        return self._byte_count * self.frame_count // self._packet_count

    @property
    def notices(self) -> tuple[str, ...]:
        """Promises of toonvid that the codec does not keep, for the user. Known at the end."""
        alpha = None
        if self._is_alpha_lost:
            alpha = f"{self.codec.name} holds no opacity: transparent parts are laid on white"
            if not self.format.is_image:
                alpha += " (.webm, .mov, .png, .webp and .gif hold it)"
        left_out = None
        if self._left_out:
            frames = "1 frame is" if self._left_out == 1 else f"{self._left_out} frames are"
            left_out = (
                f"{frames} left out: a GIF shows each for {_SHORTEST_GIF_DELAY}/100 s at least"
            )
        return tuple(filter(None, (self.codec.notice, alpha, left_out)))

    @property
    def time_base(self) -> Fraction:
        """Seconds in one unit of the packets' times. Known once open."""
        assert self._context is not None
        return Fraction(self._context.time_base or 0)

    @property
    def extradata(self) -> bytes:
        """Headers that a decoder needs before the first packet. Known once open."""
        assert self._context is not None
        return bytes(self._context.extradata or b"")

    def open(self, first: Frame, context: VideoCodecContext | None = None) -> None:
        """Open the codec for frames with the size, time base and transparency of `first`.

        Args:
            first: Need not be encoded; its pixels do not matter.
            context: The codec context of a container's stream, which describes the packets in the
                container's header. None creates one that belongs to no container.

        Raises:
            TargetError: The codec does not take such frames.
        """
        with write_errors(self.target):
            self._open(first, context or self._new_context())

    def encode(self, frame: Frame, force_key_frame: bool = False) -> list[Packet[Stream]]:
        """Encode one frame.

        Args:
            frame: Shown later than the frame before.
            force_key_frame: Whether decoding must be able to begin at this frame.

        Returns:
            The packets that are finished. A codec that looks ahead gives none at first, and a GIF
            none for a frame that is left out.

        Raises:
            TargetError: The codec refuses the frame.
        """
        duration = frame.duration * frame.time_base
        if self._follows_too_soon(frame):
            self._left_out += 1
            if duration and self.times:  # the frame before is shown in its place
                self.last_duration_seconds = max(
                    frame.seconds + duration - self.times[1], _SHORTEST_GIF_SECONDS
                )
            return []
        with write_errors(self.target):
            packets = self._encode(frame, force_key_frame)
        self.frame_count += 1
        self._packet_count += len(packets)
        self._byte_count += sum(packet.size for packet in packets)
        if duration and self._has_shortest_delay():
            duration = max(duration, _SHORTEST_GIF_SECONDS)
        self.last_duration_seconds = duration
        self._is_alpha_lost |= frame.alpha is not None and not self._with_alpha
        self.times = (self.times[0] if self.times else frame.seconds, frame.seconds)
        return packets

    def flush(self) -> list[Packet[Stream]]:
        """Return the packets of the last frames. No frame can be encoded afterwards."""
        assert self._context is not None, "open comes first"
        with write_errors(self.target):
            return self._context.encode(None)

    def _open(self, first: Frame, context: VideoCodecContext) -> None:
        has_alpha = first.alpha is not None or self._may_become_transparent()
        pix_fmt = self.codec.pixel_format(with_alpha=has_alpha)
        self._with_alpha = has_alpha and self.codec.keeps_alpha(pix_fmt)
        self._is_alpha_lost = first.alpha is not None and not self._with_alpha
        height, width = first.pixels.shape[:2]
        aspect = self.info.sample_aspect_ratio
        size, self._padding = self.codec.coded_size(width, height, aspect, pix_fmt)
        color = written_color(self.codec.name, self.info.color)
        full_range = is_full_range(pix_fmt)

        context.width, context.height = size
        context.pix_fmt = pix_fmt
        context.framerate = self.frame_rate
        context.time_base = first.time_base
        if self.codec.keeps_aspect:
            context.sample_aspect_ratio = aspect
        context.flags |= Flags.frame_duration  # packets keep the durations of their frames
        # FFmpeg's default of 200 kbit/s would rule codecs that know no constant quality.
        context.bit_rate, context.bit_rate_tolerance = 0, _BIT_RATE_TOLERANCE
        context.options = self._codec_options(pixels=size[0] * size[1])
        if self._threads:
            context.thread_count = self._threads
        tag_colors(context, color, full_range)
        try:
            open_encoder(context)
        except FFmpegError as error:  # MPEG-2, for one, knows a few frame rates only
            raise TargetError(
                f"codec {self.codec.name} does not take {size[0]} x {size[1]} frames with times in"
                f" units of {first.time_base} s; name another --codec"
            ) from error

        self._context = context
        self._graph = encoder_graph(
            width=width + self._padding[0],
            height=height + self._padding[1],
            shown=size,
            pix_fmt=pix_fmt,
            color=color,
            full_range=full_range,
            with_alpha=self._with_alpha,
        )

    def _follows_too_soon(self, frame: Frame) -> bool:
        """Whether a GIF would show the frame before for so short that viewers show it for long."""
        if self.times is None or not self._has_shortest_delay():
            return False
        # Halves are rounded up, as FFmpeg does; `round` takes the even number.
        begins, before = (
            math.floor(100 * seconds + Fraction(1, 2)) for seconds in (frame.seconds, self.times[1])
        )
        return begins - before < _SHORTEST_GIF_DELAY

    def _has_shortest_delay(self) -> bool:
        """Whether the target is a GIF; one that is made of a GIF keeps its times."""
        return self.format.container == "gif" and self.info.container != "gif"

    def _may_become_transparent(self) -> bool:
        """Whether later frames may be transparent though the first is not.

        Images have one frame. Any GIF may become so; animated images store opacity at no cost.
        """
        info = self.info
        is_animation = self.format.container in ANIMATION_CONTAINERS.values()
        return (info.has_alpha and not info.is_image) or (is_animation and info.container == "gif")

    def _new_context(self) -> VideoCodecContext:
        context = av.CodecContext.create(self.codec.name, "w")
        assert isinstance(context, VideoCodecContext)
        if self.format.has_global_header:  # PyAV sets it by itself for a container's stream
            context.flags |= Flags.global_header
        return context

    def _codec_options(self, pixels: int) -> dict[str, str]:
        options = self.codec.options()
        if pixels > LARGE_FRAME_PIXELS:
            for name, value in _LITTLE_MEMORY.get(self.codec.name, {}).items():
                options[name] = f"{options[name]}:{value}" if name in options else value
        if self.format.container == "mpegts":
            # B-frames are decoded before they are shown. The first packet's dts would be negative,
            # which MPEG-TS cannot store: FFmpeg would shift all streams.
            options["bf"] = "0"
        return options

    def _encode(self, frame: Frame, force_key_frame: bool) -> list[Packet[Stream]]:
        assert self._context is not None
        packets: list[Packet[Stream]] = []
        self._graph.vpush(rgb_image(frame, self._padding, self._with_alpha))
        for image in ready_frames(self._graph):
            image.pts, image.time_base = frame.pts, frame.time_base
            image.duration = frame.duration
            if force_key_frame:
                image.pict_type = PictureType.I
            packets += self._context.encode(image)
        return packets


@contextmanager
def write_errors(target: str) -> Iterator[None]:
    """Turn an error of FFmpeg or of the disk into one line that names the target.

    Raises:
        TargetError: In place of the error.
    """
    try:
        yield
    except BrokenPipeError as error:
        raise TargetError("the reader of standard output went away") from error
    except (FFmpegError, OSError) as error:
        reason = error.strerror or str(error)
        raise TargetError(f"cannot write {target}: {reason.lower()}") from error
