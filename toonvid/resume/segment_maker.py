"""Segment maker: frames of a video become segments on disk, one after the other.

In: the frames of a source from a boundary on, in order. Out: segment files, and what the journal
says of each. The frames go through `toonvid.pipeline.run_parts`, with a segment file as the sink.
Where to begin, and what becomes of the segments, is up to `toonvid.resume.missing_segments`, which
makes all that a work folder lacks, and `toonvid.resume.separate_segments`, which makes some of them
elsewhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain, groupby
from pathlib import Path

from toonvid.backends import Backend
from toonvid.errors import SourceError
from toonvid.pipeline import ConvertOptions, Sink, end_seconds, run_parts
from toonvid.reading.decoder import VideoDecoder
from toonvid.resume.boundaries import Splitter, identify, keep_last
from toonvid.resume.journal_entries import FinishedSegment, frame_kind
from toonvid.resume.segment_file import SegmentWriter
from toonvid.resume.work_folder import disk_errors
from toonvid.stylizing.steady import warm_up_frames
from toonvid.stylizing.stylizer import Stylizer
from toonvid.video import Frame, VideoInfo
from toonvid.writing.encoder import Encoder


class SegmentMaker:
    """Makes the segments of one video. Used once."""

    def __init__(
        self,
        target: Path,
        info: VideoInfo,
        backend: Backend,
        options: ConvertOptions,
        segment_path: Callable[[int], Path],
        template: Frame | None = None,
        on_begin: Callable[[Frame], None] = lambda template: None,
        on_frame: Callable[[Frame, Encoder], None] = lambda cartoon, encoder: None,
        encoder_threads: int = 0,
    ) -> None:
        """Remember what to make.

        Args:
            target: The file that the segments are for.
            info: What is known of the source.
            backend: Open.
            options: How the source is converted.
            segment_path: Number of a segment -> where its file is written.
            template: A frame like the first cartoon of the video. All encoders are opened for the
                same kind of frame, or their extradata would differ. None takes the first cartoon
                that is made.
            on_begin: Called with that frame before each segment. What it raises ends the work.
            on_frame: Called with each cartoon when it is encoded, and the encoder of its segment.
            encoder_threads: As in `toonvid.writing.encoder.Encoder`.
        """
        self.stage_seconds: dict[str, float] = {}
        """Stage -> seconds in which it was at work. Set after the last segment."""
        self.next_begin: Fraction | None = None
        """Time of the first frame behind the last segment; None where the source ends there."""
        self._target, self._info = target, info
        self._backend = backend
        self._options = options
        self._segment_path = segment_path
        self._template = template
        self._on_begin, self._on_frame = on_begin, on_frame
        self._encoder_threads = encoder_threads
        # Number of a segment -> its last source frames, and whether the source was intact so far.
        # Filled by the stylizing thread when it has passed the segment's end.
        self._ends: dict[int, tuple[list[list[str]], bool]] = {}
        self._made: FinishedSegment | None = None
        self._end_seconds = 0.0  # end of the last frame that was encoded

    def make(
        self,
        decoder: VideoDecoder,
        frames: Iterator[Frame],
        splitter: Splitter,
        before: Iterable[Frame] = (),
        finished: Mapping[int, FinishedSegment] | None = None,
        last: int | None = None,
    ) -> Generator[FinishedSegment, None, None]:
        """Make segments until the source ends.

        Args:
            decoder: Open, with auxiliary streams.
            frames: What is left of the decoder's frames.
            splitter: Numbers the segments of these frames.
            before: The last frames of the segment before these.
            finished: Segments that need not be made. May grow meanwhile.
            last: Number of the last segment to make; None for all.

        Yields:
            Each segment that was made, once its file is safe on disk.

        Raises:
            SourceError: The source cannot be read any more, for now.
            TargetError: A segment cannot be written.
            BackendError: The engine fails.
        """
        parts = run_parts(
            decoder=decoder,
            frames=_video_alone(decoder, frames),
            stylize=lambda decoded: self._numbered_cartoons(
                decoder, decoded, splitter, list(before), finished or {}, last
            ),
            open_sink=self._open_segment,
            on_frame=self._note_frame,
        )
        try:
            while True:
                try:
                    next(parts)
                except StopIteration as end:
                    self.stage_seconds = end.value
                    return
                assert self._made is not None
                yield self._made
        finally:
            parts.close()

    def new_encoder(self) -> Encoder:
        """Return an encoder for a segment, not open yet."""
        return Encoder(
            self._target, self._info, self._options.encoding, threads=self._encoder_threads
        )

    def _numbered_cartoons(
        self,
        decoder: VideoDecoder,
        frames: Iterable[Frame],
        splitter: Splitter,
        before: list[Frame],
        finished: Mapping[int, FinishedSegment],
        last: int | None,
    ) -> Iterator[tuple[int, Frame]]:
        """Yield each cartoon with the number of its segment; finished segments are passed over.

        A batch never holds frames of two segments: a backend may round otherwise in a batch of
        another size, and a run that goes on would then give other bytes.
        """
        stylizing = self._options.stylizing.for_source(decoder.info.is_image)
        stylizer = Stylizer(self._backend, stylizing)
        kept = last_frame_count(decoder.info)
        frames_before = before  # that the stylizer has not seen
        last_identified = identify(before)
        for number, segment_frames in groupby(frames, key=splitter):
            if last is not None and number > last:
                self.next_begin = next(segment_frames).seconds
                return
            known = finished.get(number)
            if known is not None and known.follows(last_identified):
                frames_before = list(deque(segment_frames, maxlen=kept))
                last_identified = known.last_source_frames
                continue
            stylizer.begin_segment(frames_before)
            frames_before = []  # the stylizer sees the frames before the next segment itself
            last_frames: deque[Frame] = deque(maxlen=kept)
            for cartoon in stylizer.stylize(keep_last(segment_frames, last_frames)):
                yield number, cartoon
            last_identified = identify(last_frames)
            self._ends[number] = (last_identified, decoder.is_whole)

    @contextmanager
    def _open_segment(self, number: int, first: Frame) -> Iterator[Sink]:
        """Open the sink of one segment, which is described when it is left without an error."""
        template = self._template = self._template or first
        self._on_begin(template)
        encoder = self._encoder = self.new_encoder()
        with disk_errors(self._target), SegmentWriter(self._segment_path(number)) as writer:
            encoder.open(template)
            writer.begin(encoder.time_base, encoder.extradata)
            yield Sink(encoder, writer.write)
            segment = writer.finish()
        last_source_frames, is_intact = self._ends.pop(number)
        self._made = FinishedSegment(
            number=number,
            segment=segment,
            end_seconds=self._end_seconds,
            last_source_frames=last_source_frames,
            source_is_intact=is_intact,
            frame_kind=frame_kind(template),
            notices=list(encoder.notices),
        )

    def _note_frame(self, cartoon: Frame) -> None:
        self._end_seconds = end_seconds(cartoon)
        self._on_frame(cartoon, self._encoder)


def last_frame_count(info: VideoInfo) -> int:
    """Return how many frames at a segment's end must be found again to go on behind it.

    They are those that the state of the steady stage is made of.
    """
    return warm_up_frames(info.height, info.width)


def read_up_to(
    begin: Fraction, frames: Iterator[Frame], count: int
) -> tuple[list[Frame], Iterator[Frame]] | None:
    """Read the frames before a time, of which the last `count` are kept.

    Returns:
        The last frames before, and all frames from that time on; None if none has that time.
    """
    before: deque[Frame] = deque(maxlen=count)
    for frame in frames:
        if frame.seconds == begin:
            return list(before), chain([frame], frames)
        if frame.seconds > begin:
            return None
        before.append(frame)
    return None


def _video_alone(decoder: VideoDecoder, frames: Iterator[Frame]) -> Iterator[Frame]:
    """Yield the frames; auxiliary packets are dropped, because the join reads them again.

    They are demuxed all the same, so that the decoder knows the damage in them.
    """
    decoder.auxiliary.packets.discard()
    yield from frames
    refuse_trouble(decoder)


def refuse_trouble(decoder: VideoDecoder) -> None:
    """Refuse to take the frames so far for all there are, if the source cannot be read for now.

    Finished segments wait for the source, which may be on a disk that comes back.

    Raises:
        SourceError: The source cannot be read to its end.
    """
    if decoder.trouble is not None:
        raise SourceError(f"{decoder.source} cannot be read on: {decoder.trouble}")
