"""Preparing: videos and images become a folder of square crops to train on.

In: videos, images and folders. Out: JPEG crops, `report.json` and a contact sheet.

Only key frames of a video are used. Encoders set one at each scene change and every few seconds,
so key frames show the beginnings of scenes, and decoding them alone is a hundredth of the work. A
scene detector such as PySceneDetect has to decode every frame and finds little more. For videos
with too few key frames there is `PrepareOptions.all_frames`.

Black bars are cut off. Frames that are too small, blank, credits, blurred, or nearly the same as an
earlier one of any source are rejected. The rest is cut into crops at several scales, so that lines
are as wide in a crop as they are in videos of those heights. Burnt-in subtitles and logos stay.

Everything is decided by the content of the frames: the same sources in the same order give the same
files. In memory are a few frames, the paths of the sources and 8 bytes for every kept frame; the
manifest holds the rest, and the next run processes only what is new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2

from toonvid.errors import SourceError, TrainingError
from toonvid.prefetch import prefetch
from toonvid.video import Pixels
from trainer.files import write_atomically
from trainer.prepare.crops import cut_crops
from trainer.prepare.frame_extraction import (
    ExaminedFrame,
    PrepareOptions,
    SourceEnd,
    examine_source,
    find_sources,
)
from trainer.prepare.manifest import Manifest, ManifestEntry, crop_path
from trainer.prepare.quality_filter import HashIndex, find_fault
from trainer.prepare.report import PrepareReport, rejection_reasons, write_report

_FRAMES_AHEAD = 3  # frames in the queue, each as large as the source's
_JPEG = [
    *(cv2.IMWRITE_JPEG_QUALITY, 95),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
]  # 45 kB per crop; without chroma subsampling, thin lines keep their color


@dataclass(frozen=True)
class PrepareProgress:
    """State of a run, for a progress bar."""

    done: int
    """Number of finished sources."""
    total: int
    """Number of sources that this run has to process."""
    source: str
    """Path of the current source."""
    share: float
    """Position in the current source, 0..1."""
    crops: int
    """Number of crops written in this run."""


def prepare(
    sources: Sequence[str],
    target: Path,
    options: PrepareOptions | None = None,
    on_progress: Callable[[PrepareProgress], None] | None = None,
) -> PrepareReport:
    """Cut videos and images into crops for training, continuing earlier runs on the folder.

    Args:
        sources: Videos, images, and folders, which are searched recursively.
        target: Folder of the crops; the contact sheet is written beside it, outside the dataset.
        options: None for the defaults. They have to be the same in all runs on a folder.
        on_progress: Called after each frame; None for no progress.

    Raises:
        SourceError: A source does not exist or lies in the target, a folder contains no video or
            image, or nothing was kept.
        TargetError: The folder contains something else, was prepared with other options, or is in
            use by another run.
        TrainingError: The folder cannot be written, or the disk is full. Finished sources stay.
    """
    options = options or PrepareOptions()
    target = target.resolve()
    with Manifest(target, asdict(options)) as manifest:
        total = _count_new(sources, manifest)
        added = _process_new(
            sources,
            manifest=manifest,
            options=options,
            total=total,
            show=on_progress or (lambda _: None),
        )
        report = write_report(manifest, new_sources=total, new_pictures=added)
    if not report.pictures:
        raise SourceError(f"nothing was kept: {rejection_reasons(report)}")
    return report


def _process_new(
    named: Sequence[str],
    manifest: Manifest,
    options: PrepareOptions,
    total: int,
    show: Callable[[PrepareProgress], None],
) -> int:
    """Write the crops of all new sources and return their number."""
    entry: ManifestEntry | None = None
    done = written = 0
    try:
        with prefetch(_examine_new(named, manifest, options), _FRAMES_AHEAD) as examined:
            for item in examined:
                entry = entry or ManifestEntry(item.source, manifest.next_number())
                path, in_source = item.source.path, len(entry.crops)
                if isinstance(item, ExaminedFrame):
                    _write_crops(item, entry=entry, folder=manifest.folder, options=options)
                    show(PrepareProgress(done, total, path, item.share, written + in_source))
                    continue
                entry.counts["too soon"] = item.too_soon
                partly = "read in part: " if entry.counts["seen"] else ""
                entry.problem = item.problem and partly + item.problem
                manifest.record(entry)
                entry, done, written = None, done + 1, written + in_source
                show(PrepareProgress(done, total, path, 0.0, written))
    except BaseException:  # also KeyboardInterrupt: crops of an unrecorded source are deleted
        for crop in entry.crops if entry else ():
            (manifest.folder / crop).unlink(missing_ok=True)
        raise
    return written


def _examine_new(
    named: Sequence[str], manifest: Manifest, options: PrepareOptions
) -> Iterator[ExaminedFrame | SourceEnd]:
    index = HashIndex(manifest.hashes())
    for source in find_sources(named, manifest.folder):
        if not manifest.knows(source):
            yield from examine_source(source, options, index)


def _write_crops(
    frame: ExaminedFrame, entry: ManifestEntry, folder: Path, options: PrepareOptions
) -> None:
    """Write the crops of one frame, or count why it is rejected."""
    entry.counts["seen"] += 1
    entry.counts[frame.fault or "kept"] += 1
    if frame.fault is not None:
        return
    entry.hashes.append(frame.hash.tobytes())
    stem = Path(entry.source.path).stem
    for short_side, number, crop in cut_crops(frame.pixels, options):
        if (fault := find_fault(crop, options.max_blur, keep_credits=True)) is not None:
            entry.counts[f"{fault} crops"] += 1
        elif options.max_pictures is None or len(entry.crops) < options.max_pictures:
            path = crop_path(
                entry.number,
                stem=stem,
                milliseconds=frame.milliseconds,
                short_side=short_side,
                crop=number,
            )
            entry.crops.append(path)
            entry.counts["written"] += 1
            _write_crop(folder / path, crop)


def _write_crop(path: Path, crop: Pixels) -> None:
    try:
        path.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise TrainingError(f"cannot write to {path.parent}: {error.strerror}") from error
    encoded = cv2.imencode(".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), _JPEG)[1]
    write_atomically(path, encoded.tobytes())


def _count_new(named: Sequence[str], manifest: Manifest) -> int:
    """Count the sources that no earlier run has processed.

    Raises:
        SourceError: A source does not exist or lies in the target, or a folder contains no video or
            image.
    """
    for name in named:
        if not any(find_sources([name], manifest.folder)):
            raise SourceError(f"{name}: no videos or images in this folder")
    return sum(not manifest.knows(source) for source in find_sources(named, manifest.folder))
