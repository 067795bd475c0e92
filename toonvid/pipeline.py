"""The way of a frame: decode -> stylize -> encode -> sink, each stage on a thread of its own.

In: a source that FFmpeg opens. Out: a target, or segments of one. `run_parts` is the loop that
every conversion goes through; it hands packets to a sink and does not know what becomes of them.
`convert` uses it with one sink, a muxer. `toonvid.resume.segmented` uses it with a segment file for
every ten seconds, and is what `toonvid.convert` calls.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby
from pathlib import Path

from av.packet import Packet
from av.stream import Stream

from toonvid.backends import Backend
from toonvid.errors import TargetError
from toonvid.files import is_same_file
from toonvid.prefetch import prefetch
from toonvid.reading.decoder import VideoDecoder
from toonvid.reading.options import DecodeOptions
from toonvid.stylizing.options import StylizeOptions
from toonvid.stylizing.stylizer import Stylizer
from toonvid.video import LARGE_FRAME_PIXELS, Frame, VideoInfo, like_without_pixels
from toonvid.writing.encoder import Encoder
from toonvid.writing.muxer import Muxer
from toonvid.writing.options import EncodeOptions

CHANGED = "it was changed while it was read"
"""Damage of a source whose file was written to during the conversion."""
DEPTH = 4  # frames between two stages: enough to hide a slow one, few enough for little memory
_BYTES_BETWEEN_STAGES = 3 * LARGE_FRAME_PIXELS  # one frame of 8K


@dataclass(frozen=True)
class ConvertOptions:
    """Options of a conversion: those of its three stages, and of resuming it."""

    decoding: DecodeOptions = field(default_factory=DecodeOptions)
    """Part and size of the source."""
    stylizing: StylizeOptions = field(default_factory=StylizeOptions)
    """Strength, color and comparison of the cartoon."""
    encoding: EncodeOptions = field(default_factory=EncodeOptions)
    """Codec, quality and streams of the target."""
    segment_seconds: Fraction = Fraction(10)
    """Seconds of video in a segment, which is the most that a crash can cost."""
    restart: bool = False
    """Whether to throw away what an earlier run has finished."""
    command: str = ""
    """Command line of the user, shown by `toonvid convert --status`; empty in other programs."""

    def __post_init__(self) -> None:
        if not self.segment_seconds > 0:
            raise ValueError(f"segment_seconds is above 0, not {self.segment_seconds}")


@dataclass(frozen=True)
class Progress:
    """State of a conversion that is under way."""

    info: VideoInfo
    """Description of the source."""
    frames: int
    """Frames written so far."""
    video_seconds: float
    """Seconds of the video that they cover."""
    kept_seconds: float = 0.0
    """Seconds of the video in finished segments, which a later run need not make again."""
    video_bytes: int = 0
    """Bytes of the video that the frames written so far take, about."""
    missing_bytes: int = 0
    """Bytes that the disk lacks for the rest, as far as can be told."""


@dataclass(frozen=True)
class Conversion:
    """Result of a conversion."""

    source: str
    target: str
    frames: int
    """Frames in the target."""
    video_seconds: float
    """Seconds from the first frame to the end of the last."""
    seconds: float
    """Seconds that the conversion took."""
    stage_seconds: dict[str, float]
    """Stage -> seconds in which it was at work; stages run side by side. Empty where this process
    made no frame: nodes of a cluster did, or earlier runs."""
    notices: tuple[str, ...]
    """Sentences for the user: streams that were converted or left out, colors that were mapped."""
    damage: str | None
    """Parts of the source that could not be read; None when all of it was."""
    left_out: str | None = None
    """Packets that were read and have no place in the target, where they are more than a handful;
    None when none are."""
    first_frame_seconds: float | None = None
    """Seconds until the first frame was encoded; None where this process made no frame."""
    resumed_frames: int = 0
    """Those of `frames` that earlier runs had finished; `seconds` does not cover them."""

    @property
    def slowest_stage(self) -> str | None:
        """The stage that was at work the longest; None where none was."""
        if not any(self.stage_seconds.values()):
            return None
        return max(self.stage_seconds, key=self.stage_seconds.__getitem__)


@dataclass(frozen=True)
class Sink:
    """Receiver of the packets of one part of the video."""

    encoder: Encoder
    """Open. Encodes this part and no other."""
    write: Callable[[list[Packet[Stream]]], None]
    """Called with the packets that the encoder has finished after each frame, possibly none."""


def convert(
    source: str | Path,
    target: str | Path,
    backend: Backend,
    options: ConvertOptions | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    job: str = "",
) -> Conversion:
    """Turn a source into a cartoon in one go; nothing can be resumed.

    Args:
        source: A video or image, anything that FFmpeg opens, or `-` for standard input.
        target: The file to write, or `-` for Matroska on standard output.
        backend: Open; from `toonvid.backends.open_backend`.
        options: None for the defaults. Segment options are ignored.
        on_progress: Called after each frame. What it raises ends the conversion.
        job: Goes into the target's provenance tag.

    Returns:
        What was done. A damaged source is no error: all that could be read is in the target, but
        for what `left_out` says.

    Raises:
        SourceError: The source cannot be opened or has no video stream.
        TargetError: The target cannot be written, or is there already. Nothing is left in its
            place.
        BackendError: The engine fails.
    """
    options = options or ConvertOptions()
    began = time.perf_counter()
    refuse_same(Path(source), Path(target))
    state_before = _file_state(Path(source))
    video_seconds = 0.0
    first_frame_seconds: float | None = None

    with (
        # The source is demuxed once: what is not video waits in `decoder.auxiliary` until the muxer
        # takes it, so that pipes can be converted too.
        VideoDecoder(
            source,
            options.decoding,
            with_auxiliary=True,
            on_size=Stylizer(backend, options.stylizing.for_source(is_image=False)).prepare,
        ) as decoder,
        Muxer(
            Encoder(target, decoder.info, options.encoding),
            auxiliary=decoder.auxiliary,
            style=backend.engine.card.style,
            job=job,
        ) as muxer,
    ):
        encoder = muxer.encoder
        stylizer = Stylizer(backend, options.stylizing.for_source(decoder.info.is_image))

        @contextmanager
        def whole_target(_part: int, first: Frame) -> Iterator[Sink]:
            muxer.start(first)
            yield Sink(encoder, muxer.write)

        def report(frame: Frame) -> None:
            nonlocal video_seconds, first_frame_seconds
            video_seconds = end_seconds(frame)
            first_frame_seconds = first_frame_seconds or time.perf_counter() - began
            if on_progress is not None:
                on_progress(
                    Progress(
                        decoder.info,
                        encoder.frame_count,
                        video_seconds,
                        video_bytes=encoder.expected_bytes,
                    )
                )

        stage_seconds = run_stages(
            decoder=decoder,
            frames=decoder.frames(),
            stylize=lambda frames: ((0, cartoon) for cartoon in stylizer.stylize(frames)),
            open_sink=whole_target,
            on_frame=report,
        )
    is_changed = state_before is not None and _is_rewritten(state_before, _file_state(Path(source)))
    damage = (decoder.damage, muxer.damage, CHANGED * is_changed)
    return Conversion(
        source=str(source),
        target=str(target),
        frames=encoder.frame_count,
        video_seconds=video_seconds,
        seconds=time.perf_counter() - began,
        stage_seconds=stage_seconds,
        notices=(*decoder.notices, *encoder.notices, *muxer.notices),
        damage=", ".join(filter(None, damage)) or None,
        left_out=muxer.left_out,
        first_frame_seconds=first_frame_seconds,
    )


def run_stages(
    decoder: VideoDecoder,
    frames: Iterator[Frame],
    stylize: Callable[[Iterator[Frame]], Iterator[tuple[int, Frame]]],
    open_sink: Callable[[int, Frame], AbstractContextManager[Sink]],
    on_frame: Callable[[Frame], None],
) -> dict[str, float]:
    """Take a video through all stages, to the end of its frames; see `run_parts`.

    Returns:
        Stage -> seconds in which it was at work: decode, stylize, encode.
    """
    parts = run_parts(decoder, frames, stylize, open_sink, on_frame)
    while True:
        try:
            next(parts)
        except StopIteration as end:
            stage_seconds: dict[str, float] = end.value
            return stage_seconds


def run_parts(
    decoder: VideoDecoder,
    frames: Iterator[Frame],
    stylize: Callable[[Iterator[Frame]], Iterator[tuple[int, Frame]]],
    open_sink: Callable[[int, Frame], AbstractContextManager[Sink]],
    on_frame: Callable[[Frame], None],
) -> Generator[int, None, dict[str, float]]:
    """Take a video through all stages, part by part.

    A video may be written in parts that follow one another. Each part has an encoder of its own, so
    that it begins with a key frame and depends on no other part.

    Args:
        decoder: Open. Interrupted when a later stage ends early, so that no thread waits for it.
        frames: What `decoder` yields. Read on a second thread.
        stylize: Turns frames into cartoons, each with the number of its part; on a third thread.
        open_sink: Given the number of a part and a frame like its cartoons, whose pixels are all 0,
            opens the sink for that part. It is left once all packets of the part are written.
        on_frame: Called with each cartoon when it is encoded.

    Yields:
        The number of each part whose sink was left.

    Returns:
        Stage -> seconds in which it was at work: decode, stylize, encode.
    """
    encode_seconds = 0.0
    depth = frames_between_stages(decoder.info.width, decoder.info.height)
    with (
        closing(prefetch(frames, depth, decoder.interrupt)) as decoded,
        closing(prefetch(stylize(decoded), depth, decoded.stop)) as stylized,
    ):
        for part, numbered in groupby(stylized, key=lambda pair: pair[0]):
            cartoons = (cartoon for _, cartoon in numbered)
            cartoon: Frame | None = next(cartoons)
            assert cartoon is not None, "groupby gives no empty groups"
            with open_sink(part, like_without_pixels(cartoon)) as sink:
                while cartoon is not None:
                    encode_began = time.perf_counter()
                    sink.write(sink.encoder.encode(cartoon))
                    encode_seconds += time.perf_counter() - encode_began
                    on_frame(cartoon)
                    cartoon = next(cartoons, None)
                sink.write(sink.encoder.flush())
            yield part
    return {
        "decode": decoded.working_seconds,
        "stylize": stylized.working_seconds - decoded.waiting_seconds,
        "encode": encode_seconds,
    }


def frames_between_stages(width: int, height: int) -> int:
    """Return how many frames of a size in pixels may wait between two stages; 0 beyond 8K."""
    return min(DEPTH, _BYTES_BETWEEN_STAGES // (3 * width * height))


def end_seconds(frame: Frame) -> float:
    """Return the time at which a frame stops being shown, in seconds."""
    return float((frame.pts + frame.duration) * frame.time_base)


def _file_state(source: Path) -> tuple[int, int, int] | None:
    """Return the inode, size and time of change of a source; None when it is not a file."""
    if not source.is_file():
        return None
    found = source.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _is_rewritten(before: tuple[int, int, int], now: tuple[int, int, int] | None) -> bool:
    """Whether a file was written to; one that another has replaced was still read to its end."""
    return now is not None and now != before and now[0] == before[0]


def refuse_same(source: Path, target: Path) -> None:
    """Refuse a target that would replace its own source.

    Raises:
        TargetError: Both are the same file.
    """
    if is_same_file(target, source):
        raise TargetError(f"{target} is the source itself: name another target")
