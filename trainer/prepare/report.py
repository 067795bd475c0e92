"""The report of a prepared folder: what every source gave, as JSON and as a contact sheet.

In: the manifest. Out: `report.json` in the folder, and a sheet of some crops beside it.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import cv2
import numpy as np

from toonvid.writing.contact_sheet import contact_sheet, write_image
from trainer.files import write_atomically
from trainer.prepare.manifest import Manifest, sheet_path
from trainer.prepare.quality_filter import Fault

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
    """Path of the contact sheet; None where nothing was kept."""
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


def write_report(manifest: Manifest, new_sources: int, new_pictures: int) -> PrepareReport:
    """Write the contact sheet and `report.json`.

    Args:
        manifest: The open manifest of the folder.
        new_sources: Number of sources that this run added.
        new_pictures: Number of crops that this run added.

    Returns:
        The content of `report.json`.
    """
    sheet = _write_sheet(manifest)
    report = PrepareReport(
        target=str(manifest.folder),
        sheet=str(sheet) if sheet else None,
        new_sources=new_sources,
        new_pictures=new_pictures,
        sources={root: dict(sorted(counts.items())) for root, counts in manifest.counts().items()},
        problems=manifest.problems(),
    )
    content = json.dumps(asdict(report), indent=2) + "\n"
    write_atomically(manifest.folder / REPORT_NAME, content.encode())
    return report


def rejection_reasons(report: PrepareReport) -> str:
    """Return why nothing was kept, on one line."""
    lost = Counter({name: 0 for name in get_args(Fault)})
    for counts in report.sources.values():
        lost.update({name: counts.get(name, 0) for name in lost})
    frames = [f"{count} {name}" for name, count in lost.items() if count]
    problems = list(report.problems.values())
    more = [f"and {len(problems) - 1} more sources that cannot be read"] if problems[1:] else []
    return ", ".join([*frames, *problems[:1], *more])


def _write_sheet(manifest: Manifest) -> Path | None:
    """Write a sheet of some crops and return its path; None where there are no crops."""
    tiles = []
    for path in manifest.sample(_SHEET_TILES):
        encoded = np.frombuffer(path.read_bytes() if path.is_file() else b"", np.uint8)
        crop = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
        if crop is not None:  # the user may have deleted it
            tile = cv2.resize(crop, (_SHEET_SIDE, _SHEET_SIDE), interpolation=cv2.INTER_AREA)
            tiles.append(cv2.cvtColor(tile, cv2.COLOR_BGR2RGB))
    if not tiles:
        return None
    sheet = sheet_path(manifest.folder)
    write_image(sheet, contact_sheet(tiles, _SHEET_COLUMNS), overwrite=True)
    return sheet
