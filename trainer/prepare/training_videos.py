"""Films to learn from: they are prepared into pictures first, as `toonvid prepare` does it."""

from __future__ import annotations

import logging
from pathlib import Path

from trainer.prepare.frame_extraction import PrepareOptions
from trainer.prepare.manifest import LEDGER_NAME
from trainer.prepare.prepare import prepare

log = logging.getLogger(__name__)


def find_folder(source: Path, own: Path, crop: int) -> Path:
    """The folder of pictures that a source stands for.

    Args:
        source: A folder, which stands for itself; or a film.
        own: Where a film's pictures are put; on the next call they are there already.
        crop: Side in pixels of the crops that training takes out of them.

    Raises:
        SourceError: The film cannot be read, or nothing in it is worth keeping.
        TargetError: The folder is in use, or was prepared for other crops.
        TrainingError: It cannot be written.
    """
    if not source.is_file():
        return source
    log.info("preparing %s", source)
    default = PrepareOptions()
    size = max(crop, default.size)
    sides = tuple(max(size, side) for side in default.short_sides)
    report = prepare([str(source)], own, PrepareOptions(size=size, short_sides=sides))
    log.info("%d pictures of it in %s", report.pictures, own)
    return own


def is_prepared(folder: Path) -> bool:
    """Whether a folder's pictures are crops of films, at several scales already."""
    return (folder / LEDGER_NAME).is_file()
