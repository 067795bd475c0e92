"""The frames of films and pictures, one after the other, each judged by itself.

Found in folders, decoded upright and in their right colours, without black bars, with square
pixels. How alike frames are, and what is cut out of them, is not decided here.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from av.error import FFmpegError

from toonvid.errors import SourceError
from toonvid.reading.decoder import VideoDecoder
from toonvid.reading.options import DecodeOptions
from toonvid.video import Frame, Pixels, VideoInfo
from toonvid.writing.output_paths import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from trainer.prepare.manifest import LEDGER_NAME, Source, sheet_path
from trainer.prepare.quality_filter import HASH_BITS, Fault, content_box, find_fault

log = logging.getLogger(__name__)

_START_OF_SCAN = b"\xda"  # markers of JPEG, ITU-T T.81
_END_OF_IMAGE = b"\xff\xd9"


@dataclass(frozen=True)
class PrepareOptions:
    """All that decides what becomes of a source. A folder is prepared with one set of them."""

    size: int = 288
    """Side of the square crops, in pixels."""
    short_sides: tuple[int, ...] = (480, 720)
    """Short sides in pixels that frames are reduced to before they are cut; none is enlarged."""
    crops: int = 2
    """Crops of a frame at each of `short_sides`; fewer where they would overlap by half."""
    every_seconds: float = 1.0
    """Least time between two frames of a film."""
    all_frames: bool = False
    """Whether to look at every frame of a film, not at key frames alone."""
    max_pictures: int | None = None
    """Most crops of one film, spread over all of it; None for as many as there are."""
    max_blur: float = 0.6
    """Blur effect above which a frame or crop is left out, 0..1; 1 keeps all."""
    min_difference: int = 8
    """Bits of 64 in which a frame's perceptual hash has to differ from all others'; 0 keeps all."""
    keep_credits: bool = False
    """Whether credits are kept."""

    def __post_init__(self) -> None:
        if min(self.size, self.crops) < 1 or self.every_seconds < 0:
            raise ValueError(f"{self.size = }, {self.crops = }, {self.every_seconds = }")
        if not self.short_sides or min(self.short_sides) < self.size:
            raise ValueError(f"{self.short_sides = } hold no crop of {self.size = }")
        if self.max_pictures is not None and self.max_pictures < 1:
            raise ValueError(f"{self.max_pictures = }")
        if not 0 <= self.max_blur <= 1 or not 0 <= self.min_difference <= HASH_BITS:
            raise ValueError(f"{self.max_blur = }, {self.min_difference = }")


@dataclass(frozen=True)
class Look:
    """A frame, and what is to be said of it without knowing the others."""

    source: Source
    pixels: Pixels
    """(H, W, 3) uint8, RGB, upright, without bars, its pixels square."""
    milliseconds: int
    """When it is shown."""
    fault: Fault | None
    share: float
    """How far it lies into the source, 0..1."""


@dataclass(frozen=True)
class End:
    """A source is read."""

    source: Source
    too_soon: int
    """Frames passed over because another one was shown just before."""
    problem: str | None


def find_sources(named: Sequence[str], target: Path) -> Iterator[Source]:
    """Yield the films and pictures in what a user named, those in `target` left out.

    Raises:
        SourceError: One is not there.
    """
    for name in named:
        root = Path(name).resolve()
        if not root.exists():
            raise SourceError(f"{name}: no such file or folder")
        for path in _files_in(root, target) if root.is_dir() else [root]:
            try:
                stat = path.stat()
            except OSError:
                continue  # it has gone since the folder was listed
            yield Source(name, str(path), f"{stat.st_size}-{stat.st_mtime_ns}")


def look_at(source: Source, options: PrepareOptions) -> Iterator[Look | End]:
    """Yield the frames of a source that are far enough from each other, then its end.

    A source that cannot be read, or not whole, ends with a problem; nothing is raised for it. A
    picture that is not whole is not looked at.
    """
    too_soon = 0
    problem = None
    last = -np.inf
    try:
        with VideoDecoder(
            source.path, DecodeOptions(key_frames_only=not options.all_frames)
        ) as decoder:
            info = decoder.info
            least = _least_seconds(info, options)
            for frame in _whole_picture(decoder) if info.is_image else decoder.frames():
                if frame.seconds - last < least:
                    too_soon += 1
                    continue
                last = float(frame.seconds)
                yield _judged(source, frame, info, options)
            problem = decoder.damage
    except (SourceError, FFmpegError, OSError) as error:
        problem = str(error)
    yield End(source, too_soon, problem)


def _whole_picture(decoder: VideoDecoder) -> list[Frame]:
    frames = list(decoder.frames())
    damage = "it is cut short" if _is_cut_jpeg(Path(decoder.source)) else decoder.damage
    if damage:
        raise SourceError(f"{decoder.source} is damaged: {damage}")
    return frames


def _is_cut_jpeg(path: Path) -> bool:
    """Whether a JPEG has no end, which FFmpeg makes up for with grey."""
    data = path.read_bytes()
    place = 2 if data.startswith(b"\xff\xd8") else len(data)
    while data[place : place + 1] == b"\xff" and data[place + 1 : place + 2] != _START_OF_SCAN:
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return place < len(data) and data.find(_END_OF_IMAGE, place) < 0


def _least_seconds(info: VideoInfo, options: PrepareOptions) -> float:
    """The least time between two frames, so that no more are taken than were asked for."""
    if options.max_pictures is None or info.duration_seconds is None:
        return options.every_seconds
    frames = options.max_pictures / (options.crops * len(options.short_sides))
    return max(options.every_seconds, info.duration_seconds / max(frames, 1))


def _judged(source: Source, frame: Frame, info: VideoInfo, options: PrepareOptions) -> Look:
    whole = _on_white(frame)
    pixels = np.ascontiguousarray(whole[content_box(whole)])
    pixels = _square_pixels(pixels, float(info.sample_aspect_ratio))
    # Of credits on black, the ground goes with the bars: they are looked for in the whole frame.
    fault = find_fault(whole, 1.0, options.keep_credits)
    if fault is None and min(pixels.shape[:2]) < options.size:
        fault = "small"
    elif fault is None:
        fault = find_fault(pixels, options.max_blur, options.keep_credits)
    share = float(frame.seconds) / info.duration_seconds if info.duration_seconds else 0.0
    return Look(source, pixels, int(frame.seconds * 1000), fault, min(max(share, 0.0), 1.0))


def _on_white(frame: Frame) -> Pixels:
    """What is seen of a frame with transparent parts on paper."""
    if frame.alpha is None:
        return frame.pixels
    cover = frame.alpha[..., None].astype(np.uint16)
    return ((frame.pixels * cover + 255 * (255 - cover) + 127) // 255).astype(np.uint8)


def _square_pixels(pixels: Pixels, aspect: float) -> Pixels:
    """Narrow the side that has more pixels than are shown.

    Args:
        pixels: (H, W, 3) uint8.
        aspect: Width of a pixel over its height.
    """
    if aspect == 1:
        return pixels
    height, width, _ = pixels.shape
    size = (width, round(height / aspect)) if aspect > 1 else (round(width * aspect), height)
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _files_in(root: Path, target: Path) -> Iterator[Path]:
    """Films and pictures in a folder, in order of their names; one folder's names in memory.

    Folders that were prepared, and their contact sheets, are left out.
    """
    for folder, folders, names in os.walk(root, onerror=_warn):
        here = Path(folder)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        prepared = [f for f in folders if here / f == target or (here / f / LEDGER_NAME).exists()]
        folders[:] = [f for f in folders if f not in prepared]
        sheets = {sheet_path(here / f).name for f in prepared}
        for name in sorted(names):
            suffix = Path(name).suffix.lower()
            is_own = name.startswith(".") or name in sheets
            if suffix in VIDEO_SUFFIXES | IMAGE_SUFFIXES and not is_own:
                yield here / name


def _warn(error: OSError) -> None:
    log.warning("skipped the folder %s: %s", error.filename, error.strerror)
