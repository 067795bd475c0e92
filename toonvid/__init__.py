"""toonvid turns any film, picture or webcam into a cartoon.

    from toonvid import convert, find_engine, open_backend

    with open_backend(find_engine("ink")) as backend:
        convert("movie.mp4", "movie.toon.mp4", backend)

Names are loaded when they are first used, so that `import toonvid` costs nothing.
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
        DeviceMissingError,
        EngineError,
        RefusedError,
        SourceError,
        TargetError,
        ToonvidError,
        TrainingError,
        UnlikeJobError,
    )
    from toonvid.pipeline import Conversion, Progress
    from toonvid.reading.options import DecodeOptions
    from toonvid.resume.segmented import convert
    from toonvid.stylizing.stylizer import StylizeOptions
    from toonvid.writing.options import EncodeOptions

_HOMES = {
    "toonvid.backends": ("Backend", "open_backend"),
    "toonvid.reading.options": ("DecodeOptions",),
    "toonvid.writing.options": ("EncodeOptions",),
    "toonvid.engine": ("Engine", "EngineCard", "find_engine", "list_engines"),
    "toonvid.errors": (
        "BackendError",
        "CameraError",
        "DeviceMissingError",
        "EngineError",
        "RefusedError",
        "SourceError",
        "TargetError",
        "ToonvidError",
        "TrainingError",
        "UnlikeJobError",
    ),
    "toonvid.pipeline": ("Conversion", "Progress"),
    "toonvid.resume.segmented": ("convert",),
    "toonvid.stylizing.stylizer": ("StylizeOptions",),
}

__all__ = [
    "Backend",
    "BackendError",
    "CameraError",
    "Conversion",
    "DecodeOptions",
    "DeviceMissingError",
    "EncodeOptions",
    "Engine",
    "EngineCard",
    "EngineError",
    "Progress",
    "RefusedError",
    "SourceError",
    "StylizeOptions",
    "TargetError",
    "ToonvidError",
    "TrainingError",
    "UnlikeJobError",
    "__version__",
    "convert",
    "find_engine",
    "list_engines",
    "open_backend",
]


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'toonvid' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
