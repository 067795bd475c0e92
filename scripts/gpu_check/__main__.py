"""Entry point of `python scripts/gpu_check`: puts the checkout on the path, and starts."""

import sys
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1]
sys.path[0] = str(SCRIPTS.parent)  # toonvid and trainer, which need not be installed
sys.path.insert(1, str(SCRIPTS))

from gpu_check.command import main  # noqa: E402

if __name__ == "__main__":
    main()
