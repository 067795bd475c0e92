"""Files of pretrained weights.

In: the path of a file that the user has, or a URL. Out: tensors by name. No code in a file is ever
executed.
"""

from __future__ import annotations

import pickle
from pathlib import Path, PurePosixPath

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from toonvid.errors import TrainingError

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


def download_weights(url: str) -> dict[str, Tensor]:
    """Download weights, or take them from PyTorch's cache; their hash is checked.

    Args:
        url: Address of a file whose name ends with the first digits of its SHA-256.

    Raises:
        DownloadError: The file cannot be downloaded, or its hash differs.
    """
    try:
        return torch.hub.load_state_dict_from_url(
            url, map_location="cpu", check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:
        raise DownloadError(
            f"cannot fetch {url} ({error}): give the weights by --content-weights FILE"
        ) from error


def find_downloaded(url: str) -> Path | None:
    """Return the file that `download_weights` keeps of a URL, or None before the first download."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / PurePosixPath(url).name
    return path if path.is_file() else None


def _is_pytorch(path: Path) -> bool:
    """Whether a file is PyTorch's rather than safetensors.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(_HEADER_LENGTH + 1)
    return start.startswith(_PYTORCH_STARTS) and start[_HEADER_LENGTH:] != b"{"
