"""Muxer: packets of one video, and a source's auxiliary streams, become a target.

In: packets of a `toonvid.writing.encoder.Encoder`, or of segments that such encoders wrote; packets
that wait in the queue of `AuxiliaryStreams`. Out: a file that appears in its place only when it is
complete and was read again, or Matroska on standard output. Videos and still images alike.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
from av.container import OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from toonvid.errors import TargetError
from toonvid.video import PIPE, AuxiliaryStreams, Frame, VideoInfo, is_cover
from toonvid.writing.animation import finish_animation, verify_webp
from toonvid.writing.containers import (
    ANIMATION_CONTAINERS,
    cannot_hold,
    drop_unusable_timecode,
    muxer_options,
    write_header,
)
from toonvid.writing.encoder import Encoder, write_errors
from toonvid.writing.exif import add_exif
from toonvid.writing.options import EncodeOptions
from toonvid.writing.part_folder import PartFolder
from toonvid.writing.provenance import TAG_KEY, image_tag, tag_image, video_tag
from toonvid.writing.remux import Remuxer, kept_tags


class Muxer:
    """Writes one target. A context manager: left without an error, it puts the target in place.

    Inside, `start` comes first, then `write`. Left with an error, it leaves nothing behind.
    """

    def __init__(
        self,
        encoder: Encoder,
        auxiliary: AuxiliaryStreams | None = None,
        style: str = "",
        job: str = "",
        part: PartFolder | None = None,
    ) -> None:
        """Remember what to write.

        Args:
            encoder: Not open yet. It names the target and describes the video's packets.
            auxiliary: Streams of the source to copy; its decoder must stay open.
            style: Goes into the target's provenance tag.
            job: Goes into it too, to tell this conversion from any other.
            part: Entered by the caller, who leaves it; None makes one of its own.
        """
        self.encoder = encoder
        self.notices: list[str] = []
        """Auxiliary streams that were converted or left out. Known at the end."""
        self.damage: str | None = None
        """Damage for which auxiliary packets were not copied; None when all were."""
        self.left_out: str | None = None
        """Packets for which the target has no place; None when nothing to speak of is missing."""
        self._auxiliary = auxiliary or AuxiliaryStreams()
        self._style, self._job = style, job
        self._given_part = part
        self._file: Path | None = None
        self._stream: VideoStream | None = None
        self._packet_count = 0
        self._shown: tuple[Fraction, Fraction] | None = None  # first and last packet, in seconds

    def __enter__(self) -> Muxer:
        target, options = self.encoder.target, self.encoder.options
        with ExitStack() as stack:
            if target != PIPE:
                self._part = self._given_part or stack.enter_context(
                    PartFolder(Path(target), options.overwrite)
                )
                self._file = self._part.file
            url = "pipe:1" if self._file is None else str(self._file)
            with write_errors(target):
                self._container = stack.enter_context(
                    av.open(url, "w", format=self.encoder.format.container)
                )
            self._stack = stack.pop_all()
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
                _abandon(self._container)

    def start(self, first: Frame) -> None:
        """Open the encoder for frames like `first`, make all streams and write the header.

        Raises:
            TargetError: The codec does not take such frames, or the container not the codec.
        """
        with write_errors(self.encoder.target):
            self._start(first)

    def write(self, packets: Iterable[Packet[Stream]]) -> None:
        """Write the auxiliary packets that wait, then these packets of the video.

        Called for each frame, even while the encoder has no packet ready: so the queue stays short.

        Args:
            packets: Each holds one frame. Their dts rise.

        Raises:
            TargetError: The disk is full, or the container refuses a packet.
        """
        assert self._stream is not None, "start comes first"
        with write_errors(self.encoder.target):
            self._remuxer.write(self._auxiliary.packets.take())
            for packet in packets:
                self._write_video(packet, self._stream)

    def _start(self, first: Frame) -> None:
        encoder, container = self.encoder, self._container
        self._stream, self._remuxer = add_streams(
            container, encoder, first, self._auxiliary, style=self._style, job=self._job
        )
        write_header(container, encoder.format.suffix, encoder.codec.name)

    def _write_video(self, packet: Packet[Stream], stream: VideoStream) -> None:
        if self.encoder.format.is_image and self._packet_count == 1:
            name, target = self.encoder.info.name, self.encoder.target
            raise TargetError(f"{name} is a video; {target} can hold one image")
        shown = (packet.pts or 0) * packet.time_base  # before muxing, which changes the units
        packet.stream = stream
        self._container.mux(packet)
        self._packet_count += 1
        first, last = self._shown or (shown, shown)
        self._shown = (min(first, shown), max(last, shown))

    def _finish(self) -> None:
        encoder = self.encoder
        if self._stream is None:
            _abandon(self._container)
            raise TargetError(f"nothing to write: {encoder.info.name} has no frames there")
        with write_errors(encoder.target):
            self._remuxer.write(self._auxiliary.packets.take())
            self._remuxer.finish()
            self._container.close()
            self.notices += self._remuxer.notices
            self.damage, self.left_out = self._remuxer.damage, self._remuxer.left_out
            if self._file is not None:
                if (
                    encoder.format.is_image
                    or encoder.format.container in ANIMATION_CONTAINERS.values()
                ):
                    if (notice := add_exif(self._file, encoder.info.exif)) is not None:
                        self.notices.append(notice)
                    if not encoder.format.is_image:
                        finish_animation(self._file, encoder.last_duration_seconds)
                    tag_image(self._file, self._style, self._job)
                self._verify(self._file)
                self._part.publish()

    def _verify(self, file: Path) -> None:
        """Compare the file with the frames that were encoded, else with the packets from segments.

        Frames first: an encoder that swallows one, or moves it, gives packets that look complete.
        """
        encoder = self.encoder
        times = encoder.times or self._shown
        if encoder.format.container == "webp":
            verify_webp(file, encoder.target, encoder.frame_count)  # FFmpeg cannot read it
            return
        if encoder.format.is_image or not encoder.info.frame_rate:
            times = None  # a single frame, or a clock that the container need not share
        frame_count = encoder.frame_count or self._packet_count
        verify(file, target=encoder.target, frame_count=frame_count, times=times)


def write_video(
    target: str | Path,
    info: VideoInfo,
    frames: Iterable[Frame],
    options: EncodeOptions | None = None,
    auxiliary: AuxiliaryStreams | None = None,
) -> int:
    """Encode frames into a target, all on the calling thread.

    Args:
        target: A file whose suffix names its container, or `-` for standard output.
        info: What is known of the source.
        frames: At least one; their times rise.
        options: None for the defaults.
        auxiliary: Streams to copy; their decoder must stay open.

    Returns:
        The number of frames.

    Raises:
        TargetError: The target cannot be written, or is there already.
    """
    encoder = Encoder(target, info, options)
    with Muxer(encoder, auxiliary) as muxer:
        for frame in frames:
            if encoder.frame_count == 0:
                muxer.start(frame)
            muxer.write(encoder.encode(frame))
        if encoder.frame_count:
            muxer.write(encoder.flush())
    return encoder.frame_count


def check_container(encoder: Encoder, first: Frame, auxiliary: AuxiliaryStreams) -> None:
    """See that the target's container takes all streams, by a header written to memory.

    FFmpeg's table of what fits where promises more than it keeps, so only a header can tell. A
    conversion in segments asks before its first segment, not hours later, when segments are joined.

    Args:
        encoder: Not open yet, and of no use afterwards.
        first: A frame like those that are encoded.
        auxiliary: Streams to copy; their decoder must be open.

    Raises:
        TargetError: The container does not take them.
    """
    with write_errors(encoder.target):
        container = av.open(os.devnull, "w", format=encoder.format.container)
        try:
            add_streams(container, encoder, first, auxiliary)
            write_header(container, encoder.format.suffix, encoder.codec.name)
        finally:
            _abandon(container)


def verify(file: Path, target: str, frame_count: int, times: Sequence[Fraction] | None) -> None:
    """Read a finished file again: every frame is there, the first and last as far apart as written.

    Nothing is decoded.

    Args:
        file: Where the finished target lies so far.
        target: What to call it in a message.
        frame_count: How many frames were written.
        times: When the first and the last frame are shown, in seconds; None to leave times out.

    Raises:
        TargetError: Frames are missing, or their times are others.
    """
    count, first, last = 0, None, None
    with av.open(str(file), metadata_errors="replace") as container:
        stream = next(s for s in container.streams.video if not is_cover(s))
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None:
                count += 1
                time = packet.pts * packet.time_base
                first = time if first is None else min(first, time)
                last = time if last is None else max(last, time)
        tick = stream.time_base or Fraction(1)
    if count != frame_count or first is None or last is None:
        raise TargetError(
            f"cannot write {target}: {count} of {frame_count} frames arrived; is the disk full?"
        )
    if times is not None and abs(last - first - (times[-1] - times[0])) > 2 * tick:
        raise TargetError(f"cannot write {target}: its container cannot keep the times")


def add_streams(
    container: OutputContainer,
    encoder: Encoder,
    first: Frame,
    auxiliary: AuxiliaryStreams,
    style: str = "",
    job: str = "",
) -> tuple[VideoStream, Remuxer]:
    """Make all streams of a target, with its tags and options. The header is not yet written.

    Args:
        container: Open and empty.
        encoder: Not open yet.
        first: A frame like those that are encoded.
        auxiliary: Streams to copy.
        style: Goes into the target's provenance tag.
        job: Goes into it too.
    """
    name = encoder.format.container
    stream = add_video_stream(container, encoder, first)
    if not encoder.format.is_image:
        stream.metadata.update(kept_tags(auxiliary.video_metadata))
        stream.metadata[TAG_KEY] = video_tag(style, job)
        stream.disposition = Disposition(auxiliary.video_disposition)
    remuxer = Remuxer(
        auxiliary=auxiliary,
        target=container,
        audio=encoder.options.audio,
        subtitles=encoder.options.subtitles,
    )
    for tags in (container.metadata, stream.metadata):
        if notice := drop_unusable_timecode(tags, name, encoder.frame_rate):
            remuxer.notices.append(notice)
    if name == "mpegts":  # it keeps no metadata of a stream
        container.metadata["service_provider"] = image_tag(style, job)
    options = muxer_options(
        container=container,
        name=name,
        time_base=first.time_base,
        tags=auxiliary.metadata,
        loop_count=encoder.info.loop_count,
    )
    container.container_options.update(options)
    return stream, remuxer


def add_video_stream(container: OutputContainer, encoder: Encoder, first: Frame) -> VideoStream:
    """Add the stream that holds the encoder's packets, and open the encoder."""
    try:
        stream = container.add_stream(encoder.codec.name, rate=encoder.frame_rate)
    except ValueError as error:
        raise cannot_hold(encoder.format.suffix, encoder.codec.name) from error
    assert isinstance(stream, VideoStream)
    # PyAV describes a stream in the header by the codec context that it made for this stream, and
    # takes no other. So the encoder uses that one: a second, idle encoder would cost its memory.
    writes_hevc = stream.codec_context.codec.canonical_name == "hevc"
    if writes_hevc and encoder.format.container in ("mp4", "mov"):
        stream.codec_context.codec_tag = "hvc1"  # Apple's players show no video tagged hev1
    encoder.open(first, stream.codec_context)
    stream.time_base = first.time_base
    return stream


def _abandon(container: OutputContainer) -> None:
    """Let go of an unfinished container, which may be unable to end what it began."""
    with suppress(FFmpegError, OSError, ValueError):
        container.close()
