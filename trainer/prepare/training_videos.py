"""Training videos: a video that is given to `toonvid train` is prepared into crops first.

In: a folder of images, or a video. Out: a folder of images. The work is done by
`trainer.prepare.prepare`, with the options that `toonvid prepare` uses by default.
"""

from __future__ import annotations

import logging
from pathlib import Path

from trainer.prepare.frame_extraction import PrepareOptions
from trainer.prepare.manifest import MANIFEST_NAME
from trainer.prepare.prepare import prepare

log = logging.getLogger(__name__)


def dataset_folder(source: Path, prepared: Path, crop: int) -> Path:
    """Return the folder of images for a source, preparing a video first.

    Args:
        source: A folder of images, which is returned as it is; or a video.
        prepared: Folder for the crops of a video; a later call finds them there.
        crop: Side in pixels of the crops that training takes out of the images.

    Raises:
        SourceError: The video cannot be read, or nothing in it is worth keeping.
        TargetError: The folder is in use, or was prepared for other crops.
        TrainingError: The folder cannot be written.
    """
    if not source.is_file():
        return source
    log.info("preparing %s", source)
    default = PrepareOptions()
    size = max(crop, default.size)
    sides = tuple(max(size, side) for side in default.short_sides)
    report = prepare([str(source)], prepared, PrepareOptions(size=size, short_sides=sides))
    log.info("%d images of it in %s", report.pictures, prepared)
    return prepared


def is_prepared(folder: Path) -> bool:
    """Whether a folder contains prepared crops, which are at several scales already."""
    return (folder / MANIFEST_NAME).is_file()
