"""Decoding: a source becomes `VideoInfo`, then RGB frames in presentation order.

In: the name of a source and `DecodeOptions`. Out: frames rotated for display, and the packets of
auxiliary streams, which are handed on undecoded in `AuxiliaryStreams`. Cameras are not read here.

The steps are in modules of their own: `container` opens the source, `probe` describes it,
`decoder_choice` picks the decoder, `demuxer` reads packets, `clock` gives packets and frames times
that begin at 0 and rise, `frames` converts and rotates, `trim` keeps the requested part.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av.codec.context import Flags
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame

from toonvid.errors import SourceError
from toonvid.ffmpeg.color import StatedColor
from toonvid.ffmpeg.hardware import ActiveDecoder
from toonvid.ffmpeg.tone_table import ToneTable, find_tone_table
from toonvid.reading.clock import (
    FrameClock,
    SourceClock,
    clock_start,
    first_packets,
    has_times,
    restarts_by_design,
    stream_start,
)
from toonvid.reading.container import SourceContainer, frame_too_large_error
from toonvid.reading.container_header import HeaderFacts
from toonvid.reading.decoder_choice import (
    choose_accelerator,
    decoding_context,
    identify_decoder,
)
from toonvid.reading.demuxer import Demuxer
from toonvid.reading.file_end import is_cut_off_jpeg, missing_bytes
from toonvid.reading.frames import rotated_rgb_frames
from toonvid.reading.image_format import read_image_file
from toonvid.reading.leading_frames import LeadingFrames
from toonvid.reading.options import DecodeOptions, fitted
from toonvid.reading.probe import (
    describe,
    describe_image,
    find_auxiliary_streams,
    find_video_stream,
    is_image,
    read_stream_header,
)
from toonvid.reading.rotation import Orientation
from toonvid.reading.trim import ASSUMED_SUBTITLE_SECONDS, ShownPackets, TimeRange
from toonvid.video import (
    HANDFUL,
    LARGE_FRAME_PIXELS,
    PIPE,
    AuxiliaryStreams,
    Frame,
    VideoInfo,
    is_cover,
)

if TYPE_CHECKING:
    from toonvid.reading.image_file import StillOrAnimation

logger = logging.getLogger(__name__)

# Seconds before the start to seek to, tried in this order. Some containers seek by decoding time
# instead of presentation time, or find no key frame; the last one is the beginning of any video.
_SEEK_MARGINS = (0, 2, 20, 10**6)

# Beginning of closed captions (ATSC A/53) in a video packet: as a message of H.264 and HEVC, and as
# user data of MPEG-2. They belong to the frames, of which only the pixels travel on. PyAV's
# `side_data` would tell too, but reading it can crash: https://github.com/PyAV-Org/PyAV/issues/1631
_CAPTION_MARKS = (b"\xb5\x00\x31GA94\x03", b"\x00\x00\x01\xb2GA94\x03")


# First bytes of Theora's packets (specification, section 6.1): frames have less than the first.
_THEORA_HEADERS, _THEORA_COMMENT = 0x80, 0x81


class VideoDecoder:
    """Reads one source. A context manager; `frames` may be read once, on any one thread."""

    info: VideoInfo
    """Description of the source. Set on entry."""
    auxiliary: AuxiliaryStreams
    """All other streams of the source; empty unless `with_auxiliary`. Set on entry."""
    decoded_by: ActiveDecoder
    """Decoder in use. Set on entry."""

    def __init__(
        self,
        source: str | Path,
        options: DecodeOptions | None = None,
        with_auxiliary: bool = False,
        opener: Callable[[], InputContainer] | None = None,
        on_size: Callable[[int, int], None] | None = None,
    ) -> None:
        """Note what to open; nothing is opened before entry.

        Args:
            source: A file, anything else that FFmpeg opens, or `-` for standard input.
            options: Requested part, size and decoder; None for the whole source at its own size.
            with_auxiliary: Whether to read the packets of the other streams. The caller has to
                take them from `auxiliary.packets`, where they accumulate.
            opener: Opens the container where the source is not a file, pipe or plain address.
            on_size: Called on entry with the width and height that the frames of a video will have
                by its header, while the first is being decoded. `info` may say otherwise.
        """
        self.source = str(source)
        self.options = options or DecodeOptions()
        self.with_auxiliary = with_auxiliary
        self._opener, self._on_size = opener, on_size
        self.damage: str | None = None
        """Description of what could not be read, set after the last frame; None for nothing."""
        self.notices: list[str] = []
        """Conversions on the way that the user should know of, one line each."""
        self._source: SourceContainer | None = None
        self._image: StillOrAnimation | None = None
        self._header = HeaderFacts()
        self._has_captions = False
        self._tone_table: ToneTable | None = None

    def __enter__(self) -> VideoDecoder:
        """Open the source and decode its first frame.

        Raises:
            SourceError: The source cannot be opened or contains no video.
            DeviceMissingError: NVDEC was requested and cannot decode the source.
        """
        if self._opener is None:
            self._image = self._open_image()
        if self._image is not None:
            self._prepare_image(self._image)
            return self
        self._accelerator = None if self._opener else self._choose_accelerator()
        self._source = self._open(self._accelerator)
        try:
            self._prepare(self._source)
            self._source.raise_pending()
        except BaseException:
            self._source.close()
            self._source.raise_pending()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the source; `info`, `notices` and `damage` stay readable."""
        if self._source is not None:
            self._source.close()

    def interrupt(self) -> bool:
        """End a blocking read, and with it the frames. May be called on any thread.

        Returns:
            Whether it can be ended; FFmpeg's reads from addresses cannot.
        """
        return self._source is None or self._source.interrupt()

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in presentation order, with strictly increasing times.

        A damaged source ends early or has gaps; that raises nothing, but sets `damage`.
        """
        rotated = rotated_rgb_frames(
            self._decoded,
            self.info,
            self._orientation,
            header=self._header,
            pixel_aspect=self._pixel_aspect,
            tone_table=self._tone_table,
        )
        yield from self._range.trim_frames(rotated)
        if self._image is not None:
            self.damage = self._image.damage
            return
        self._note_end()

    def video_packets(self) -> Iterator[Packet[Stream]]:
        """Read from the beginning without decoding, as an alternative to `frames`.

        Sets `notices` and `damage` as `frames` does, but for what only decoding finds.

        Yields:
            The packets of the video in decoding order, none of an image; on the clock of the
            frames, but not moved by `DecodeOptions.start`.
        """
        if self._image is not None:
            return
        self._start_packets(self._reopen(), can_seek=False)
        for packet in self._packets:
            if packet.stream_index != self._stream.index:
                self._keep(packet)
                continue
            self._note_video(packet)
            yield packet
        self._note_end()

    def _note_end(self) -> None:
        """Note what is known once the last packet was read."""
        # Ctrl-C during a blocking read looks like the end of the source until here.
        self._opened.raise_pending()
        self._hand_on(self._shown_packets.finish())
        self.notices += self._notices_at_end()
        damage = self._demuxer.damage() or self._missing_end()
        self.damage = ", ".join(filter(None, (damage, self.trouble))) or None

    def _missing_end(self) -> str | None:
        """Describe the end that the file lacks, if it was read to there; None when it is whole."""
        path = Path(self.source)
        if self._range.end is not None or self._opener or not path.is_file():
            return None
        with suppress(OSError):  # it was deleted meanwhile
            if missing := missing_bytes(path):
                return f"its last {missing} bytes are missing"
            if self.info.is_image and is_cut_off_jpeg(path.read_bytes()):
                return "its end is missing"
        return None

    def _notices_at_end(self) -> Iterator[str]:
        if moved := self._frame_clock.moved:
            yield (
                f"{moved} frame{'s' * (moved > 1)} with no later time than the frame before"
                f" {'are' if moved > 1 else 'is'} shown right behind it"
            )
        if (count := self._leading.lost) > HANDFUL:
            yield f"{count} frames before the first key frame cannot be decoded and are left out"
        if self._has_captions:
            yield "closed captions inside the video (CEA-608 or CEA-708) are left out"
        if unbounded := self._shown_packets.unbounded:
            yield (
                f"{unbounded} subtitle{'s' * (unbounded > 1)} without an end"
                f" {'are' if unbounded > 1 else 'is'} shown until the next, at most"
                f" {ASSUMED_SUBTITLE_SECONDS} seconds"
            )

    @property
    def trouble(self) -> str | None:
        """Why a source that may be intact cannot be read now; None while it can."""
        return None if self._source is None else self._source.trouble

    @property
    def is_whole(self) -> bool:
        """Whether nothing was lost so far, and no frame got another time than its own."""
        if self._image is not None:
            return self._image.damage is None
        lost = self._demuxer.damaged_packets or self._demuxer.is_timed_out or self.trouble
        return not lost and self._frame_clock.moved == 0

    def packet_times(self) -> Iterator[Fraction | None]:
        """Read without decoding, as an alternative to `frames`.

        Yields:
            For each packet of the video its decoding time in seconds; for each packet of another
            stream None, once it is in `auxiliary.packets`.
        """
        if self._image is not None:
            return  # an image has no other streams
        for packet in self._packets:
            time = packet.pts if packet.dts is None else packet.dts
            if packet.stream_index != self._stream.index:
                self._keep(packet)
                yield None
                continue
            self._shown_packets.note_video(packet)
            if time is not None:
                yield time * packet.time_base - (self._range.start or 0)
        self._opened.raise_pending()
        self._hand_on(self._shown_packets.finish())
        yield None

    def skip_to(self, seconds: Fraction) -> None:
        """Continue at a key frame at or before a time; `info` stays as it is.

        Args:
            seconds: Time on the clock of the frames that are yielded.
        """
        start = seconds + (self._range.start or 0)
        _, self._decoded = self._start_reading(self._opened, start, can_seek=True)

    @property
    def _opened(self) -> SourceContainer:
        assert self._source is not None, "the decoder has not been entered"
        return self._source

    def _open_image(self) -> StillOrAnimation | None:
        """Open an image file; None for everything that is left to FFmpeg."""
        data = read_image_file(self.source, self.options.stall_seconds)
        if data is None:
            return None
        from toonvid.reading.image_file import open_image_file  # loads Pillow: not for videos

        return open_image_file(self.source, data, self.options)

    def _open(self, hardware: HWAccel | None) -> SourceContainer:
        return SourceContainer(
            self.source,
            max_pixels=self.options.max_pixels,
            stall_seconds=self.options.stall_seconds,
            opener=self._opener,
            hardware=hardware,
        )

    def _choose_accelerator(self) -> HWAccel | None:
        accelerator, notice = choose_accelerator(
            self.source, self.options, lambda: self._open(None)
        )
        self._add_notice(notice)
        return accelerator

    def _add_notice(self, notice: str | None) -> None:
        if notice:
            self.notices.append(notice)

    def _prepare(self, source: SourceContainer) -> None:
        """Find the video stream, configure its decoder and decode the first frame."""
        self._stream = find_video_stream(source)
        self._header = read_stream_header(source, self._stream)
        self._configure_codec()
        if self._on_size is not None and not is_image(source.container):
            self._on_size(*self._size_by_header())
        self._range = TimeRange(self.options.start, self.options.end)
        self._find_begin(source)
        start, can_seek = self._range.start, self._can_seek(source.container)
        first, self._decoded = self._start_reading(source, start, can_seek)
        if start is not None and can_seek and self._time(first) > start:
            # The video begins behind the start, and seeking has passed over the audio before it.
            source = self._reopen()
            first, self._decoded = self._start_reading(source, start, can_seek=False)
        self.decoded_by, notice = identify_decoder(
            self._stream, first, name=self.source, options=self.options
        )
        self._add_notice(notice)
        self._orientation = Orientation.from_frame(first)
        # Of the very first frame, also where a run goes on later: or the colors could change there.
        self._tone_table = find_tone_table(first)
        self.info, notices = describe(
            source,
            video=self._stream,
            first=first,
            orientation=self._orientation,
            header=self._header,
            options=self.options,
        )
        self.notices += notices

    def _size_by_header(self) -> tuple[int, int]:
        """Return the width and height of the frames as far as the header tells them."""
        width, height = self._context.width, self._context.height
        crop = self._header.crop_of(width, height)
        width, height = width - crop.left - crop.right, height - crop.top - crop.bottom
        if self._header.is_turned:
            width, height = height, width
        return fitted(width, height, self.options)

    def _prepare_image(self, image: StillOrAnimation) -> None:
        """Describe an image, which has one stream and no packets."""
        self.auxiliary = AuxiliaryStreams()
        self.decoded_by = "software"
        self._range = TimeRange(self.options.start, self.options.end)
        self._orientation = Orientation()  # an image file is turned already
        self._decoded = image.frames()
        self.info = describe_image(self.source, image, self.options)
        self.notices += image.notices

    def _reopen(self) -> SourceContainer:
        """Open the source once more, to read from its beginning."""
        self._opened.close()
        self._source = self._open(self._accelerator)
        self._stream = find_video_stream(self._source)
        self._configure_codec()
        self._find_begin(self._source)
        return self._source

    def _find_begin(self, source: SourceContainer) -> None:
        """Read the first packets, and find out which time of the source is 0 on our clock."""
        self._first_packets: list[Packet[Stream]] = []
        self._lost_at_begin = 0
        # Live sources are read when they are shown. An image may state no time, and needs none.
        if not self.options.low_delay and not is_image(source.container):
            self._first_packets, self._lost_at_begin = first_packets(source.container, self._stream)
        self._clock_start = clock_start(source.container, self._first_packets)

    def _configure_codec(self) -> None:
        options = self.options
        self._stated_color = StatedColor.from_context(self._stream.codec_context)
        context = self._context = decoding_context(self._stream)
        if context.width * context.height > options.max_pixels:
            raise frame_too_large_error(
                self.source,
                width=context.width,
                height=context.height,
                max_pixels=options.max_pixels,
            )
        context.options = {"max_pixels": str(options.max_pixels)}
        if context.name == "exr":  # which holds light itself, and not levels
            context.options |= {"apply_trc": "iec61966_2_1"}
        # With frame threading each thread holds one frame back.
        is_large = context.width * context.height > LARGE_FRAME_PIXELS
        context.thread_type = "SLICE" if options.low_delay or is_large else "AUTO"
        if options.low_delay:
            context.flags |= Flags.low_delay
        if options.key_frames_only:
            context.skip_frame = "NONKEY"

    def _can_seek(self, container: InputContainer) -> bool:
        """Whether the start of the requested part is reached by seeking, not by reading to it."""
        start, begin = self._range.start, self._video_begin()
        if start is None or self.source == PIPE or is_image(container):
            return False
        if not has_times(container) or (restarts_by_design(container) and "://" not in self.source):
            return False
        # Seeking goes to a frame: before the first one, it would pass over the audio there.
        return begin is None or begin <= start

    def _video_begin(self) -> Fraction | None:
        """Return the time of the first frame on the clock of the frames; None when not stated."""
        begin = stream_start(self._stream)
        return None if begin is None else begin - self._clock_start

    def _start_reading(
        self, source: SourceContainer, start: Fraction | None, can_seek: bool
    ) -> tuple[VideoFrame, Iterator[VideoFrame]]:
        """Decode the first frame at or before `start`.

        Returns:
            That frame, and an iterator over it and all later frames.

        Raises:
            SourceError: No frame can be decoded, or the video begins behind the requested part.
        """
        first = None
        for margin in _SEEK_MARGINS if can_seek else _SEEK_MARGINS[:1]:
            if start is not None and can_seek:
                self._seek(source.container, start + self._clock_start - margin)
            self._start_packets(source, can_seek)
            decoded = self._timed_frames(None if can_seek else start)
            first = next(decoded, None)
            # A seek may land after `start`; then the next margin seeks further back.
            if first is not None and (start is None or self._time(first) <= start):
                break
        if first is None:
            raise source.decode_error()
        begin, end = self._time(first), self._range.end
        if end is not None and begin >= end:
            raise SourceError(
                f"{self.source} shows nothing before {float(end):.1f} seconds: its video begins at"
                f" {float(begin):.1f}"
            )
        return first, chain([first], decoded)

    def _start_packets(self, source: SourceContainer, can_seek: bool) -> None:
        """Begin with the packets at the place where the container is."""
        container = source.container
        self.auxiliary = AuxiliaryStreams()
        if self.with_auxiliary:
            self.auxiliary = find_auxiliary_streams(
                source, self._stream, self._range, self._clock_start
            )
        self._demuxer = Demuxer(
            container,
            video=self._stream,
            auxiliary=self.auxiliary.streams,
            time_range=self._range,
            clock=None if self.options.low_delay else SourceClock(container, self._clock_start),
            first=() if can_seek else self._first_packets,
        )
        self._demuxer.lost_packets += self._lost_at_begin
        self._packets = self._demuxer.packets()
        self._shown_packets = ShownPackets()
        options = self.options
        is_partial = can_seek or options.low_delay or options.key_frames_only
        self._leading = LeadingFrames(is_whole=not is_partial and self._range.start is None)
        self._frame_clock = FrameClock(self._stream, container)

    def _pixel_aspect(self) -> Fraction | None:
        """Return width over height of a pixel in the last decoded frame; None for unknown."""
        if self._image is not None:
            return None
        aspect = self._context.sample_aspect_ratio
        return aspect if aspect and aspect > 0 else None

    def _time(self, frame: VideoFrame) -> Fraction:
        """Return the presentation time in seconds; 0 when the source does not state it."""
        # Not the frame's own time base: PyAV sets none on the last frames of a stream.
        return (frame.pts or 0) * (self._stream.time_base or Fraction(0))

    def _seek(self, container: InputContainer, time: Fraction) -> None:
        """Seek to the key frame before a time; without seeking, reading starts where it is."""
        try:
            container.seek(int(time * av.time_base), backward=True)
            if self._context is not self._stream.codec_context:  # which PyAV has flushed
                self._context.flush_buffers()
        except FFmpegError as error:
            logger.debug("%s cannot seek: %s", self.source, error)

    def _timed_frames(self, start: Fraction | None) -> Iterator[VideoFrame]:
        """Yield decoded frames with times that rise, from a key frame at or before `start` on."""
        packets = self._packets
        if start is not None and self._video_begin() is not None:
            packets = self._from_key_frame(packets, start)
        decoded = self._decoded_frames(packets)
        # Live sources may set their clock back; their frames are shown when they come.
        return decoded if self.options.low_delay else self._frame_clock.timed(decoded)

    def _from_key_frame(
        self, packets: Iterator[Packet[Stream]], start: Fraction
    ) -> Iterator[Packet[Stream]]:
        """Pass over the video up to the last key frame at or before `start`, without decoding."""
        held: list[Packet[Stream]] = []  # packets of the video since a key frame
        for packet in packets:
            if packet.stream_index != self._stream.index:
                yield packet
                continue
            shown = packet.pts if packet.pts is not None else packet.dts
            time = None if shown is None else shown * packet.time_base
            if packet.is_keyframe and time is not None and time <= start:
                held = []
            held.append(packet)
            if packet.dts is not None and packet.dts * packet.time_base > start:
                break
        yield from held
        yield from packets

    def _decoded_frames(self, packets: Iterator[Packet[Stream]]) -> Iterator[VideoFrame]:
        """Yield decoded frames; packets that cannot be decoded are counted and skipped."""
        for packet in chain(packets, [None]):  # None flushes the decoder
            if packet is not None and packet.stream_index != self._stream.index:
                self._keep(packet)
                continue
            if packet is not None and self._repeats_header(packet):
                continue
            if packet is not None:
                self._note_video(packet)
                self._leading.note_packet(packet)
            try:
                frames = self._context.decode(packet)
            except FFmpegError as error:
                logger.debug("%s: packet lost: %s", self.source, error)
                self._demuxer.lost_packets += 1
                continue
            self._demuxer.lost_packets += sum(frame.is_corrupt for frame in frames)
            for frame in frames:
                self._leading.note_frame(frame)
                yield self._stated_color.tag(frame)

    def _repeats_header(self, packet: Packet[Stream]) -> bool:
        """Whether a packet is a header of Theora that was read before.

        Where Ogg files were put together, each begins with its headers, which FFmpeg's decoder
        refuses. Another header would mean frames of another kind, which it cannot decode.
        """
        if self._context.name != "theora" or not packet.size:
            return False
        content = bytes(packet)
        is_comment = content[0] == _THEORA_COMMENT
        return is_comment or (
            content[0] >= _THEORA_HEADERS and content in (self._context.extradata or b"")
        )

    def _note_video(self, packet: Packet[Stream]) -> None:
        self._shown_packets.note_video(packet)
        if not self._has_captions:
            content = bytes(packet)
            self._has_captions = any(mark in content for mark in _CAPTION_MARKS)

    def _keep(self, packet: Packet[Stream]) -> None:
        """Hand on a packet of an auxiliary stream."""
        if is_cover(packet.stream):
            packet.pts = packet.dts = 0  # most containers give covers no time
            self.auxiliary.covers.append(packet)
            return
        self._hand_on(self._shown_packets.keep(packet))

    def _hand_on(self, packets: Iterable[Packet[Stream]]) -> None:
        for shown in packets:
            if (moved := self._range.trim_packet(shown)) is not None:
                self.auxiliary.packets.put(moved)
