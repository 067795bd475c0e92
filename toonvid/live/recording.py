"""Recording: live cartoons, at the times of the camera's clock, become a video file.

In: cartoon frames, and the audio packets of the camera's source, which are copied. Out: a file of
fragments of one second, each complete as soon as it is written, so that a recording can be played
even if the process is killed. For that it is written in its place: the part folder, the reading
back and the move of `toonvid.writing.muxer` are for targets that are worth nothing until they end.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.bitstream import BitStreamFilterContext
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from toonvid.errors import TargetError
from toonvid.live.camera import Camera
from toonvid.live.feed import LIVE_TIME_BASE
from toonvid.stylizing.resize import letterbox
from toonvid.video import AuxiliaryStreams, Frame, Pixels, VideoInfo
from toonvid.writing.codec import Codec
from toonvid.writing.containers import target_format
from toonvid.writing.encoder import Encoder
from toonvid.writing.muxer import add_video_stream
from toonvid.writing.provenance import TAG_KEY, video_tag
from toonvid.writing.remux import Remuxer

_FRAGMENT = Fraction(1)  # seconds from key frame to key frame; each begins a fragment
# MP4 needs its index in every fragment. Its header comes first, so that what is written can be
# played. Of some audio, only packets say how it is decoded: with it the header waits for the first
# packet of every stream, and while one is silent, so does the file.
_MP4_FRAGMENTS = {"movflags": "+frag_keyframe+empty_moov+default_base_moof"}
_MP4_FRAGMENTS_OF_PACKETS = {"movflags": "+frag_keyframe+delay_moov+default_base_moof"}
_MATROSKA_CLUSTERS = {"cluster_time_limit": "1000"}  # milliseconds
_FRAGMENT_OPTIONS = {
    "mp4": _MP4_FRAGMENTS,
    "mov": _MP4_FRAGMENTS,
    "matroska": _MATROSKA_CLUSTERS,
    "webm": _MATROSKA_CLUSTERS,
}
# Packets reach the disk at once. Where the audio falls silent, video waits for it one second, not
# FFmpeg's ten: what waits is lost when the process is killed. In microseconds.
_MUXING_OPTIONS = {"flush_packets": "1", "max_interleave_delta": "1000000"}


class Recording:
    """One video that is being recorded. A context manager; used by one thread."""

    def __init__(self, target: Path, style: str, camera: Camera) -> None:
        """Remember what to write.

        Args:
            target: Replaced if it is there.
            style: Goes into the target's provenance tag.
            camera: Open; the audio of its source is copied.
        """
        self.target = target
        self.frame_count = 0
        """Frames written so far."""
        self.notices: list[str] = []
        """Audio streams that were converted or left out, each in a few words. Known at the end."""
        self._style = style
        self._camera = camera
        self._format = target_format(str(target))
        self._encoder: Encoder | None = None
        # Stream index -> the filter that its packets need to be stored in MP4.
        self._audio_filters: dict[int, BitStreamFilterContext] = {}
        self._start = self._last_pts = self._next_fragment = 0  # in units of LIVE_TIME_BASE

    def __enter__(self) -> Recording:
        options = _MUXING_OPTIONS | _FRAGMENT_OPTIONS.get(self._format.container, {})
        with self._camera.audio.streams() as streams:
            if self._format.container in ("mp4", "mov") and any(map(_is_told_by_packets, streams)):
                options |= _MP4_FRAGMENTS_OF_PACKETS
        try:
            # "file:" because a name such as "10:30.mp4" would be taken for a protocol.
            self._container = av.open(
                f"file:{self.target}", "w", format=self._format.container, container_options=options
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
            if self._encoder is not None and error is None:
                audio = list(self._audio_packets())
                self._mux(self._encoder.flush())
                self._remuxer.write(audio)
                self._remuxer.finish()
                self.notices = self._remuxer.notices
            self._container.close()
        except (FFmpegError, OSError) as failure:
            if error is None:
                raise self._failure(failure) from failure

    def write(self, frame: Frame) -> None:
        """Write one cartoon, timed by the camera's clock.

        Args:
            frame: Of any size: it is fitted into the size of the first one.

        Raises:
            TargetError: The file cannot be written, because the disk is full, say.
        """
        try:
            if self._encoder is None:
                self._encoder = self._begin(frame)
            self._remuxer.write(self._audio_packets())
            self._mux(self._encode(frame, self._encoder))
        except (FFmpegError, OSError) as error:
            raise self._failure(error) from error
        self.frame_count += 1

    def _begin(self, first: Frame) -> Encoder:
        """Write the header, for frames of the first one's size, and open the encoder."""
        self._height, self._width = (side - side % 2 for side in first.pixels.shape[:2])
        info = VideoInfo(
            name=self._camera.name,
            container="",
            width=self._width,
            height=self._height,
            time_base=LIVE_TIME_BASE,
            frame_rate=self._camera.frame_rate,
        )
        encoder = Encoder(self.target, info, codec=_live_codec(self._format.default_codec))
        self._start = self._next_fragment = first.pts
        self._last_pts = first.pts - 1
        template = Frame(self._fitted(first.pixels), 0, LIVE_TIME_BASE)
        self._stream: VideoStream = add_video_stream(self._container, encoder, template)
        self._stream.metadata[TAG_KEY] = video_tag(self._style)
        with self._camera.audio.streams() as streams:
            self._remuxer = Remuxer(
                AuxiliaryStreams(streams), self._container, audio=True, subtitles=False
            )
            if self._format.container in ("mp4", "mov"):
                self._audio_filters = {
                    stream.index: BitStreamFilterContext("aac_adtstoasc", stream)
                    for stream in streams
                    if _is_adts(stream)
                }
            self._container.start_encoding()
        return encoder

    def _encode(self, frame: Frame, encoder: Encoder) -> list[Packet[Stream]]:
        begins_fragment = frame.pts >= self._next_fragment
        if begins_fragment:
            self._next_fragment = frame.pts + round(_FRAGMENT / LIVE_TIME_BASE)
        # A camera that was reopened may give two frames the same time.
        self._last_pts = max(frame.pts, self._last_pts + 1)
        # Without a duration: frames in between may have been dropped.
        fitted = Frame(self._fitted(frame.pixels), self._last_pts - self._start, LIVE_TIME_BASE)
        return encoder.encode(fitted, force_key_frame=begins_fragment)

    def _fitted(self, pixels: Pixels) -> Pixels:
        """Fit pixels of any size into the recording's; an odd row or column is cut off."""
        height, width = pixels.shape[:2]
        if (height // 2, width // 2) == (self._height // 2, self._width // 2):
            pixels = pixels[: self._height, : self._width]
        return np.ascontiguousarray(letterbox(pixels, self._width, self._height))

    def _mux(self, packets: list[Packet[Stream]]) -> None:
        for packet in packets:
            packet.stream = self._stream
            self._container.mux(packet)

    def _audio_packets(self) -> Iterator[Packet[Stream]]:
        """Yield the audio that has come since the last call, on the recording's clock.

        Audio from before the first frame is left out.
        """
        for packet in self._camera.audio.take():
            shift = round(self._start * LIVE_TIME_BASE / packet.time_base)
            assert packet.pts is not None and packet.dts is not None
            packet.pts -= shift
            packet.dts -= shift
            audio_filter = self._audio_filters.get(packet.stream_index)
            if packet.pts >= 0:
                yield from [packet] if audio_filter is None else audio_filter.filter(packet)

    def _failure(self, error: FFmpegError | OSError) -> TargetError:
        reason = error.strerror or str(error)
        return TargetError(f"cannot record {self.target}: {reason.lower()}")


def _live_codec(name: str) -> Codec:
    """Return the codec that an encoder of this name uses while a camera waits for it."""
    if name == "libx264":
        return Codec(name, preset="superfast", low_latency=True)
    return Codec(name)


def _is_adts(audio: Stream) -> bool:
    """Whether AAC states how it is decoded in each packet, as in broadcasts, and not once.

    FFmpeg's MP4 muxer moves that into its header by itself, but not in a file of fragments.
    """
    context = audio.codec_context
    return context.codec.canonical_name == "aac" and not context.extradata


def _is_told_by_packets(audio: Stream) -> bool:
    """Whether FFmpeg's MP4 muxer needs a packet of an audio stream before it writes the header."""
    return _is_adts(audio) or audio.codec_context.codec.canonical_name in ("ac3", "eac3")
