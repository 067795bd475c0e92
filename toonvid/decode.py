"""Decode: a source becomes `VideoInfo`, then upright RGB frames in the order in which they are
shown.

Deinterlaces, turns, scales, tone-maps and trims. Audio, subtitles and the rest are not decoded:
their packets are handed on as `Companions`. Cameras are not read here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import TracebackType

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.filter.graph import Graph
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from toonvid.color import (
    FrameKind,
    Orientation,
    drained_frames,
    ready_frames,
    rgb_graph,
    target_color,
    upright_frame,
)
from toonvid.errors import SourceError
from toonvid.video import Companions, Frame, VideoInfo

logger = logging.getLogger(__name__)

PIPE = "-"

# Containers whose header states how long the film is, so that a file cut short can be told.
_STATED_DURATION = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi"}
_CUT_SHORT_SECONDS = 1.0
_GUESSED_RATE = Fraction(25)  # for sources that give neither times nor a rate
_INTERLEAVING_SECONDS = 2  # how far behind the pictures their sound may lie in a file
_COVER = av.stream.Disposition.attached_pic


@dataclass(frozen=True)
class DecodeOptions:
    """Which part of a source is read, and how large its frames become."""

    size: tuple[int, int] | int | None = None
    """A box (width, height) or a short side, in pixels, that frames fit; None keeps their size."""
    upscale: bool = False
    """Whether `size` may enlarge frames."""
    start: Fraction | None = None
    """Seconds from the beginning; frames before it are left out. None: from the beginning."""
    end: Fraction | None = None
    """Seconds from the beginning; frames from here on are left out. None: to the end."""

    def __post_init__(self) -> None:
        sides = self.size if isinstance(self.size, tuple) else (self.size,)
        if any(side is not None and side < 1 for side in sides):
            raise ValueError(f"{self.size = }")
        if self.start is not None and self.start < 0:
            raise ValueError(f"{self.start = }")
        if self.end is not None and self.end <= (self.start or 0):
            raise ValueError(f"{self.end = } with {self.start = }")


class VideoDecoder:
    """Reads one source. A context manager; `frames` may be read once, on any one thread."""

    info: VideoInfo
    """Known once the decoder is entered."""
    companions: Companions
    """Streams beside the pictures; empty unless asked for."""

    def __init__(
        self,
        source: str | Path,
        options: DecodeOptions | None = None,
        with_companions: bool = False,
    ) -> None:
        """Remember what to open.

        Args:
            source: A file, anything else that FFmpeg opens, or `-` for standard input.
            options: Part and size of the pictures; None for all of them as they are.
            with_companions: Whether to hand on packets of the other streams. Someone has to take
                them
                from `companions.packets`, or they pile up.
        """
        self.source = str(source)
        self.options = options or DecodeOptions()
        self.with_companions = with_companions
        self.damage: str | None = None
        """What of the source could not be read; None while nothing is amiss."""
        self.notices: list[str] = []
        """What was changed on the way and a user may want to know."""
        self._container: InputContainer | None = None

    def __enter__(self) -> VideoDecoder:
        self._container = _open(self.source)
        try:
            self._prepare(self._container)
        except BaseException:
            self._container.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._container is not None:
            self._container.close()

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in the order in which they are shown, their times strictly rising.

        A source that is damaged ends early or has gaps; `damage` then says so. Nothing is raised
        for it.
        """
        last: Fraction | None = None
        repeated = 0
        for frame in self._upright_frames():
            if last is not None and frame.seconds <= last:
                repeated += 1
                continue
            last = frame.seconds
            yield frame
        if repeated:
            self.notices.append(
                f"{repeated} frames shown at no later time than the last were left out"
            )

    def _prepare(self, container: InputContainer) -> None:
        """Find the film in the container, and look at its first frame."""
        self._stream = _find_video(container, self.source)
        self._stream.thread_type = "AUTO"
        self._container_start = Fraction(container.start_time or 0, av.time_base)
        self._start = self._absolute(self.options.start)
        self._end = self._absolute(self.options.end)
        self._latest_seconds = 0.0
        self._lost_packets = 0
        self.companions = self._find_companions(container)
        if self._start is not None and self.source != PIPE and not _is_picture(container):
            self._seek(container, self._start)
        decoded = self._decoded_frames(container)
        first = next(decoded, None)
        if first is None:
            raise SourceError(f"{self.source}: no picture in it can be read")
        self._decoded = chain([first], decoded)
        self._first = first
        self._orientation = Orientation.of(first)
        self.info = self._describe(container, first)

    def _absolute(self, time: Fraction | None) -> Fraction | None:
        return None if time is None else time + self._container_start

    def _seek(self, container: InputContainer, time: Fraction) -> None:
        """Go to the key frame before a time; a source that cannot is read from its beginning."""
        try:
            container.seek(int(time * av.time_base), backward=True)
        except FFmpegError as error:
            logger.debug("%s cannot seek: %s", self.source, error)

    def _find_companions(self, container: InputContainer) -> Companions:
        if not self.with_companions:
            return Companions()
        return Companions(
            streams=tuple(s for s in container.streams if s.index != self._stream.index),
            chapters=tuple(container.chapters()),
            metadata=dict(container.metadata),
            video_metadata=dict(self._stream.metadata),
            video_disposition=int(self._stream.disposition),
        )

    def _describe(self, container: InputContainer, first: VideoFrame) -> VideoInfo:
        stream = self._stream
        turned = self._orientation.transposed
        width, height = (first.height, first.width) if turned else (first.width, first.height)
        width, height = _fitted(width, height, self.options)
        aspect = stream.sample_aspect_ratio or Fraction(1)
        if aspect <= 0:
            aspect = Fraction(1)
        color, notice = target_color(first)
        if notice:
            self.notices.append(notice)
        duration = self._duration_seconds(container)
        rate = stream.average_rate or stream.guessed_rate
        return VideoInfo(
            name=self.source,
            container=container.format.name,
            width=width,
            height=height,
            time_base=stream.time_base or Fraction(1, av.time_base),
            frame_rate=Fraction(rate) if rate else None,
            duration_seconds=duration,
            frame_count=round(duration * rate) if duration and rate else None,
            sample_aspect_ratio=1 / aspect if turned else aspect,
            color=color,
            is_picture=_is_picture(container),
        )

    def _duration_seconds(self, container: InputContainer) -> float | None:
        """How long the asked-for part lasts."""
        stream = self._stream
        if stream.duration is not None and stream.time_base is not None:
            whole = float(stream.duration * stream.time_base)
        elif container.duration is not None:
            whole = container.duration / av.time_base
        else:
            return None
        begin = float(self.options.start or 0)
        end = whole if self.options.end is None else min(whole, float(self.options.end))
        return max(end - begin, 0.0)

    # From here on each generator reads the one below it.

    def _upright_frames(self) -> Iterator[Frame]:
        next_pts = 0
        for picture in self._rgb_pictures():
            time_base = Fraction(picture.time_base or self.info.time_base)
            pts = next_pts if picture.pts is None else picture.pts
            one_frame = round(1 / ((self.info.frame_rate or _GUESSED_RATE) * time_base))
            next_pts = pts + (picture.duration or max(1, one_frame))
            time = pts * time_base
            if self._end is not None and time >= self._end:
                continue
            if self._start is not None:
                if time < self._start:
                    continue
                pts -= round(self._start / time_base)
            yield upright_frame(picture, self._orientation, pts, time_base)

    def _rgb_pictures(self) -> Iterator[VideoFrame]:
        """Deinterlaced, scaled RGB; a new filter graph whenever the frames change their kind."""
        width, height = self.info.width, self.info.height
        if self._orientation.transposed:
            width, height = height, width
        graph: Graph | None = None
        kind: FrameKind | None = None
        interlaced = False
        for frame in self._decoded:
            interlaced = interlaced or frame.interlaced_frame
            found = FrameKind.of(frame, interlaced)
            if graph is None or found != kind:
                if graph is not None:
                    yield from drained_frames(graph)
                kind, graph = found, rgb_graph(found, self.info.time_base, width, height)
            frame.time_base = self.info.time_base
            graph.vpush(frame)
            yield from ready_frames(graph)
        if graph is not None:
            yield from drained_frames(graph)

    def _decoded_frames(self, container: InputContainer) -> Iterator[VideoFrame]:
        """Frames as the decoder gives them; what cannot be decoded is counted and passed over."""
        for packet in self._packets(container):
            if packet.stream_index != self._stream.index:
                self._keep(packet)
                continue
            try:
                frames = self._stream.decode(packet)
            except FFmpegError as error:
                logger.debug("%s: packet lost: %s", self.source, error)
                self._lost_packets += 1
                continue
            yield from frames
        yield from self._flushed_frames()
        self._judge(container)

    def _flushed_frames(self) -> Iterator[VideoFrame]:
        try:
            yield from self._stream.decode(None)
        except FFmpegError as error:
            logger.debug("%s: lost at the end: %s", self.source, error)

    def _packets(self, container: InputContainer) -> Iterator[Packet[Stream]]:
        wanted = [self._stream, *(s for s in self.companions.streams if s.type != "attachment")]
        failures = 0
        packets = container.demux(wanted)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except FFmpegError as error:
                logger.debug("%s: %s", self.source, error)
                self._lost_packets += 1
                failures += 1
                if failures > 1:
                    return
                packets = container.demux(wanted)
                continue
            if packet.dts is None and packet.size == 0:
                continue  # the demuxer's end mark; the decoder is flushed by name
            self._lost_packets += packet.is_corrupt
            if self._note_time(packet):
                return
            yield packet

    def _note_time(self, packet: Packet[Stream]) -> bool:
        """Remember how far the source was read; true once it is past the end that was asked for."""
        time = packet.dts if packet.dts is not None else packet.pts
        if time is None:
            return False
        begin = time * packet.time_base
        self._latest_seconds = max(
            self._latest_seconds, float(begin + (packet.duration or 0) * packet.time_base)
        )
        return (
            self._end is not None
            and packet.stream_index == self._stream.index
            and begin > self._end + _INTERLEAVING_SECONDS
        )

    def _keep(self, packet: Packet[Stream]) -> None:
        """Hand a companion's packet on, moved by the start that was asked for."""
        time = packet.pts if packet.pts is not None else packet.dts
        if time is not None and (self._start is not None or self._end is not None):
            begin = time * packet.time_base
            is_cover = packet.stream.disposition & _COVER
            if not is_cover and (
                (self._start is not None and begin < self._start)
                or (self._end is not None and begin >= self._end)
            ):
                return
            shift = 0 if is_cover else round((self._start or 0) / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts - shift
            packet.dts = None if packet.dts is None else packet.dts - shift
        self.companions.packets.append(packet)

    def _judge(self, container: InputContainer) -> None:
        """Say whether all of the source could be read."""
        signs = []
        if self._lost_packets:
            signs.append(f"{self._lost_packets} damaged packets")
        if self._end is None and container.format.name in _STATED_DURATION and container.duration:
            stated = container.duration / av.time_base
            read = self._latest_seconds - float(self._container_start)
            if read < stated - _CUT_SHORT_SECONDS:
                signs.append(f"it ends after {read:.1f} of {stated:.1f} seconds")
        if signs:
            self.damage = ", ".join(signs)


def _open(source: str) -> InputContainer:
    if source == PIPE:
        url = "pipe:0"
    elif "://" in source:
        url = source
    else:
        path = Path(source)
        if not path.exists():
            raise SourceError(f"{source}: no such file")
        if path.is_dir():
            raise SourceError(f"{source} is a folder, not a film")
        url = f"file:{source}"  # so that no character in a name is taken for a protocol
    try:
        # A name with a % in it is a name, not the pattern of a numbered series.
        options = {"pattern_type": "none"}
        return av.open(url, "r", container_options=options, metadata_errors="replace")
    except PermissionError as error:
        raise SourceError(f"{source}: no permission to read it") from error
    except (FFmpegError, OSError) as error:
        raise SourceError(f"{source} is not a film or picture that can be read") from error


def _find_video(container: InputContainer, source: str) -> VideoStream:
    films = [s for s in container.streams.video if not s.disposition & _COVER]
    if not films:
        kinds = sorted({s.type for s in container.streams})
        raise SourceError(f"{source} has no pictures ({', '.join(kinds) or 'it is empty'})")
    best = container.streams.best("video")
    stream = best if best in films else films[0]
    assert isinstance(stream, VideoStream)
    return stream


def _is_picture(container: InputContainer) -> bool:
    name = container.format.name
    return name == "image2" or name.endswith("_pipe")


def _fitted(width: int, height: int, options: DecodeOptions) -> tuple[int, int]:
    """The size that fits what was asked for, the shape kept as nearly as even sides allow."""
    if options.size is None:
        return width, height
    if isinstance(options.size, int):
        scale = Fraction(options.size, min(width, height))
    else:
        scale = min(Fraction(options.size[0], width), Fraction(options.size[1], height))
    if scale == 1 or (scale > 1 and not options.upscale):
        return width, height
    return max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))
