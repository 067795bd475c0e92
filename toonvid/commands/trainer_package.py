"""The `trainer` package as the commands need it: checked before it is imported, its log printed.

Imports neither PyTorch nor `trainer`.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.logging import RichHandler

from toonvid.errors import TrainingError


def require_trainer() -> None:
    """Check that PyTorch is installed and that `trainer` is toonvid's own package.

    Raises:
        TrainingError: PyTorch is missing, or another package named `trainer` comes first.
    """
    if importlib.util.find_spec("torch") is None:
        raise TrainingError("training needs PyTorch: pip install 'toonvid[train]'")
    require_own_trainer()


def require_own_trainer() -> None:
    """Check that `trainer` is toonvid's own package, for commands that need no PyTorch.

    Raises:
        TrainingError: Another package named `trainer` comes first.
    """
    spec = importlib.util.find_spec("trainer")
    own_folder = Path(__file__).resolve().parents[2] / "trainer"
    locations = (spec and spec.submodule_search_locations) or ()
    folders = [Path(location).resolve() for location in locations]
    if own_folder not in folders:
        found = ", ".join(map(str, folders)) or "nowhere"
        raise TrainingError(
            f"the package 'trainer' that Python finds ({found}) is not toonvid's: "
            "install toonvid in an environment of its own"
        )


@contextmanager
def trainer_log(console: Console, level: int = logging.INFO, of: str = "trainer") -> Iterator[None]:
    """Print the log messages of the `trainer` package while the block runs.

    Args:
        console: Where the messages are printed.
        level: The lowest level that is printed.
        of: The package whose messages are printed: all of it, or a part such as `trainer.data`.
    """
    handler = RichHandler(console=console, show_time=False, show_path=False)
    logger = logging.getLogger(of)
    level_before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level_before)
