"""Files of pretrained weights.

In: the path of a file that the user has, or a URL. Out: tensors by name. No code in a file is ever
executed.
"""

from __future__ import annotations

import logging
import pickle
from pathlib import Path, PurePosixPath

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from toonvid.engine import file_sha256
from toonvid.errors import TrainingError

log = logging.getLogger(__name__)

_PYTORCH_STARTS = (b"PK\x03\x04", b"\x80")
"""First bytes of PyTorch's files: a zip archive since version 1.6, a pickle before."""
_HEADER_LENGTH = 8  # bytes before the header of a safetensors file, which begins with a brace


class DownloadError(TrainingError):
    """Weights cannot be downloaded."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read weights by name from a safetensors or PyTorch file, onto the CPU.

    The first bytes say which of the two it is, so that a file may have any name.

    Raises:
        TrainingError: The file cannot be read, or holds something else.
    """
    try:
        if not _is_pytorch(path):
            return load_file(path)
        # An open file, because torch.load takes a path with another ending for another format; and
        # weights_only, because a pickle could run code.
        with path.open("rb") as file:
            values = torch.load(file, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise TrainingError(
            f"cannot read the content weights {path}: neither PyTorch's format nor whole"
            f" safetensors ({error})"
        ) from error
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        raise TrainingError(f"cannot read the content weights {path}: {error}") from error
    except pickle.UnpicklingError as error:
        raise TrainingError(f"{path} is not a file of weights") from error
    if not isinstance(values, dict):
        raise TrainingError(f"{path} is not a file of weights: it holds no names")
    return values


def download_weights(url: str, sha256: str, megabytes: int) -> dict[str, Tensor]:
    """Download weights, or take them from PyTorch's cache; their whole hash is checked either way.

    Args:
        url: Address of a file.
        sha256: SHA-256 of the file, in hexadecimal.
        megabytes: Size of the file, for the message that is logged before it is downloaded.

    Raises:
        DownloadError: The file cannot be downloaded.
        TrainingError: It is another file than the one that the hash belongs to.
    """
    path = _cached_path(url)
    if not path.is_file():
        log.info("downloading weights, %d MB, from %s to %s", megabytes, url, path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # To a file of another name, which takes its place when the hash is right.
            torch.hub.download_url_to_file(url, str(path), hash_prefix=sha256, progress=False)
        except (OSError, RuntimeError, ValueError) as error:
            raise DownloadError(
                f"cannot fetch {url} ({error}): give the weights by --content-weights FILE"
            ) from error
    if file_sha256(path) != sha256:
        raise TrainingError(
            f"{path} is not the file that {url} is known to be (SHA-256 differs): delete it"
        )
    return read_weights(path)


def find_downloaded(url: str) -> Path | None:
    """Return the file that `download_weights` keeps of a URL, or None before the first download."""
    path = _cached_path(url)
    return path if path.is_file() else None


def _cached_path(url: str) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / PurePosixPath(url).name


def _is_pytorch(path: Path) -> bool:
    """Whether a file is PyTorch's rather than safetensors.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(_HEADER_LENGTH + 1)
    return start.startswith(_PYTORCH_STARTS) and start[_HEADER_LENGTH:] != b"{"
