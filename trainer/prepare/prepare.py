"""Prepare: films and pictures become a folder of square pictures to train on.

Frames of a film are its key frames. Encoders set one at a scene change and every few seconds
besides, so they are the scenes' beginnings, and reading them alone is a hundredth of the work. A
scene detector (PySceneDetect is a good one, and light) has to decode every frame to say little
more. For films with too few key frames there is `all_frames`.

From each frame black bars are cut off. Frames that are too small, blank, credits, blurred or nearly
the same as one before, of whatever source, are left out. What is left is cut into crops at several
scales, because a line should be as wide against its crop as it is in films of such heights.

Everything is decided by what a frame shows: the same sources in the same order give the same files.
In memory are one source's frames at a time and 8 bytes for every frame kept; the ledger holds the
rest, and the next run takes only what is new. Burnt-in subtitles and logos are not removed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import cv2
import numpy as np

from toonvid.errors import SourceError, TrainingError
from toonvid.prefetch import prefetch
from toonvid.video import Pixels
from toonvid.writing.contact_sheet import contact_sheet, write_image
from trainer.files import write_atomically
from trainer.prepare.crops import cut_crops
from trainer.prepare.frame_extraction import End, Look, PrepareOptions, find_sources, look_at
from trainer.prepare.manifest import Entry, Ledger, picture_path, sheet_path
from trainer.prepare.quality_filter import Fault, HashIndex, find_fault, perceptual_hash

REPORT_NAME = "report.json"
_LOOKS_AHEAD = 3  # frames that may wait, each as large as the source's
_JPEG = [
    *(cv2.IMWRITE_JPEG_QUALITY, 95),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
]  # 45 kB a crop; lines keep their colour
_SHEET_PICTURES, _SHEET_COLUMNS, _SHEET_SIDE = 70, 10, 144


@dataclass(frozen=True)
class Progress:
    """How far a run has come."""

    done: int
    """Sources that are done, of `total` new ones."""
    total: int
    source: str
    """Path of the one in hand."""
    share: float
    """How far that is, 0..1."""
    pictures: int
    """How many were written in this run."""


@dataclass(frozen=True)
class Report:
    """What is in the folder, and what this run added."""

    target: str
    sheet: str | None
    """The contact sheet; None where nothing was kept."""
    new_sources: int
    new_pictures: int
    sources: dict[str, dict[str, int]]
    """For each source as it was named: how many `sources`; frames `seen`, `kept`, left out for each
    `Fault`, and not looked at for coming `too soon`; `blank crops`, `blurred crops`, `written`."""
    problems: dict[str, str]
    """Path of each source that could not be read, or not to its end -> why."""

    @property
    def pictures(self) -> int:
        """How many were written in all runs."""
        return sum(counts.get("written", 0) for counts in self.sources.values())


def prepare(
    sources: Sequence[str],
    target: Path,
    options: PrepareOptions | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Cut films and pictures into training pictures, and go on where the last run ended.

    Args:
        sources: Films, pictures, and folders that are searched with all folders in them.
        target: The folder; its contact sheet is written beside it, where no training finds it.
        options: None for the defaults. They have to be those of the runs before.
        on_progress: Called after each frame.

    Raises:
        SourceError: A source is not there, a folder has no films or pictures, or nothing at all
            was kept.
        TargetError: The folder holds something else or was prepared with other options, or another
            run works on it.
        TrainingError: The folder cannot be written, or the disk is full. What is done stays.
    """
    options = options or PrepareOptions()
    target = target.resolve()
    with Ledger(target, asdict(options)) as ledger:
        total = _count_new(sources, ledger)
        added = _take_all(sources, ledger, options, total, on_progress or (lambda _: None))
        report = _report(ledger, total, added)
    write_atomically(target / REPORT_NAME, (json.dumps(asdict(report), indent=2) + "\n").encode())
    if not report.pictures:
        raise SourceError(f"nothing was kept: {_reasons(report)}")
    return report


def _take_all(
    named: Sequence[str],
    ledger: Ledger,
    options: PrepareOptions,
    total: int,
    show: Callable[[Progress], None],
) -> int:
    """Write the crops of all new sources, and give their number back."""
    index = HashIndex(ledger.hashes())
    entry: Entry | None = None
    done = written = 0
    try:
        with prefetch(_look_at_new(named, ledger, options), _LOOKS_AHEAD) as looks:
            for look in looks:
                entry = entry or Entry(look.source, ledger.next_number())
                path, here = look.source.path, len(entry.pictures)
                if isinstance(look, Look):
                    _take(look, entry, index, ledger.folder, options)
                    show(Progress(done, total, path, look.share, written + here))
                    continue
                entry.counts["too soon"] = look.too_soon
                entry.problem = look.problem
                ledger.enter(entry)
                entry, done, written = None, done + 1, written + here
                show(Progress(done, total, path, 0.0, written))
    except BaseException:
        for picture in entry.pictures if entry else ():
            (ledger.folder / picture).unlink(missing_ok=True)
        raise
    return written


def _look_at_new(
    named: Sequence[str], ledger: Ledger, options: PrepareOptions
) -> Iterator[Look | End]:
    for source in find_sources(named, ledger.folder):
        if not ledger.knows(source):
            yield from look_at(source, options)


def _take(
    look: Look, entry: Entry, index: HashIndex, folder: Path, options: PrepareOptions
) -> None:
    """Write the crops of one frame, or note why there are none."""
    found = perceptual_hash(look.pixels)
    fault = look.fault
    if fault is None and index.difference(found) < options.min_difference:
        fault = "duplicate"
    entry.counts["seen"] += 1
    entry.counts[fault or "kept"] += 1
    if fault is not None:
        return
    index.add(found)
    entry.hashes.append(found.tobytes())
    stem = Path(entry.source.path).stem
    for short_side, number, crop in cut_crops(look.pixels, options):
        if (fault := find_fault(crop, options.max_blur, keep_credits=True)) is not None:
            entry.counts[f"{fault} crops"] += 1
        elif options.max_pictures is None or len(entry.pictures) < options.max_pictures:
            path = picture_path(entry.number, stem, look.milliseconds, short_side, number)
            entry.pictures.append(path)
            entry.counts["written"] += 1
            _write_crop(folder / path, crop)


def _write_crop(path: Path, crop: Pixels) -> None:
    try:
        path.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise TrainingError(f"cannot write to {path.parent}: {error.strerror}") from error
    encoded = cv2.imencode(".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), _JPEG)[1]
    write_atomically(path, encoded.tobytes())


def _count_new(named: Sequence[str], ledger: Ledger) -> int:
    """How many sources were not looked at before.

    Raises:
        SourceError: One is not there, or holds no films or pictures.
    """
    found = new = 0
    for name in named:
        before = found
        for source in find_sources([name], ledger.folder):
            found += 1
            new += not ledger.knows(source)
        if found == before:
            raise SourceError(f"{name}: no films or pictures in this folder")
    return new


def _report(ledger: Ledger, new_sources: int, new_pictures: int) -> Report:
    sources = {root: dict(sorted(counts.items())) for root, counts in ledger.counts().items()}
    sheet = _write_sheet(ledger)
    place = str(sheet) if sheet else None
    return Report(str(ledger.folder), place, new_sources, new_pictures, sources, ledger.problems())


def _write_sheet(ledger: Ledger) -> Path | None:
    """Some of all pictures, beside the folder; None where there are none."""
    tiles = []
    for path in ledger.some_pictures(_SHEET_PICTURES):
        encoded = np.frombuffer(path.read_bytes() if path.is_file() else b"", np.uint8)
        picture = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
        if picture is not None:  # a user may have taken it out
            tile = cv2.resize(picture, (_SHEET_SIDE, _SHEET_SIDE), interpolation=cv2.INTER_AREA)
            tiles.append(cv2.cvtColor(tile, cv2.COLOR_BGR2RGB))
    if not tiles:
        return None
    sheet = sheet_path(ledger.folder)
    write_image(sheet, contact_sheet(tiles, _SHEET_COLUMNS), overwrite=True)
    return sheet


def _reasons(report: Report) -> str:
    """Why nothing was kept, in a line."""
    lost = Counter({name: 0 for name in get_args(Fault)})
    for counts in report.sources.values():
        lost.update({name: counts.get(name, 0) for name in lost})
    frames = [f"{count} {name}" for name, count in lost.items() if count]
    problems = list(report.problems.values())
    more = [f"and {len(problems) - 1} more sources that cannot be read"] if problems[1:] else []
    return ", ".join([*frames, *problems[:1], *more])
