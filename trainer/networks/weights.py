"""Files of pretrained weights.

In: the path of a file that the user has, or a URL. Out: tensors by name. No code in a file is ever
executed.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from toonvid.errors import TrainingError


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read weights by name from a safetensors or .pth file, onto the CPU.

    Raises:
        TrainingError: The file cannot be read, or holds something else.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # weights_only: a pickle could run code.
        values = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError, ValueError, EOFError) as error:
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
        TrainingError: The file cannot be downloaded, or its hash differs.
    """
    try:
        return torch.hub.load_state_dict_from_url(
            url, map_location="cpu", check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:
        raise TrainingError(
            f"cannot fetch {url} ({error}): give the weights by --content-weights FILE"
        ) from error
