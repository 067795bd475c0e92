"""The folder where compiled plans are cached: `$XDG_CACHE_HOME/toonvid/plans` on Linux.

In: a `PlanKey` and the bytes of a plan. Out: a file per plan, and the plan again when the same key
is asked for. Building is left to `plan`.

A plan is native code. It is read only from a folder and a file that nobody else could have written,
and only if it was built for this very engine, library and GPU.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from platformdirs import user_cache_path

from toonvid.backends.private_folder import PrivateFolder
from toonvid.errors import BackendError

PlanPrecision: TypeAlias = Literal["f16", "f32"]

_FORMAT = "toonvid plan 1"
_PASSED = b"passed"
_DIGEST_DIGITS = 16  # of the key's digest in a file's name; the whole key is in the file


@dataclass(frozen=True)
class PlanKey:
    """Everything that a plan depends on."""

    style: str
    engine_sha256: str
    """SHA-256 of the engine's ONNX file."""
    precision: PlanPrecision
    library: str
    """Package and version of TensorRT."""
    target: str
    """GPUs that the plan runs on: a compute capability, or the names of a GPU and its driver."""
    smallest: tuple[int, int]
    """(width, height) of the smallest frames, in pixels."""
    size: tuple[int, int]
    """(width, height) of the frames that the plan is tuned for, in pixels."""
    largest: tuple[int, int]
    """(width, height) of the largest frames, in pixels."""

    @property
    def stem(self) -> str:
        """Beginning of the file name, the same for every `size`."""
        # Without `size`: `find` also takes a plan that is tuned for another size.
        values = asdict(self) | {"size": None}
        digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
        return f"{self.style}-{self.precision}-{digest[:_DIGEST_DIGITS]}"

    @property
    def file_name(self) -> str:
        """Name of the plan's file."""
        return f"{self.stem}-{self.size[0]}x{self.size[1]}.plan"

    def equals_except_size(self, values: object) -> bool:
        """Whether a file's header holds this key, apart from `size`."""
        # By way of JSON, which turns tuples into lists.
        own: object = json.loads(json.dumps(asdict(self) | {"size": None}))
        return isinstance(values, dict) and values | {"size": None} == own


class PlanCache:
    """A folder of plans that only its owner can write to."""

    def __init__(self, folder: Path | None = None) -> None:
        """Create the folder.

        Args:
            folder: Where plans are cached. None: `plan_folder()`.

        Raises:
            BackendError: Other users can write to the folder, or own it.
        """
        self.folder = folder or plan_folder()
        self._files = PrivateFolder(self.folder)
        if not self._files.is_private:
            raise BackendError(
                f"others can write to {self.folder}, and plans are native code: chmod 700 it,"
                " or delete it"
            )

    def find(self, key: PlanKey, exact_size: bool = False) -> tuple[bytes, Path] | None:
        """Find the newest plan for a key.

        Files that are damaged or that others can write to are skipped, so their plans are built
        again.

        Args:
            key: What the plan must have been built for.
            exact_size: Whether the plan must be tuned for the key's `size` too.

        Returns:
            The plan and its file; None if there is none.
        """
        names = key.file_name if exact_size else f"{key.stem}-*x*.plan"
        try:
            paths = sorted(self.folder.glob(names), key=_modification_time, reverse=True)
        except OSError:
            return None
        for path in paths:
            content = self._files.read(path)
            header, _, plan = (content or b"").partition(b"\n")
            if content is not None and _is_plan(header, plan, key):
                return plan, path
        return None

    def store(self, key: PlanKey, plan: bytes) -> Path | None:
        """Write a plan. Returns its file; None, after a warning, if it cannot be written."""
        header = {
            "format": _FORMAT,
            "key": asdict(key),
            "sha256": hashlib.sha256(plan).hexdigest(),
        }
        return self._files.write(key.file_name, json.dumps(header).encode() + b"\n" + plan)

    def find_kernels(self, key: PlanKey, gpu: str) -> bytes | None:
        """Find the kernels that TensorRT-RTX compiled for a plan on this GPU.

        Args:
            key: The plan's key.
            gpu: Name of the GPU and its driver, from `plan.gpu_and_driver`.

        Returns:
            The kernels, which TensorRT-RTX checks again; None if there are none.
        """
        content = self._files.read(self.folder / _kernels_name(key, gpu))
        digest, kernels = (content or b"")[:64], (content or b"")[64:]
        return kernels if hashlib.sha256(kernels).hexdigest().encode() == digest else None

    def store_kernels(self, key: PlanKey, gpu: str, kernels: bytes) -> Path | None:
        """Write the kernels that TensorRT-RTX compiled for a plan on this GPU."""
        digest = hashlib.sha256(kernels).hexdigest().encode()
        return self._files.write(_kernels_name(key, gpu), digest + kernels)

    def has_passed(self, key: PlanKey, gpu: str) -> bool:
        """Whether a plan has drawn a frame rightly on a GPU with its driver."""
        return self._files.read(self.folder / _passed_name(key, gpu)) == _PASSED

    def store_passed(self, key: PlanKey, gpu: str) -> None:
        """Note that a plan has drawn a frame rightly on a GPU with its driver."""
        self._files.write(_passed_name(key, gpu), _PASSED)


def plan_folder() -> Path:
    """Return the user's folder of plans.

    On Linux it is `$XDG_CACHE_HOME/toonvid/plans`, by default `~/.cache/toonvid/plans`.
    """
    return user_cache_path("toonvid", appauthor=False) / "plans"


def _is_plan(header: bytes, plan: bytes, key: PlanKey) -> bool:
    """Whether a file holds a whole plan for this key."""
    try:
        # TensorRT executes what it loads: a damaged file must not get as far as that.
        found = json.loads(header)
    except ValueError:
        return False
    return (
        isinstance(found, dict)
        and found.get("format") == _FORMAT
        and key.equals_except_size(found.get("key"))
        and found.get("sha256") == hashlib.sha256(plan).hexdigest()
    )


def _kernels_name(key: PlanKey, gpu: str) -> str:
    return f"{_name_on(key, gpu)}.kernels"


def _passed_name(key: PlanKey, gpu: str) -> str:
    return f"{_name_on(key, gpu)}.checked"


def _name_on(key: PlanKey, gpu: str) -> str:
    digest = hashlib.sha256(f"{key.file_name} {gpu}".encode()).hexdigest()
    return f"{key.style}-{key.precision}-{digest[:_DIGEST_DIGITS]}"


def _modification_time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
