"""Encode: RGB frames become a target, at their own times, with the source's other streams beside
them.

Films and still pictures alike; `toonvid.writing.containers` tells them by the target's name. The target is
written beside its place, looked at by `toonvid.writing.verify` when it is finished, and then moved in.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from types import TracebackType

import av
from av.codec.context import Flags
from av.container import OutputContainer
from av.error import FFmpegError
from av.filter.graph import Graph
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from toonvid.errors import TargetError
from toonvid.ffmpeg.color import encoder_graph, ready_frames
from toonvid.video import PIPE, AuxiliaryStreams, Frame, VideoInfo
from toonvid.writing.codec import Codec
from toonvid.writing.containers import (
    PICTURE_CODECS,
    choose_container,
    default_codec,
    muxer_options,
    unfit,
    write_header,
)
from toonvid.writing.options import EncodeOptions
from toonvid.writing.part_folder import PartFolder
from toonvid.writing.provenance import TAG_KEY, image_tag, tag_image, video_tag
from toonvid.writing.remux import Carrier, kept_tags
from toonvid.writing.rgb_input import is_full_range, rgb_picture, tag_colors, written_color
from toonvid.writing.verify import verify

logger = logging.getLogger(__name__)

_GUESSED_RATE = Fraction(25)


class VideoEncoder:
    """Writes one target. A context manager: left without an error, it puts the target in place."""

    def __init__(
        self,
        target: str | Path,
        info: VideoInfo,
        options: EncodeOptions | None = None,
        auxiliary: AuxiliaryStreams | None = None,
        style: str = "",
        part: PartFolder | None = None,
        sink: Callable[[Packet[VideoStream]], None] | None = None,
        job: str = "",
    ) -> None:
        """Remember what to write.

        Args:
            target: A file whose suffix names its container, or `-` for Matroska on standard output.
            info: Of the source.
            options: None for the defaults.
            auxiliary: Streams of the source to take along; its decoder must stay open.
            style: Goes into the target's mark.
            part: Entered by the caller, who leaves it; None makes one of its own.
            sink: Takes the film's packets as they leave the encoder. Nothing else is written then,
                and no target appears.
            job: Goes into the target's mark, to tell its conversion from any other.

        Raises:
            TargetError: No container goes by this suffix, or options do not fit the codec.
            DeviceMissingError: The codec is one in hardware that is not here.
        """
        self.target = str(target)
        self.options = options or EncodeOptions()
        self.notices: list[str] = []
        """What was converted or left out."""
        self.damage: str | None = None
        """What of the auxiliary streams could not be taken along; None when all was."""
        self.frame_count = 0
        self._info = info
        self._auxiliary = auxiliary or AuxiliaryStreams()
        self._style, self._job = style, job
        self._given_part = part
        self._sink = sink
        self._is_encoded = False
        self._suffix = ".mkv" if self.target == PIPE else Path(target).suffix.lower()
        self._is_picture = self._suffix in PICTURE_CODECS
        self._container_name = choose_container(self.target, self._suffix)
        options, name = self.options, self.options.codec or default_codec(self._suffix)
        self.codec = Codec(name, options.crf, options.preset, options.pix_fmt)
        if self.codec.notice:
            self.notices.append(self.codec.notice)
        self._file: Path | None = None
        self._times: list[Fraction] = []

    def __enter__(self) -> VideoEncoder:
        with ExitStack() as stack:
            if self.target != PIPE and self._sink is None:
                self._part = self._given_part or stack.enter_context(
                    PartFolder(Path(self.target), self.options.overwrite)
                )
                self._file = self._part.file
            self._container = stack.enter_context(self._opened())
            self._stack = stack.pop_all()
        self._stream: VideoStream | None = None
        self._carrier: Carrier | None = None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._stack:
            if error is None:
                self._finish()
            else:
                self._abandon()

    def start(self, like: Frame) -> None:
        """Open the encoder for frames like this one; the first frame written does it by itself.

        Raises:
            TargetError: The codec does not take such frames, or the container not the codec.
        """
        try:
            self._start(like)
        except (FFmpegError, OSError) as error:
            raise self._failure(error) from error

    @property
    def extradata(self) -> bytes:
        """What a decoder must know before the first packet; known once started."""
        assert self._stream is not None
        return bytes(self._stream.codec_context.extradata or b"")

    @property
    def time_base(self) -> Fraction:
        """Of the packets that leave the encoder; known once started."""
        assert self._stream is not None
        return Fraction(self._stream.codec_context.time_base or 0)

    def write_encoded(self, packet: Packet[Stream], seconds: Fraction) -> None:
        """Write a packet that a `sink` took from an encoder of the same options.

        Args:
            packet: Its times in units of its own time base, that of decoding rising.
            seconds: When its frame is shown.

        Raises:
            TargetError: The disk is full, or the container refuses the packet.
        """
        assert self._carrier is not None and self._stream is not None
        try:
            self._is_encoded = True
            self._carrier.write()
            packet.stream = self._stream
            self._container.mux(packet)
        except (FFmpegError, OSError) as error:
            raise self._failure(error) from error
        self.frame_count += 1
        self._times = [min([seconds, *self._times]), max([seconds, *self._times])]

    def write(self, frame: Frame) -> None:
        """Write one frame; their times must rise.

        Raises:
            TargetError: The disk is full, or the codec refuses the frames.
        """
        if self._is_picture and self.frame_count == 1:
            raise TargetError(f"{self._info.name} is a film; {self.target} can hold one picture")
        try:
            if self._stream is None:
                self._start(frame)
            assert self._carrier is not None
            self._carrier.write()
            self._encode(frame)
        except (FFmpegError, OSError) as error:
            raise self._failure(error) from error
        self.frame_count += 1
        self._times = [*self._times[:1], frame.seconds]

    def _opened(self) -> OutputContainer:
        url = "pipe:1" if self._file is None else str(self._file)
        try:
            if self._sink is not None:  # the container says what the encoder must do, no more
                return av.open(BytesIO(), "w", format=self._container_name)
            return av.open(url, "w", format=self._container_name)
        except (FFmpegError, OSError) as error:
            raise self._failure(error) from error

    # The streams are made when the first frame shows how large the pictures are.

    def _start(self, frame: Frame) -> None:
        self._pix_fmt = self.codec.pixel_format(with_alpha=frame.alpha is not None)
        self._with_alpha = frame.alpha is not None and self.codec.keeps_alpha(self._pix_fmt)
        height, width = frame.pixels.shape[:2]
        size, self._padding = self.codec.coded_size(
            width, height, self._info.sample_aspect_ratio, self._pix_fmt
        )
        color = written_color(self.codec.name, self._info.color)
        full_range = is_full_range(self._pix_fmt)
        self._stream = self._video_stream(frame.time_base, *size)
        tag_colors(self._stream.codec_context, color, full_range)
        self._carrier = Carrier(
            self._auxiliary, self._container, self.options.audio, self.options.subtitles
        )
        if self._container_name == "mpegts":
            self._container.metadata["service_provider"] = image_tag(self._style, self._job)
        tags = self._auxiliary.metadata
        options = muxer_options(self._container, self._container_name, frame.time_base, tags)
        self._container.container_options.update(options)
        write_header(self._container, self._suffix, self.codec.name)
        padded = (width + self._padding[0], height + self._padding[1])
        self._graph: Graph = encoder_graph(
            *padded, size, self._pix_fmt, color, full_range, self._with_alpha
        )

    def _video_stream(self, time_base: Fraction, width: int, height: int) -> VideoStream:
        rate = self._info.frame_rate or _GUESSED_RATE
        options = self.codec.options()
        if self._container_name == "mpegts":
            options["bf"] = "0"  # frames out of order would begin before 0, and move the whole film
        try:
            stream = self._container.add_stream(self.codec.name, rate=rate, options=options)
        except ValueError as error:
            raise unfit(self._suffix, self.codec.name) from error
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, self._pix_fmt
        if self.codec.keeps_aspect:
            stream.codec_context.sample_aspect_ratio = self._info.sample_aspect_ratio
        stream.codec_context.time_base = stream.time_base = time_base
        stream.codec_context.flags |= Flags.frame_duration
        if not self._is_picture:
            stream.metadata.update(kept_tags(self._auxiliary.video_metadata))
            stream.metadata[TAG_KEY] = video_tag(self._style, self._job)
            stream.disposition = Disposition(self._auxiliary.video_disposition)
        return stream

    def _encode(self, frame: Frame) -> None:
        assert self._stream is not None
        self._graph.vpush(rgb_picture(frame, self._padding, self._with_alpha))
        for picture in ready_frames(self._graph):
            picture.pts, picture.time_base = frame.pts, frame.time_base
            picture.duration = frame.duration
            self._mux(self._stream.encode(picture))

    def _mux(self, packets: list[Packet[VideoStream]]) -> None:
        if self._sink is None:
            self._container.mux(packets)
        else:
            for packet in packets:
                self._sink(packet)

    def _finish(self) -> None:
        if self._stream is None or self._carrier is None:
            self._abandon()
            raise TargetError(f"nothing to write: {self._info.name} has no frames there")
        try:
            if not self._is_encoded:
                self._mux(self._stream.encode(None))
            if self._sink is not None:
                self._abandon()
                return
            self._carrier.finish()
            self._container.close()
            self.notices += self._carrier.notices
            self.damage = self._carrier.damage
            if self._file is not None:
                if self._is_picture or self._container_name == "gif":
                    tag_image(self._file, self._style, self._job)
                times = None if self._is_picture or not self._info.frame_rate else self._times
                verify(self._file, self.target, self.frame_count, times)
                self._part.publish()
        except (FFmpegError, OSError) as error:
            raise self._failure(error) from error

    def _abandon(self) -> None:
        """Let go of an unfinished container; it may be unable to end what it began."""
        try:
            self._container.close()
        except (FFmpegError, OSError, ValueError) as error:
            logger.debug("closing an abandoned target: %s", error)

    def _failure(self, error: FFmpegError | OSError) -> TargetError:
        if isinstance(error, BrokenPipeError):
            return TargetError("the reader of standard output went away")
        reason = error.strerror or str(error)
        return TargetError(f"cannot write {self.target}: {reason.lower()}")
