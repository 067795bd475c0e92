"""Small videos for tests: writing them with PyAV in milliseconds, and reading them back.

A `Clip` states what a video contains: frames with their times, audio, subtitles, chapters. Nothing
here uses toonvid, so that a test compares toonvid with something other than itself.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

from toonvid.ffmpeg.opening import open_encoder

Pixels = NDArray[np.uint8]

SIZE = (64, 48)  # width, height
_LOSSLESS = {"libx264": {"crf": "0"}, "libx265": {"x265-params": "lossless=1:log-level=none"}}


@dataclass(frozen=True)
class Tone:
    """An audio stream: a sine tone."""

    codec: str = "aac"
    seconds: Fraction = Fraction(1, 4)
    start: Fraction = Fraction(0)
    rate: int = 48000
    layout: str = "stereo"
    metadata: dict[str, str] = field(default_factory=dict)
    disposition: int = Disposition.default
    frequency: int = 440


@dataclass(frozen=True)
class Subtitles:
    """A subtitle stream."""

    codec: str = "mov_text"
    lines: tuple[tuple[Fraction, Fraction, str], ...] = (  # start and duration in seconds, text
        (Fraction(0), Fraction(1, 20), "Hello"),
        (Fraction(1, 10), Fraction(1, 20), "Grüße"),
    )
    metadata: dict[str, str] = field(default_factory=dict)
    disposition: int = Disposition.default


@dataclass(frozen=True)
class Clip:
    """Content of a video. Frames are 1/25 s apart unless `pts` says otherwise."""

    frames: Sequence[Pixels | av.VideoFrame] = ()
    """RGB arrays (H, W, 3), or frames in `pix_fmt`; empty for six moving frames of `SIZE`."""
    pts: Sequence[int] = ()
    time_base: Fraction = Fraction(1, 25)
    rate: Fraction = Fraction(25)
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)
    muxing: dict[str, str] = field(default_factory=dict)
    """Options of the muxer."""
    container: str | None = None
    """FFmpeg's name of the container; None to choose it by the suffix of the path."""
    audio: tuple[Tone, ...] = ()
    subtitles: tuple[Subtitles, ...] = ()
    chapters: tuple[tuple[int, int, str], ...] = ()
    """(start, end, title), in milliseconds."""
    metadata: dict[str, str] = field(default_factory=dict)
    video_metadata: dict[str, str] = field(default_factory=dict)
    rotation: tuple[int, bool, bool] | None = None
    """Degrees counter-clockwise, whether mirrored in x, whether mirrored in y."""
    aspect: Fraction | None = None
    """Width of a pixel over its height."""
    color: tuple[int, int, int] | None = None
    """Code points of matrix, primaries and transfer."""
    full_range: bool | None = None
    cover: bytes = b""
    """A PNG file, stored as the cover image."""
    attachment: bytes = b""
    data: tuple[tuple[Fraction, bytes], ...] = ()
    """(time in seconds, content) of the packets of a data stream."""
    video_last: bool = False
    """Whether the file contains all audio and subtitles before the first frame."""
    video_first: bool = False
    """Whether the file contains all frames before audio and subtitles."""

    def write(self, path: Path) -> Path:
        """Write the clip and return its path."""
        muxing = dict(self.muxing)
        if self.video_last or self.video_first:
            muxing["max_interleave_delta"] = "1"
        with av.open(str(path), "w", format=self.container, container_options=muxing) as target:
            packets = [*self._video(target)]
            packets += [p for tone in self.audio for p in _encode_tone(target, tone)]
            packets += [p for text in self.subtitles for p in _encode_subtitles(target, text)]
            packets += self._data(target)
            if self.cover and target.format.name == "matroska":
                target.add_attachment("cover.png", "image/png", self.cover)
            elif self.cover:
                packets.insert(0, _cover(target, self.cover))
            if self.attachment:
                target.add_attachment("font.ttf", "font/ttf", self.attachment)
            target.metadata.update(self.metadata)
            if self.chapters:
                target.set_chapters([_chapter(*chapter) for chapter in self.chapters])
            for packet in sorted(packets, key=self._order):
                target.mux(packet)
        return path

    def _order(self, packet: av.Packet) -> tuple[bool, Fraction]:
        is_video = packet.stream.type == "video"
        last = is_video if self.video_last else self.video_first and not is_video
        return last, packet.dts * packet.time_base

    def _video(self, target: Any) -> Iterator[av.Packet]:
        frames = self.frames or moving_frames(6)
        frames = [_frame(image, self.pix_fmt) for image in frames]
        options = {**_LOSSLESS.get(self.codec, {}), **self.options}
        stream = target.add_stream(self.codec, rate=self.rate, options=options)
        stream.width, stream.height = frames[0].width, frames[0].height
        stream.pix_fmt = self.pix_fmt
        stream.codec_context.time_base = stream.time_base = self.time_base
        stream.codec_context.thread_count = 1
        stream.metadata.update(self.video_metadata)
        if self.aspect:
            stream.codec_context.sample_aspect_ratio = self.aspect
        if self.color:
            matrix, primaries, transfer = self.color
            stream.codec_context.colorspace = matrix
            stream.codec_context.color_primaries = primaries
            stream.codec_context.color_trc = transfer
        if self.full_range is not None:
            stream.codec_context.color_range = 2 if self.full_range else 1
        if self.rotation:
            degrees, mirrored_x, mirrored_y = self.rotation
            stream.set_display_rotation(degrees, hflip=mirrored_x, vflip=mirrored_y)
        if self.codec == "libsvtav1":
            open_encoder(stream.codec_context)
        for frame, pts in zip(frames, self.pts or range(len(frames)), strict=True):
            frame.pts, frame.time_base = pts, self.time_base
            yield from _packets_of(stream, stream.encode(frame))
        yield from _packets_of(stream, stream.encode(None))

    def _data(self, target: Any) -> list[av.Packet]:
        if not self.data:
            return []
        stream = target.add_data_stream("klv" if target.format.name == "mpegts" else "bin_data")
        packets = []
        for time, content in self.data:
            packet = av.Packet(content)
            packet.stream, packet.time_base = stream, Fraction(1, 90000)
            packet.pts = packet.dts = int(time * 90000)
            packets.append(packet)
        return packets


def moving_frames(count: int, size: tuple[int, int] = SIZE) -> list[Pixels]:
    """Smooth frames, each a little brighter than the last, with four different corners."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    ramps = np.stack([x * 100 // max(1, width - 1), y * 100 // max(1, height - 1), 0 * x], axis=2)
    return [(ramps + 150 * index // count).astype(np.uint8) for index in range(count)]


def flat_frame(color: tuple[int, int, int], size: tuple[int, int] = SIZE) -> Pixels:
    """A frame of one color."""
    return np.full((size[1], size[0], 3), color, np.uint8)


def image_file(pixels: Pixels, codec: str, pix_fmt: str | None = None) -> bytes:
    """Return the file of an image; `codec` is png, mjpeg or libwebp."""
    file = BytesIO()
    with av.open(file, "w", format="image2pipe") as target:
        stream = target.add_stream(codec, rate=1)
        stream.height, stream.width = pixels.shape[:2]
        pushed = "rgb24" if pixels.shape[2] == 3 else "rgba"
        stream.pix_fmt = pix_fmt or {"mjpeg": "yuvj444p", "png": pushed}.get(codec, "yuv420p")
        frame = av.VideoFrame.from_ndarray(pixels, format=pushed)
        target.mux([*stream.encode(frame), *stream.encode(None)])
    return file.getvalue()


def with_exif(jpeg: bytes, orientation: int) -> bytes:
    """Add an EXIF orientation, 1..8, to a JPEG file."""
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    tiff = b"MM\0*" + struct.pack(">I", 8) + struct.pack(">H", 1) + entry + bytes(4)
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


# Reading files.


@dataclass(frozen=True)
class Stream:
    """One stream of a file, with its packets in decoding order."""

    kind: str
    codec: str
    language: str | None
    disposition: int
    times: tuple[Fraction | None, ...]
    durations: tuple[Fraction, ...]
    content: tuple[bytes, ...]
    metadata: dict[str, str]

    @property
    def is_cover(self) -> bool:
        return bool(self.disposition & Disposition.attached_pic)


def streams(path: Path | str) -> list[Stream]:
    """Return all streams of a file."""
    with av.open(str(path)) as source:
        found: dict[int, list[av.Packet]] = {stream.index: [] for stream in source.streams}
        readable = [s for s in source.streams if s.type != "attachment"]
        for packet in source.demux(readable):
            if packet.size:
                found[packet.stream_index].append(packet)
        return [_described(s, found[s.index]) for s in source.streams]


def only(path: Path | str, kind: str) -> Stream:
    """Return the only stream of a kind; cover images do not count as video."""
    (stream,) = (s for s in streams(path) if s.kind == kind and not s.is_cover)
    return stream


def frame_times(path: Path | str) -> list[Fraction]:
    """Return the presentation time of each frame in seconds, exactly."""
    with av.open(str(path)) as source:
        stream = next(s for s in source.streams.video if not s.disposition & 1024)
        return [f.pts * f.time_base for f in source.decode(stream)]


def video_end(path: Path | str) -> Fraction:
    """Return the time at which the last frame ends, in seconds."""
    video = only(path, "video")
    time, length = max(zip(video.times, video.durations, strict=True))
    return time + length


def decoded_audio(path: Path | str) -> tuple[float, NDArray[np.float32]]:
    """Return the start of the first audio stream in seconds, and its first channel, in [-1, 1]."""
    with av.open(str(path)) as source:
        frames = list(source.decode(audio=0))
    resampler = av.AudioResampler("fltp", frames[0].layout, frames[0].sample_rate)
    pieces = [piece for frame in [*frames, None] for piece in resampler.resample(frame)]
    wave = np.concatenate([piece.to_ndarray()[0] for piece in pieces])
    return float(frames[0].pts * frames[0].time_base), wave


def decoded(path: Path | str, pix_fmt: str | None = "rgb24") -> list[NDArray[Any]]:
    """Return the frames of a file, converted by FFmpeg; a `pix_fmt` of None converts nothing."""
    with av.open(str(path)) as source:
        stream = next(s for s in source.streams.video if not s.disposition & 1024)
        return [f.to_ndarray(format=pix_fmt) for f in source.decode(stream)]


def first_frame(path: Path | str) -> av.VideoFrame:
    """Return the first frame of a file, not converted."""
    with av.open(str(path)) as source:
        return next(source.decode(video=0))


def chapters(path: Path | str) -> list[tuple[Fraction, Fraction, str]]:
    """Return (start, end, title) of each chapter, in seconds."""
    with av.open(str(path)) as source:
        return [
            (c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"].get("title", ""))
            for c in source.chapters()
        ]


def metadata(path: Path | str) -> dict[str, str]:
    """Return the metadata of a file, keys in lower case."""
    with av.open(str(path)) as source:
        return {name.lower(): value for name, value in source.metadata.items()}


def _described(stream: Any, packets: list[av.Packet]) -> Stream:
    packets = sorted(packets, key=lambda p: p.dts if p.dts is not None else -1)
    extradata = None
    if stream.type == "attachment":
        extradata = bytes(stream.data)
    return Stream(
        kind=stream.type,
        codec=stream.codec_context.codec.canonical_name if stream.codec_context else "",
        language=stream.language,
        disposition=int(stream.disposition),
        times=tuple(None if p.pts is None else p.pts * p.time_base for p in packets),
        durations=tuple((p.duration or 0) * p.time_base for p in packets),
        content=(extradata,) if extradata is not None else tuple(bytes(p) for p in packets),
        metadata=dict(stream.metadata),
    )


def _frame(image: Pixels | av.VideoFrame, pix_fmt: str) -> av.VideoFrame:
    if isinstance(image, av.VideoFrame):
        return image
    frame = av.VideoFrame.from_ndarray(image, format="rgb24")
    return frame.reformat(format=pix_fmt) if pix_fmt != "rgb24" else frame


def _packets_of(stream: Any, packets: Iterable[av.Packet]) -> Iterator[av.Packet]:
    for packet in packets:
        packet.stream = stream
        yield packet


def _encode_tone(target: Any, tone: Tone) -> Iterator[av.Packet]:
    stream = target.add_stream(tone.codec, rate=tone.rate)
    stream.codec_context.layout = tone.layout
    stream.codec_context.time_base = Fraction(1, tone.rate)
    stream.metadata.update(tone.metadata)
    stream.disposition = Disposition(tone.disposition)
    context = stream.codec_context
    context.options = {"strict": "experimental"}  # FFmpeg's own encoder of Vorbis is one
    if tone.codec.startswith("wma"):  # which has no default
        context.bit_rate = 128_000
    context.open()
    samples = int(tone.seconds * tone.rate)
    channels = len(context.layout.channels)
    wave = np.sin(np.arange(samples) * 2 * np.pi * tone.frequency / tone.rate) * 0.5
    samples_s16 = np.repeat((wave * 32767).astype(np.int16), channels)[None]
    frame = av.AudioFrame.from_ndarray(samples_s16, format="s16", layout=tone.layout)
    frame.sample_rate, frame.pts = tone.rate, int(tone.start * tone.rate)
    frame.time_base = Fraction(1, tone.rate)
    resampler = av.AudioResampler(
        context.format, context.layout, tone.rate, context.frame_size or 1024
    )
    pieces = [*resampler.resample(frame), *resampler.resample(None)]
    for piece in [*pieces, None]:
        yield from _packets_of(stream, context.encode(piece))


def _encode_subtitles(target: Any, text: Subtitles) -> Iterator[av.Packet]:
    stream = target.add_stream(text.codec)
    stream.metadata.update(text.metadata)
    stream.disposition = Disposition(text.disposition)
    context = stream.codec_context
    context.subtitle_header = _ASS_HEADER
    context.time_base = Fraction(1, 1000)
    for start, duration, words in text.lines:
        content = words.encode()
        if text.codec == "ass":
            content = b"0,0,Default,,0,0,0,," + content
        if text.codec == "mov_text":
            content = len(content).to_bytes(2, "big") + content
        packet = av.Packet(content)
        packet.stream, packet.time_base = stream, Fraction(1, 1000)
        packet.pts = packet.dts = int(start * 1000)
        packet.duration = int(duration * 1000)
        yield packet


def _cover(target: Any, png: bytes) -> av.Packet:
    stream = target.add_stream("png", rate=1)
    stream.width, stream.height, stream.pix_fmt = 16, 16, "rgb24"
    stream.disposition = Disposition.attached_pic
    packet = av.Packet(png)
    packet.stream, packet.time_base = stream, Fraction(1, 1000)
    packet.pts = packet.dts = 0
    packet.is_keyframe = True
    return packet


def _chapter(start: int, end: int, title: str) -> dict[str, Any]:
    return {
        "id": start,
        "start": start,
        "end": end,
        "time_base": Fraction(1, 1000),
        "metadata": {"title": title},
    }


_ASS_HEADER = b"""[Script Info]
ScriptType: v4.00+
[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, \
Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, \
Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1
[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
