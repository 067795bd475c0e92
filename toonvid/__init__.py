"""toonvid turns videos, images and webcams into cartoons.

Images that are in memory, as NumPy arrays of shape (height, width, 3), uint8, RGB:

    stylize(image, style="ink")     one image
    open_style("ink")               many images: a context manager that compiles the engine once

Files, with audio, subtitles and frame times:

    convert(source, target, backend)    a video or an image; goes on where a stopped run ended
    ConvertOptions                      how: DecodeOptions, StylizeOptions, EncodeOptions and more
    Progress, Conversion                what the progress callback and the caller are given

Styles and the libraries that run them:

    list_engines(), find_engine("ink")  the styles on this machine: Engine, EngineCard
    open_backend(engine)                an engine that is ready to run: Backend

Errors, all of them ToonvidError:

    SourceError, TargetError, JobMismatchError, EngineError, BackendError, DeviceMissingError,
    UnsupportedEngineError, ControlError, CameraError, ClusterError, TrainingError

Example:

    import toonvid

    with toonvid.open_backend(toonvid.find_engine("ink")) as backend:
        toonvid.convert("movie.mp4", "movie.toon.mp4", backend)

docs/python-api.md says more; docs/ also has pages on the command line, which is `toonvid --help`.
Names are loaded when they are first used, so that `import toonvid` takes no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from toonvid._version import __version__

if TYPE_CHECKING:
    from toonvid.backends import Backend, open_backend
    from toonvid.engine import Engine, EngineCard, find_engine, list_engines
    from toonvid.errors import (
        BackendError,
        CameraError,
        ClusterError,
        ControlError,
        DeviceMissingError,
        EngineError,
        JobMismatchError,
        SourceError,
        TargetError,
        ToonvidError,
        TrainingError,
        UnsupportedEngineError,
    )
    from toonvid.pipeline import Conversion, ConvertOptions, Progress
    from toonvid.reading.options import DecodeOptions
    from toonvid.resume.segmented import convert
    from toonvid.stylizing.image import OpenStyle, open_style, stylize
    from toonvid.stylizing.options import StylizeOptions
    from toonvid.writing.options import EncodeOptions

_HOMES = {
    "toonvid.backends": ("Backend", "open_backend"),
    "toonvid.reading.options": ("DecodeOptions",),
    "toonvid.writing.options": ("EncodeOptions",),
    "toonvid.engine": ("Engine", "EngineCard", "find_engine", "list_engines"),
    "toonvid.errors": (
        "BackendError",
        "CameraError",
        "ClusterError",
        "ControlError",
        "DeviceMissingError",
        "EngineError",
        "UnsupportedEngineError",
        "SourceError",
        "TargetError",
        "ToonvidError",
        "TrainingError",
        "JobMismatchError",
    ),
    "toonvid.pipeline": ("Conversion", "ConvertOptions", "Progress"),
    "toonvid.resume.segmented": ("convert",),
    "toonvid.stylizing.image": ("OpenStyle", "open_style", "stylize"),
    "toonvid.stylizing.options": ("StylizeOptions",),
}

__all__ = [
    "Backend",
    "BackendError",
    "CameraError",
    "ClusterError",
    "ControlError",
    "Conversion",
    "ConvertOptions",
    "DecodeOptions",
    "DeviceMissingError",
    "EncodeOptions",
    "Engine",
    "EngineCard",
    "EngineError",
    "JobMismatchError",
    "OpenStyle",
    "Progress",
    "SourceError",
    "StylizeOptions",
    "TargetError",
    "ToonvidError",
    "TrainingError",
    "UnsupportedEngineError",
    "__version__",
    "convert",
    "find_engine",
    "list_engines",
    "open_backend",
    "open_style",
    "stylize",
]


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'toonvid' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
