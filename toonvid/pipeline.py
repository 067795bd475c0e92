"""The heart: decode -> stylize -> encode, each on a thread of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from toonvid.backends import Backend
from toonvid.errors import TargetError
from toonvid.prefetch import prefetch
from toonvid.reading.decoder import VideoDecoder
from toonvid.reading.options import DecodeOptions
from toonvid.stylizing.options import StylizeOptions
from toonvid.stylizing.stylizer import Stylizer
from toonvid.video import VideoInfo
from toonvid.writing.encoder import VideoEncoder
from toonvid.writing.options import EncodeOptions

DEPTH = 4  # frames between two stages: enough to hide a slow one, few enough for little memory


@dataclass(frozen=True)
class Progress:
    """How far a conversion has come."""

    info: VideoInfo
    """Of the source."""
    frames: int
    """Written so far."""
    film_seconds: float
    """How much of the film they cover."""
    kept_seconds: float = 0.0
    """How much of the film would not be lost, should the process end now."""
    missing_bytes: int = 0
    """How much room the disk lacks for the rest, as far as can be told."""


@dataclass(frozen=True)
class Conversion:
    """What a conversion did."""

    source: str
    target: str
    frames: int
    film_seconds: float
    """From the first frame to the end of the last."""
    seconds: float
    """What it took."""
    stage_seconds: dict[str, float]
    """Stage -> the time in which it was at work; they run side by side."""
    notices: tuple[str, ...]
    """What was converted, mapped or left out."""
    damage: str | None
    """What of the source could not be read; None when all was."""
    first_frame_seconds: float = 0.0
    """From the beginning until the first frame was with the encoder."""
    resumed_frames: int = 0
    """Of `frames`, those that earlier runs had finished; `seconds` does not cover them."""

    @property
    def slowest_stage(self) -> str:
        return max(self.stage_seconds, key=self.stage_seconds.__getitem__)


def convert(
    source: str | Path,
    target: str | Path,
    backend: Backend,
    decoding: DecodeOptions | None = None,
    stylizing: StylizeOptions | None = None,
    encoding: EncodeOptions | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    job: str = "",
) -> Conversion:
    """Turn a source into a cartoon.

    Args:
        source: A film or picture, anything that FFmpeg opens, or `-` for standard input.
        target: The file to write, or `-` for Matroska on standard output.
        backend: Open; from `toonvid.backends.open_backend`.
        decoding: Part and size of the source.
        stylizing: How much of a cartoon it becomes.
        encoding: How the target is written.
        on_progress: Called after each frame.
        job: Goes into the target's mark.

    Returns:
        What was done. A damaged source is no error: all that could be read is in the target.

    Raises:
        SourceError: The source cannot be opened or has no pictures.
        TargetError: The target cannot be written, or is there already. Nothing is left in its
            place.
        BackendError: The engine fails.
    """
    began = time.perf_counter()
    refuse_same(Path(source), Path(target))
    stylizer = Stylizer(backend, stylizing)
    encode_seconds = film_seconds = first_frame_seconds = 0.0
    with (
        VideoDecoder(source, decoding, with_auxiliary=True) as decoder,
        VideoEncoder(
            *(target, decoder.info, encoding, decoder.auxiliary, backend.engine.card.style),
            job=job,
        ) as encoder,
        closing(prefetch(decoder.frames(), DEPTH, decoder.interrupt)) as frames,
        closing(prefetch(stylizer.stylize(frames), DEPTH, decoder.interrupt)) as cartoons,
    ):
        for done, cartoon in enumerate(cartoons, start=1):
            encode_began = time.perf_counter()
            encoder.write(cartoon)
            encode_seconds += time.perf_counter() - encode_began
            first_frame_seconds = first_frame_seconds or time.perf_counter() - began
            film_seconds = float((cartoon.pts + cartoon.duration) * cartoon.time_base)
            if on_progress is not None:
                on_progress(Progress(decoder.info, done, film_seconds))
    return Conversion(
        source=str(source),
        target=str(target),
        frames=encoder.frame_count,
        film_seconds=film_seconds,
        seconds=time.perf_counter() - began,
        stage_seconds={
            "decode": frames.working_seconds,
            "stylize": cartoons.working_seconds - frames.waiting_seconds,
            "encode": encode_seconds,
        },
        notices=(*decoder.notices, *encoder.notices),
        damage=", ".join(filter(None, (decoder.damage, encoder.damage))) or None,
        first_frame_seconds=first_frame_seconds,
    )


def refuse_same(source: Path, target: Path) -> None:
    """A target that replaces its own source would leave nothing to go back to."""
    if target.exists() and source.exists() and target.samefile(source):
        raise TargetError(f"{target} is the source itself: name another target")
