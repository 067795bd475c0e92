"""Files of pretrained weights: read from where the user has them, or fetched once."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from toonvid.errors import TrainingError


def read_weights(path: Path) -> dict[str, Tensor]:
    """Weights by name, from a safetensors or .pth file; nothing in it is run.

    Raises:
        TrainingError: It cannot be read, or holds something else.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        values = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError, ValueError, EOFError) as error:
        raise TrainingError(f"cannot read the content weights {path}: {error}") from error
    except pickle.UnpicklingError as error:
        raise TrainingError(f"{path} is not a file of weights") from error
    if not isinstance(values, dict):
        raise TrainingError(f"{path} is not a file of weights: it holds no names")
    return values


def fetch_weights(url: str) -> dict[str, Tensor]:
    """Weights from PyTorch's cache, or from their place; the hash in the file's name is checked.

    Raises:
        TrainingError: They cannot be had, or are not what the hash says.
    """
    try:
        return torch.hub.load_state_dict_from_url(
            url, map_location="cpu", check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:
        raise TrainingError(
            f"cannot fetch {url} ({error}): give the weights by --content-weights FILE"
        ) from error
