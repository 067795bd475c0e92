"""Remux: the auxiliary streams of a source go into the target.

In: packets of audio, subtitles, cover images, attachments and data; chapters and metadata. Out: the
same packets, byte for byte, in streams of the target's container. What the container cannot hold is
converted (audio and text subtitles, by `toonvid.writing.transcode`) or left out, with a notice.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice

import av
from av.audio.stream import AudioStream
from av.codec.context import CodecContext
from av.container import OutputContainer
from av.error import FFmpegError, InvalidDataError
from av.format import Flags as FormatFlags
from av.packet import Packet
from av.stream import Stream
from av.subtitles.stream import SubtitleStream

from toonvid.video import HANDFUL, AuxiliaryStreams, is_cover
from toonvid.writing.lost_audio import LostAudio, adts_format
from toonvid.writing.transcode import TEXT_SUBTITLES, AudioTranscoder, SubtitleTranscoder

logger = logging.getLogger(__name__)

# What players find in an MPEG transport stream. FFmpeg would write any codec into one, as private
# data that nothing reads.
_MPEGTS_CODECS = {
    "aac",
    "ac3",
    "dts",
    "eac3",
    "mp2",
    "mp3",
    "opus",
    "truehd",
    "dvb_subtitle",
    "klv",
}
_UNPLAYED_IN_MP4 = ("pcm_", "vorbis")  # FFmpeg can write them, but few players can read them
_DISCARD_ALL = 48  # FFmpeg's AVDISCARD_ALL
_COVER_TYPES = {"mjpeg": "image/jpeg", "png": "image/png"}
_LARGEST_OVERLAP_SECONDS = Fraction(1)  # by how much packets may lie before the end of the last
_MOV_TEXT_FILLER = b"\0\0"  # a text of length 0, which fills a gap between two texts
# Tags that describe the source's own file or streams. In the target they would be false, or FFmpeg
# writes its own.
_STALE_TAGS = {
    "major_brand",
    "minor_version",
    "compatible_brands",
    "encoder",
    "duration",
    "bps",
    "number_of_frames",
    "number_of_bytes",
    "alpha_mode",  # true only of packets with an opacity, for which FFmpeg writes it
}


# FFmpeg searches its list of tags for each one that is added. Real files have dozens.
_MOST_TAGS = 1000


@dataclass
class _Route:
    """Way of the packets of one source stream into the target."""

    stream: Stream
    """The target's stream."""
    translate: Callable[[Packet[Stream]], Iterable[Packet[Stream]]]
    """Turns a packet of the source into packets of the target, possibly none."""
    finish: Callable[[], Iterable[Packet[Stream]]]
    """Returns the packets that are left when the source has ended."""
    last_dts: int | None = None
    """dts of the last packet, in units of the target's time base; None before the first."""
    next_dts: int | None = None
    """dts of a packet that follows it without a gap."""

    def place(self, packet: Packet[Stream], shares_ticks: bool) -> bool:
        """Give a packet a dts that a container takes next, in place.

        A packet that shares its tick with the last, or begins a little before its end where a
        source was put together, comes one tick later.

        Args:
            packet: With times in any time base.
            shares_ticks: Whether the container takes several packets of one dts.

        Returns:
            Whether the packet has a place; if not, its time lies too far back.
        """
        if packet.dts is None:  # nothing here has B-frames: it is decoded when it is shown
            packet.dts = packet.pts
        tick = self.stream.time_base or packet.time_base
        if packet.dts is None:  # what an encoder held back at the end may have lost its time
            if self.next_dts is None:
                return False
            packet.duration = _rescaled(packet.duration or 0, packet.time_base, tick)
            packet.time_base, packet.pts, packet.dts = tick, self.next_dts, self.next_dts
        dts = _rescaled(packet.dts, packet.time_base, tick)
        # Two subtitles may begin at the same time.
        step = 0 if shares_ticks or self.stream.type == "subtitle" else 1
        if self.last_dts is not None and dts < self.last_dts + step:
            if (self.last_dts - dts) * tick > _LARGEST_OVERLAP_SECONDS:
                return False
            dts = self.last_dts + step
            duration = _rescaled(packet.duration or 0, packet.time_base, tick)
            packet.time_base = tick
            packet.pts = packet.dts = dts
            packet.duration = duration
        self.last_dts = dts
        self.next_dts = dts + _rescaled(packet.duration or 0, packet.time_base, tick)
        return True


class Remuxer:
    """Copies the auxiliary streams of one source into one target."""

    def __init__(
        self, auxiliary: AuxiliaryStreams, target: OutputContainer, audio: bool, subtitles: bool
    ) -> None:
        """Add a stream to the target for each one that it can hold.

        Args:
            auxiliary: Streams, covers, chapters and metadata of the source, whose decoder must
                stay open. Its packets are handed to `write`.
            target: Open, with its video stream, its header not yet written.
            audio: Whether audio is wanted.
            subtitles: Whether subtitles are wanted.
        """
        self.notices: list[str] = []
        """Streams that were converted or left out, each in a few words."""
        self.left_out: str | None = None
        """Packets that have no place in the target, where they are more than a handful or a second
        of audio; known when finished. None when all have one, but for what `notices` say."""
        self.damage: str | None = None
        """Damage for which packets were not copied, known when finished; None when all were."""
        self._auxiliary = auxiliary
        self._target = target
        self._routes: dict[int, _Route] = {}
        self._disordered = self._damaged = 0
        self._lost_audio_seconds = Fraction(0)
        self._lost_audio: dict[int, LostAudio] = {}
        self._transcoders: list[AudioTranscoder | SubtitleTranscoder] = []
        wanted = {"audio": audio, "subtitle": subtitles}
        for stream in auxiliary.streams:
            if wanted.get(stream.type, True):
                self._add(stream)
        self._covers = [cover for cover in auxiliary.covers if cover.stream_index in self._routes]
        self._shares_ticks = FormatFlags.ts_nonstrict in FormatFlags(target.format.flags)
        target.metadata.update(kept_tags(auxiliary.metadata))
        if len(auxiliary.metadata) > _MOST_TAGS:
            self.notices.append(f"{_MOST_TAGS} of {len(auxiliary.metadata)} metadata tags are kept")
        if auxiliary.chapters:
            target.set_chapters(list(auxiliary.chapters))

    def write(self, packets: Iterable[Packet[Stream]]) -> None:
        """Mux packets, in the source's order. Packets of streams that are left out are dropped."""
        covers, self._covers = reversed(self._covers), []
        for packet in chain(covers, packets):
            route = self._routes.get(packet.stream_index)
            if route is not None:
                self._mux(route, route.translate(packet))
            elif packet.stream_index in self._lost_audio:
                self._lost_audio[packet.stream_index].add(packet)

    def finish(self) -> None:
        """Mux what the transcoders hold back, after the last packet."""
        for route in self._routes.values():
            self._mux(route, route.finish())
        lost: list[str] = []
        if count := self._disordered:
            line = f"{count} audio or subtitle packet{'s' * (count > 1)} out of order"
            if seconds := float(self._lost_audio_seconds):
                line += f" ({seconds:.1f} s of audio)"
            if count > HANDFUL or seconds >= 1:
                lost.append(line)
            else:
                self.notices.append(f"{line} left out")
        lost += [each.line() for each in self._lost_audio.values() if each.packets]
        self.left_out = " and ".join(lost) or None
        damaged = self._damaged + sum(t.lost_packets for t in self._transcoders)
        if damaged:
            self.damage = f"{damaged} damaged audio or subtitle packet{'s' * (damaged > 1)}"

    def _mux(self, route: _Route, packets: Iterable[Packet[Stream]]) -> None:
        for packet in packets:
            if not route.place(packet, self._shares_ticks):
                self._disordered += 1
                if route.stream.type == "audio":
                    self._lost_audio_seconds += (packet.duration or 0) * packet.time_base
                continue
            packet.stream = route.stream
            try:
                self._target.mux(packet)
            except InvalidDataError as error:
                logger.debug("%s: damaged packet: %s", _describe(route.stream), error)
                self._damaged += 1

    def _add(self, source: Stream) -> None:
        if source.type == "data" and int(source.discard) == _DISCARD_ALL:
            # In MOV files, chapters are a text track too, which FFmpeg has read and discards. It
            # writes one from the chapters.
            logger.debug("data stream %d, chapters as text, is written anew", source.index)
            return
        if source.type == "data" and "timecode" in source.metadata and self._container != "mpegts":
            logger.debug("data stream %d, a timecode, is a tag of the video too", source.index)
            return
        if self._container == "matroska" and is_cover(source):
            self._attach(source)
            return
        route = self._copied(source) or self._converted(source)
        if route is None:
            if source.type == "audio":
                self._lost_audio[source.index] = LostAudio(_describe(source))
            self.notices.append(self._why_left_out(source))
            return
        route.stream.metadata.update(kept_tags(source.metadata))
        route.stream.disposition = source.disposition
        self._routes[source.index] = route

    def _why_left_out(self, source: Stream) -> str:
        if isinstance(source, AudioStream) and source.codec_context and not source.rate:
            return f"{_describe(source)} begins too late for its format to be found: it is left out"
        if source.type == "video" and not is_cover(source):
            return f"{_describe(source)} is left out: one video stream is converted"
        return f"{_describe(source)} does not fit {self._container} and is left out"

    @property
    def _container(self) -> str:
        return self._target.format.name

    def _attach(self, source: Stream) -> None:
        """Add a cover image as an attachment, which is where Matroska players look for it."""
        mime_type = _COVER_TYPES.get(_codec_name(source), "image/bmp")
        name = source.metadata.get("filename", f"cover.{mime_type.removeprefix('image/')}")
        for cover in self._auxiliary.covers:
            if cover.stream_index == source.index:
                self._target.add_attachment(name, mime_type, bytes(cover))

    def _copied(self, source: Stream) -> _Route | None:
        if not _fits(source, self._container):
            return None
        stream = self._target.add_stream_from_template(source, opaque=True)
        # FFmpeg fills the gaps between texts in MP4 by itself. The source's fillers would be there
        # twice, at the same times.
        filler = _MOV_TEXT_FILLER if _codec_name(source) == "mov_text" else None
        if _codec_name(source) == "aac" and self._container != "mpegts":
            return _Route(stream, self._of_one_format(source), lambda: ())
        return _Route(
            stream, lambda packet: () if bytes(packet) == filler else (packet,), lambda: ()
        )

    def _of_one_format(
        self, source: Stream
    ) -> Callable[[Packet[Stream]], Iterable[Packet[Stream]]]:
        """Return what passes on packets of AAC that have the format of the first one.

        In transport streams each packet states its own in a header (ADTS). Other containers state
        one for the whole stream: packets of another would be played as noise.
        """
        first: bytes | None = None
        others = LostAudio(
            f"{_describe(source)}, which changes its format (a .ts target keeps all)", share=""
        )
        self._lost_audio[source.index] = others

        def translate(packet: Packet[Stream]) -> Iterable[Packet[Stream]]:
            nonlocal first
            found = adts_format(packet)
            first = first or found
            if found != first:
                others.add(packet)
                return ()
            return (packet,)

        return translate

    def _converted(self, source: Stream) -> _Route | None:
        try:
            transcoder = self._transcoder(source)
        except (ValueError, FFmpegError) as error:
            logger.debug("%s cannot be converted: %s", _describe(source), error)
            return None
        if transcoder is None:
            return None
        self._transcoders.append(transcoder)
        name = _codec_name(transcoder.stream)
        self.notices.append(f"{_describe(source)} is converted to {name}")
        return _Route(transcoder.stream, transcoder.translate, transcoder.finish)

    def _transcoder(self, source: Stream) -> AudioTranscoder | SubtitleTranscoder | None:
        context: CodecContext | None = source.codec_context
        if context is None:  # nothing here can decode it
            return None
        if isinstance(source, AudioStream):
            if not source.rate:  # its format was not found, so an encoder cannot be opened
                return None
            return AudioTranscoder(source, self._target)
        if isinstance(source, SubtitleStream) and _codec_name(source) in TEXT_SUBTITLES:
            return SubtitleTranscoder(source, self._target)
        return None


def kept_tags(metadata: dict[str, str]) -> dict[str, str]:
    """Return the tags that are as true of the target as of the source, a thousand at most."""
    return {
        name: value
        for name, value in islice(metadata.items(), _MOST_TAGS)
        if name.lower().split("-")[0] not in _STALE_TAGS and not name.startswith("_STATISTICS")
    }


def _fits(source: Stream, container: str) -> bool:
    """Whether packets of the stream can be stored in the container as they are, and be played."""
    codec = _codec_name(source)
    if source.type == "video" and not is_cover(source):
        return False  # another video stream, which would be shown without a cartoon
    if source.type == "attachment" and container != "matroska":
        return False
    if container == "mp4" and source.type == "audio" and codec.startswith(_UNPLAYED_IN_MP4):
        return False
    if container == "mpegts" or source.type == "data":
        return container == "mpegts" and codec in _MPEGTS_CODECS
    return _header_takes(source, container)


def _header_takes(source: Stream, container: str) -> bool:
    """Whether a header with this stream can be written, tried on the null device.

    FFmpeg's own table of what fits where promises more than it keeps. Not a BytesIO: PyAV drops an
    exception that a signal raises while it calls a Python file.
    """
    try:
        with av.open(os.devnull, "w", format=container) as trial:
            trial.add_stream_from_template(source, opaque=True)
            trial.start_encoding()
    except (ValueError, FFmpegError) as error:
        logger.debug("%s cannot be copied to %s: %s", _describe(source), container, error)
        return False
    return True


def _rescaled(time: int, unit: Fraction, tick: Fraction) -> int:
    """Convert a time to another time base, halves away from 0 as FFmpeg does when it muxes."""
    # In whole numbers, because a subtitle file may have a million packets: fractions take tenfold.
    above = abs(time) * unit.numerator * tick.denominator
    below = unit.denominator * tick.numerator
    rounded = (2 * above + below) // (2 * below)
    return rounded if time >= 0 else -rounded


def _codec_name(stream: Stream) -> str:
    # PyAV's annotations promise a codec context; streams of data and attachments have none.
    context: CodecContext | None = stream.codec_context
    return context.codec.canonical_name if context else getattr(stream, "name", None) or "unknown"


def _describe(stream: Stream) -> str:
    kind = "cover image" if is_cover(stream) else stream.type
    return f"{kind} stream {stream.index} ({_codec_name(stream)})"
