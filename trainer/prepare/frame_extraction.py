"""Frame extraction: finds videos and images, and yields their frames with a quality verdict.

In: files and folders. Out: frames, rotated, without black bars and with square pixels. Crops are
cut in `trainer.prepare.prepare`.
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
from numpy.typing import NDArray

from toonvid.errors import SourceError
from toonvid.reading.decoder import VideoDecoder
from toonvid.reading.options import DecodeOptions
from toonvid.video import Frame, Pixels, VideoInfo, over_white
from toonvid.writing.output_paths import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from trainer.prepare.manifest import MANIFEST_NAME, SourceFile, sheet_path
from trainer.prepare.quality_filter import (
    HASH_BITS,
    Fault,
    HashIndex,
    content_box,
    find_fault,
    perceptual_hash,
)

log = logging.getLogger(__name__)

_START_OF_SCAN = b"\xda"  # JPEG markers, ITU-T T.81
_END_OF_IMAGE = b"\xff\xd9"


@dataclass(frozen=True)
class PrepareOptions:
    """Everything that decides which crops a source gives; the same for all runs on a folder.

    The manifest stores the field names, so they stay as they are.
    """

    size: int = 288
    """Side of the square crops, in pixels."""
    short_sides: tuple[int, ...] = (480, 720)
    """Short sides, in pixels, to which frames are reduced before cropping; none is enlarged."""
    crops: int = 2
    """Crops per frame at each of `short_sides`; fewer where they would overlap by half."""
    every_seconds: float = 1.0
    """Minimum time between two frames of a video."""
    all_frames: bool = False
    """Whether to decode every frame of a video rather than key frames only."""
    max_pictures: int | None = None
    """Maximum number of crops per video, spread over its duration; None for no limit."""
    max_blur: float = 0.6
    """Blur effect (`quality_filter.blur_effect`), 0..1, above which a frame or crop is rejected; 1
    rejects none."""
    min_difference: int = 8
    """Minimum Hamming distance, 0..64, of a frame's perceptual hash to all others; 0 keeps
    duplicates."""
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

    def crops_by_scale(self, pixels: Pixels) -> dict[int, int]:
        """Return the number of crops of a frame by the short side to which it is reduced."""
        own, longer = min(pixels.shape[:2]), max(pixels.shape[:2])
        sides = sorted({min(own, side) for side in self.short_sides})
        rooms = {side: round(longer * (side / own)) - self.size for side in sides}
        return {
            side: min(self.crops, 1 + room // max(1, self.size // 2))
            for side, room in rooms.items()
            if side >= self.size
        }


@dataclass(frozen=True)
class ExaminedFrame:
    """A frame, and the verdict on it."""

    source: SourceFile
    pixels: Pixels
    """(H, W, 3) uint8, RGB, rotated, without black bars, with square pixels."""
    milliseconds: int
    """Presentation time."""
    hash: NDArray[np.uint8]
    """Perceptual hash, (8,) uint8."""
    fault: Fault | None
    """Why the frame is rejected; None when it is not."""
    share: float
    """Position of the frame in the source, 0..1."""


@dataclass(frozen=True)
class SourceEnd:
    """The end of a source."""

    source: SourceFile
    too_soon: int
    """Number of frames skipped because they follow another one too closely."""
    problem: str | None
    """Why the source could not be read completely; None when it was."""


def find_sources(named: Sequence[str], target: Path) -> Iterator[SourceFile]:
    """Yield the videos and images in the files and folders that the user named, each once.

    Args:
        named: Files and folders; folders are searched recursively.
        target: Folder of the crops; left out of the search.

    Raises:
        SourceError: One of them does not exist, or is the target or in it.
    """
    found: set[tuple[str, str]] = set()  # a file may be named, and lie in a folder that is
    for name in named:
        for source in _sources_at(name, target):
            if (source.path, source.fingerprint) not in found:
                found.add((source.path, source.fingerprint))
                yield source


def examine_source(
    source: SourceFile, options: PrepareOptions, index: HashIndex
) -> Iterator[ExaminedFrame | SourceEnd]:
    """Yield the frames of a source that are far enough apart in time, then its end.

    A source that cannot be read completely raises nothing; its end states the problem. Frames of a
    damaged video are kept, a damaged image is not.

    Args:
        source: Video or image.
        options: Which frames are rejected.
        index: Hashes of all frames that were kept before; those of this source are added.
    """
    too_soon = 0
    problem = None
    try:
        with VideoDecoder(
            source.path, DecodeOptions(key_frames_only=not options.all_frames)
        ) as decoder:
            info = decoder.info
            spacing = _Spacing(info.duration_seconds, options)
            for frame in _intact_image(decoder) if info.is_image else decoder.frames():
                # Most frames of a scene look alike and would be rejected as duplicates later.
                if frame.seconds < spacing.next_seconds:
                    too_soon += 1
                    continue
                examined = _examine(source, frame, info, options, index)
                spacing.add(float(frame.seconds), examined)
                yield examined
            problem = decoder.damage
    except (SourceError, FFmpegError, OSError) as error:
        problem = str(error)
    yield SourceEnd(source, too_soon, problem)


def _sources_at(name: str, target: Path) -> Iterator[SourceFile]:
    """Yield the videos and images at one of the names that the user gave."""
    root = Path(name).resolve()
    if not root.exists():
        raise SourceError(f"{name}: no such file or folder")
    if root.is_relative_to(target):
        raise SourceError(
            f"{name}: images are written to {target}, so it cannot be a source; name the files"
            " that they are made of, or another folder with -o"
        )
    for path in _files_in(root, target) if root.is_dir() else [root]:
        try:
            stat = path.stat()
        except OSError:
            continue  # deleted since the folder was listed
        yield SourceFile(name, str(path), f"{stat.st_size}-{stat.st_mtime_ns}")


def _intact_image(decoder: VideoDecoder) -> list[Frame]:
    frames = list(decoder.frames())
    damage = "it is cut short" if _is_cut_jpeg(Path(decoder.source)) else decoder.damage
    if damage:
        raise SourceError(f"{decoder.source} is damaged: {damage}")
    return frames


def _is_cut_jpeg(path: Path) -> bool:
    """Whether a JPEG is truncated. FFmpeg fills the missing part with gray and reports nothing."""
    data = path.read_bytes()
    position = 2 if data.startswith(b"\xff\xd8") else len(data)
    while (
        data[position : position + 1] == b"\xff"
        and data[position + 1 : position + 2] != _START_OF_SCAN
    ):
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return position < len(data) and data.find(_END_OF_IMAGE, position) < 0


class _Spacing:
    """The times of a video's frames that spread the largest number of crops over its duration."""

    def __init__(self, duration_seconds: float | None, options: PrepareOptions) -> None:
        self._duration_seconds = duration_seconds
        self._options = options
        self._crops_left = options.max_pictures
        self.next_seconds = -np.inf
        """Time from which the next frame is due."""

    def add(self, seconds: float, frame: ExaminedFrame) -> None:
        """Decide when the next frame is due: after a rejected one, as soon as possible.

        Args:
            seconds: Time of the frame that was examined last.
            frame: That frame.
        """
        gap = self._options.every_seconds
        if frame.fault is None and self._crops_left is not None and self._duration_seconds:
            # Spread the rest over the rest: frames before this one may have been rejected.
            crops = sum(self._options.crops_by_scale(frame.pixels).values())
            frames_left = max(1, self._crops_left / crops)
            gap = max(gap, (self._duration_seconds - seconds) / frames_left)
            self._crops_left -= crops
        self.next_seconds = seconds + gap


def _examine(
    source: SourceFile, frame: Frame, info: VideoInfo, options: PrepareOptions, index: HashIndex
) -> ExaminedFrame:
    whole = frame.pixels if frame.alpha is None else over_white(frame.pixels, frame.alpha)
    pixels = np.ascontiguousarray(whole[content_box(whole)])
    pixels = _square_pixels(pixels, float(info.sample_aspect_ratio))
    # Credits on black are searched in the whole frame: without its black bars, little but text is
    # left of it.
    fault = find_fault(whole, 1.0, options.keep_credits)
    if fault is None and min(pixels.shape[:2]) < options.size:
        fault = "small"
    elif fault is None:
        fault = find_fault(pixels, options.max_blur, options.keep_credits)
    found = perceptual_hash(pixels)
    if fault is None and index.difference(found) < options.min_difference:
        fault = "duplicate"
    elif fault is None:
        index.add(found)
    share = float(frame.seconds) / info.duration_seconds if info.duration_seconds else 0.0
    return ExaminedFrame(
        source=source,
        pixels=pixels,
        milliseconds=int(frame.seconds * 1000),
        hash=found,
        fault=fault,
        share=min(max(share, 0.0), 1.0),
    )


def _square_pixels(pixels: Pixels, aspect: float) -> Pixels:
    """Reduce the longer-sampled side so that pixels become square.

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
    """Yield the videos and images in a folder and its subfolders, in alphabetical order.

    Prepared folders and their contact sheets are left out. Only the names in one folder are in
    memory at a time.
    """
    for folder, folders, names in os.walk(root, onerror=_warn):
        current = Path(folder)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        prepared = [
            f for f in folders if current / f == target or (current / f / MANIFEST_NAME).exists()
        ]
        folders[:] = [f for f in folders if f not in prepared]
        sheets = {sheet_path(current / f).name for f in prepared}
        for name in sorted(names):
            suffix = Path(name).suffix.lower()
            is_skipped = name.startswith(".") or name in sheets
            if suffix in VIDEO_SUFFIXES | IMAGE_SUFFIXES and not is_skipped:
                yield current / name


def _warn(error: OSError) -> None:
    log.warning("skipped the folder %s: %s", error.filename, error.strerror)
