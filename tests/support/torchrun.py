"""Runs a program in two processes, as `torchrun` does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch.distributed as dist

TESTS = Path(__file__).resolve().parents[1]
SECONDS = 200.0
"""Time after which a launch counts as hung; on an idle machine it takes about ten."""

needs_gloo = pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available()),
    reason="this PyTorch has no gloo, by which processes on CPUs reach each other",
)


def start_two(*arguments: str | Path) -> subprocess.Popen[str]:
    """Start `torchrun --standalone --nproc-per-node 2`, which chooses a free port itself."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    paths = os.pathsep.join([str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [*command, "2", *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def output_of(started: subprocess.Popen[str]) -> str:
    """Wait for the end of both processes and return what they and `torchrun` printed."""
    try:
        return started.communicate(timeout=SECONDS)[0]
    except subprocess.TimeoutExpired:
        started.terminate()  # torchrun then ends the two others, within 30 seconds
        output = started.communicate(timeout=SECONDS)[0]
        pytest.fail(f"the processes hung; they had printed:\n{output}")
