"""Where plans are kept: in the user's cache, whole, checked when they are read.

A plan is native code. It is loaded only where nobody else could have written it, and only when it
is the very one that was built for this engine, library and card.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from toonvid.errors import BackendError
from toonvid.files import write_atomically

logger = logging.getLogger(__name__)

PlanPrecision: TypeAlias = Literal["f16", "f32"]

_FORMAT = "toonvid plan 1"
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_BINARY = getattr(os, "O_BINARY", 0)  # Windows would change line ends
_DIGITS_IN_A_NAME = 16  # of the digest; the whole key is in the file


@dataclass(frozen=True)
class PlanKey:
    """All that a plan depends on."""

    style: str
    engine_sha256: str
    """Of the engine's file."""
    precision: PlanPrecision
    library: str
    """TensorRTLibrary and version of TensorRT."""
    target: str
    """Cards it is made for; with the driver, where a plan depends on it."""
    smallest: tuple[int, int]
    """(width, height) of frames, in pixels, as all below."""
    size: tuple[int, int]
    """What it is tuned for."""
    largest: tuple[int, int]

    @property
    def stem(self) -> str:
        """Of the file's name; the same for all sizes that a plan may be tuned for."""
        values = asdict(self) | {"size": None}
        digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
        return f"{self.style}-{self.precision}-{digest[:_DIGITS_IN_A_NAME]}"

    @property
    def file_name(self) -> str:
        return f"{self.stem}-{self.size[0]}x{self.size[1]}.plan"

    def is_same_but_for_size(self, values: object) -> bool:
        """Whether the values in a file's head are this key's."""
        mine: object = json.loads(json.dumps(asdict(self) | {"size": None}))
        return isinstance(values, dict) and values | {"size": None} == mine


class PlanCache:
    """A folder of plans that only its user can write to."""

    def __init__(self, folder: Path | None = None) -> None:
        """Make the folder.

        Args:
            folder: None for the user's own.

        Raises:
            BackendError: Others can write to it, or it belongs to someone else.
        """
        self.folder = folder or user_cache() / "plans"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            logger.warning("cannot keep plans in %s: %s", self.folder, error.strerror)
            return
        status = self.folder.stat()
        if not _is_ours_alone(status):
            raise BackendError(
                f"others can write to {self.folder}, and plans are native code: chmod 700 it,"
                " or delete it"
            )

    def find(self, key: PlanKey, this_size: bool = False) -> tuple[bytes, Path] | None:
        """The newest plan that fits a key; of any size it may be tuned for, unless `this_size`.

        A file that is damaged or not ours is passed over: it will be built again.
        """
        names = key.file_name if this_size else f"{key.stem}-*x*.plan"
        try:
            paths = sorted(self.folder.glob(names), key=_modified, reverse=True)
        except OSError:
            return None
        for path in paths:
            content = self._read(path)
            head, _, plan = (content or b"").partition(b"\n")
            if content is not None and _is_plan(head, plan, key):
                return plan, path
        return None

    def keep(self, key: PlanKey, plan: bytes) -> Path | None:
        """Write a plan; None when the disk refuses it, which costs no more than time."""
        head = {
            "format": _FORMAT,
            "key": asdict(key),
            "sha256": hashlib.sha256(plan).hexdigest(),
        }
        return self._write(key.file_name, json.dumps(head).encode() + b"\n" + plan)

    def find_kernels(self, key: PlanKey, card: str) -> bytes | None:
        """What TensorRT-RTX compiled on this card for a plan; it checks it once more itself.

        Args:
            card: Its name and its driver.
        """
        content = self._read(self.folder / _kernels_name(key, card))
        digest, kernels = (content or b"")[:64], (content or b"")[64:]
        return kernels if hashlib.sha256(kernels).hexdigest().encode() == digest else None

    def keep_kernels(self, key: PlanKey, card: str, kernels: bytes) -> Path | None:
        """Write what TensorRT-RTX compiled on this card for a plan."""
        digest = hashlib.sha256(kernels).hexdigest().encode()
        return self._write(_kernels_name(key, card), digest + kernels)

    def _read(self, path: Path) -> bytes | None:
        """The content of a file that is ours alone; None of any other."""
        try:
            # What a link points to may be anyone's.
            file = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | _BINARY)
        except OSError:
            return None
        with os.fdopen(file, "rb") as opened:
            status = os.fstat(opened.fileno())
            if not stat.S_ISREG(status.st_mode) or not _is_ours_alone(status):
                logger.warning("%s is passed over: others can write to it", path)
                return None
            return opened.read()

    def _write(self, name: str, content: bytes) -> Path | None:
        path = self.folder / name
        try:
            write_atomically(path, content, mode=0o600)
        except OSError as error:
            logger.warning("cannot keep %s: %s", path, error.strerror)
            return None
        return path


def user_cache() -> Path:
    """Where toonvid keeps what it can make again."""
    home = Path.home()
    if sys.platform == "win32":
        return (
            Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "toonvid" / "cache"
        )
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "toonvid"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "toonvid"


def _is_plan(head: bytes, plan: bytes, key: PlanKey) -> bool:
    """Whether a file holds, whole, a plan for this key."""
    try:
        found = json.loads(head)
    except ValueError:
        return False
    return (
        isinstance(found, dict)
        and found.get("format") == _FORMAT
        and key.is_same_but_for_size(found.get("key"))
        and found.get("sha256") == hashlib.sha256(plan).hexdigest()
    )


def _is_ours_alone(status: os.stat_result) -> bool:
    if sys.platform == "win32":  # the user's profile is the user's there
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & _OTHERS_MAY_WRITE


def _kernels_name(key: PlanKey, card: str) -> str:
    digest = hashlib.sha256(f"{key.file_name} {card}".encode()).hexdigest()
    return f"{key.style}-{key.precision}-{digest[:_DIGITS_IN_A_NAME]}.kernels"


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
