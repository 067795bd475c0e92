"""Models that OpenVINO has compiled, kept for the next start: `$XDG_CACHE_HOME/toonvid/models`.

In: a `ModelKey` and what OpenVINO exports of a compiled model. Out: a file for each, and the export
again when the same key is asked for. Importing an export takes less than half the time of compiling
the model, and gives the same cartoons, bit for bit.

OpenVINO has a cache of its own (`CACHE_DIR`). It does not notice a changed byte in a file, which
then changes the cartoons, and its files become more and more. Here each file is hashed, and the
number of files is limited.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from platformdirs import user_cache_path

from toonvid.backends.private_folder import PrivateFolder
from toonvid.engine import Precision

logger = logging.getLogger(__name__)

MODELS_VARIABLE = "TOONVID_MODELS"
"""Name of the environment variable that names another folder."""

_FORMAT = "toonvid model 2"  # another one where `openvino_graph` makes another graph
_MOST_FILES = 32  # of some 0.6 MB each; the oldest go first
_DIGEST_DIGITS = 16  # of each digest in a file's name; the whole key is in the file
_SUFFIX = ".blob"


@dataclass(frozen=True)
class ModelKey:
    """Everything that a compiled model depends on."""

    style: str
    card_sha256: str
    """SHA-256 of the engine's card, which has those of the engine's files."""
    precision: Precision
    library: str
    """Version of OpenVINO."""
    device: str
    """The manufacturer's name of the CPU."""
    config: Mapping[str, str]
    """Properties that the model was compiled with."""
    shape: tuple[int, ...]
    """Shape of the frames, (N, H, W, 3)."""

    @property
    def stem(self) -> str:
        """Beginning of the file's name, the same for every shape and configuration."""
        values = asdict(self) | {"config": None, "shape": None}
        return f"{self.style}-{self.precision}-{_digest(values)}"

    @property
    def file_name(self) -> str:
        """Name of the file."""
        return f"{self.stem}-{_digest(asdict(self))}{_SUFFIX}"


class ModelCache:
    """The folder of compiled models. Others must not be able to write to it."""

    def __init__(self, folder: Path | None = None) -> None:
        """Create the folder.

        Args:
            folder: Where the models are kept. None: `model_folder()`.
        """
        self._files = PrivateFolder(folder or model_folder())
        if not self._files.is_private:
            logger.warning(
                "others can write to %s: compiled models are not kept there; chmod 700 it, or"
                " delete it",
                self._files.path,
            )

    def knows(self, key: ModelKey) -> bool:
        """Whether a model is stored for the key, or for the same engine and other frames."""
        files = self._files.path.glob(f"{key.stem}-*{_SUFFIX}")
        return self._files.is_private and next(files, None) is not None

    def find(self, key: ModelKey) -> bytes | None:
        """Return what was stored under a key; None where nothing was, or where it is damaged."""
        if not self._files.is_private:
            return None
        content = self._files.read(self._files.path / key.file_name)
        header, _, exported = (content or b"").partition(b"\n")
        return exported if content is not None and header == _header(key, exported) else None

    def store(self, key: ModelKey, exported: bytes) -> None:
        """Write what OpenVINO exported; after a warning nothing, where it cannot be written."""
        if not self._files.is_private:
            return
        self._files.write(key.file_name, _header(key, exported) + b"\n" + exported)
        with suppress(OSError):  # another process removes files too
            files = sorted(self._files.path.glob(f"*{_SUFFIX}"), key=lambda f: f.stat().st_mtime)
            for file in files[:-_MOST_FILES]:
                file.unlink()


def model_folder() -> Path:
    """Return the folder of compiled models: `$TOONVID_MODELS`, or one of the user's.

    On Linux that is `$XDG_CACHE_HOME/toonvid/models`, by default `~/.cache/toonvid/models`.
    """
    if named := os.environ.get(MODELS_VARIABLE):
        return Path(named)
    return user_cache_path("toonvid", appauthor=False) / "models"


def _digest(values: dict[str, object]) -> str:
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_DIGITS]


def _header(key: ModelKey, exported: bytes) -> bytes:
    """The first line of a file, which no other key and no other content has."""
    sha256 = hashlib.sha256(exported).hexdigest()
    values = {"format": _FORMAT, "key": asdict(key), "sha256": sha256}
    return json.dumps(values, sort_keys=True).encode()
