"""The check of PyTorch, which does not import PyTorch."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.doctor import LAPTOP, NO_DRIVER, only

from toonvid.doctor import training


@pytest.mark.parametrize(
    ("line", "cuda"),
    [
        ("cuda: Optional[str] = None", ""),
        ("cuda: Optional[str] = '12.8'", "12.8"),
        ("cuda = '11.7'", "11.7"),
        ("hip: Optional[str] = '6.2'", ""),
    ],
)
def test_the_cuda_of_pytorch_is_read_without_loading_it(
    line: str, cuda: str, tmp_path: Path
) -> None:
    file = tmp_path / "version.py"
    file.write_text(f"__version__ = '2.9'\ndebug = False\n{line}\ngit_version = 'abc'\n")
    assert training.read_cuda_version(file) == cuda
    assert training.read_cuda_version(tmp_path / "none.py") == ""


@pytest.fixture
def torch_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def install(cuda: str) -> None:
        package = tmp_path / "torch_here" / "torch"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("raise RuntimeError('never to be loaded here')\n")
        (package / "version.py").write_text(f"cuda = {cuda!r}\n")
        monkeypatch.setattr(sys, "path", [str(package.parent), *sys.path])
        monkeypatch.delitem(sys.modules, "torch", raising=False)

    return install


def test_pytorch_for_the_cpu_on_a_machine_with_a_gpu_is_broken(
    torch_for: Callable[[str], None],
) -> None:
    torch_for("")
    found = only(training.check_torch(LAPTOP))
    assert found.state == "broken" and found.fix
    assert found.message.endswith(f"built for the CPU only, although {LAPTOP.gpus[0].name} is here")
    assert only(training.check_torch(NO_DRIVER)).state == "ok"


@pytest.mark.parametrize(
    ("probe", "state", "words"),
    [
        ("", "ok", "built for CUDA 12.8; works on NVIDIA GeForce RTX 3050 Laptop GPU"),
        ("raise OSError('PyTorch has no kernels for it')", "broken", "has no kernels for it"),
        ("import os; os._exit(3)", "broken", "exit code 3"),
    ],
)
def test_pytorch_for_cuda_is_probed_in_a_process_of_its_own(
    probe: str,
    state: str,
    words: str,
    torch_for: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch_for("12.8")
    monkeypatch.setattr(training, "_PROBE", probe)
    found = only(training.check_torch(LAPTOP))
    assert found.state == state and words in found.message
