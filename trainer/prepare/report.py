"""The report of a prepared folder: what every source gave, as JSON and as a contact sheet.

In: the manifest. Out: `report.json` in the folder, and a sheet of some crops beside it.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import get_args

import cv2
import numpy as np

from toonvid.errors import TargetError
from toonvid.writing.contact_sheet import contact_sheet, write_image
from trainer.files import write_atomically
from trainer.prepare.manifest import Manifest, sheet_path
from trainer.prepare.quality_filter import Fault

log = logging.getLogger(__name__)

REPORT_NAME = "report.json"
_SHEET_TILES, _SHEET_COLUMNS = 70, 10
_SHEET_SIDE = 144  # pixels of a tile


@dataclass(frozen=True)
class PrepareReport:
    """Content of the folder, and what this run added.

    The field names are the keys of `report.json` and of `toonvid prepare --json`.
    """

    target: str
    """Path of the folder."""
    sheet: str | None
    """Path of the contact sheet; None where there is none."""
    new_sources: int
    """Number of sources that this run added."""
    new_pictures: int
    """Number of crops that this run added."""
    sources: dict[str, dict[str, int]]
    """For each source as the user named it, the number of `sources`; of frames `seen`, `kept`,
    rejected for each `Fault`, and skipped as `too soon` after another; of `blank crops`, `blurred
    crops` and crops `written`."""
    problems: dict[str, str]
    """Reason for each source that could not be read completely, by its path."""

    @property
    def pictures(self) -> int:
        """Number of crops written in all runs."""
        return sum(counts.get("written", 0) for counts in self.sources.values())

    def problem_lines(self) -> list[str]:
        """Return a line for each of `problems`, with the path of the source."""
        return [
            problem if path in problem else f"{path}: {problem}"
            for path, problem in self.problems.items()
        ]


def write_report(manifest: Manifest, new_sources: int, new_pictures: int) -> PrepareReport:
    """Write `report.json` and the contact sheet.

    A sheet that cannot be written is logged: everything else is there by then.

    Args:
        manifest: The open manifest of the folder.
        new_sources: Number of sources that this run added.
        new_pictures: Number of crops that this run added.

    Returns:
        The content of `report.json`.
    """
    report = PrepareReport(
        target=str(manifest.folder),
        sheet=_recorded_sheet(manifest.folder),
        new_sources=new_sources,
        new_pictures=new_pictures,
        sources={root: dict(sorted(counts.items())) for root, counts in manifest.counts().items()},
        problems=manifest.problems(),
    )
    _write_json(report)
    if _write_sheet(manifest, report.sheet) and report.sheet is None:
        report = replace(report, sheet=str(sheet_path(manifest.folder)))
        _write_json(report)
    return report


def rejection_reasons(report: PrepareReport) -> str:
    """Return why nothing was kept, on one line."""
    lost = Counter({name: 0 for name in get_args(Fault)})
    for counts in report.sources.values():
        lost.update({name: counts.get(name, 0) for name in lost})
    frames = [f"{count} {name}" for name, count in lost.items() if count]
    problems = report.problem_lines()
    more = [f"and {len(problems) - 1} more sources that cannot be read"] if problems[1:] else []
    return ", ".join([*frames, *problems[:1], *more])


def _recorded_sheet(folder: Path) -> str | None:
    """Return the path of the contact sheet that an earlier run on a folder wrote; None for none."""
    sheet = sheet_path(folder)
    try:
        recorded = json.loads((folder / REPORT_NAME).read_bytes())["sheet"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(sheet) if recorded == str(sheet) and sheet.is_file() else None


def _write_json(report: PrepareReport) -> None:
    content = json.dumps(asdict(report), indent=2) + "\n"
    write_atomically(Path(report.target) / REPORT_NAME, content.encode())


def _write_sheet(manifest: Manifest, recorded: str | None) -> bool:
    """Write a sheet of some crops, and return whether that was done.

    Args:
        manifest: The open manifest of the folder.
        recorded: Path of the folder's sheet, which is replaced; None if there is none.
    """
    tiles = []
    for path in manifest.sample(_SHEET_TILES):
        encoded = np.frombuffer(path.read_bytes() if path.is_file() else b"", np.uint8)
        crop = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
        if crop is not None:  # the user may have deleted it
            tile = cv2.resize(crop, (_SHEET_SIDE, _SHEET_SIDE), interpolation=cv2.INTER_AREA)
            tiles.append(cv2.cvtColor(tile, cv2.COLOR_BGR2RGB))
    if not tiles:
        return False
    sheet = sheet_path(manifest.folder)
    if sheet.exists() and recorded is None:  # it lies outside the folder, and may be the user's
        log.warning("no contact sheet: %s is there already; move it, and run this again", sheet)
        return False
    try:
        write_image(sheet, contact_sheet(tiles, _SHEET_COLUMNS), overwrite=True)
    except TargetError as error:
        log.warning("no contact sheet: %s", error)
        return False
    return True
