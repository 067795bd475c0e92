"""An export builds plans for TensorRT where TensorRT is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from support.run_toonvid import run_here

from toonvid.backends.tensorrt import plan as plans
from toonvid.ffmpeg.nvidia import NvidiaInfo
from trainer.training.run_folder import Run


@pytest.mark.skipif(
    find_spec("tensorrt_rtx") is None or find_spec("tensorrt") is not None,
    reason="needs TensorRT-RTX, and no other TensorRT",
)
def test_an_exported_engine_has_its_plans(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    trained: Run,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(plans, "find_nvidia", lambda: NvidiaInfo(problem="there is no GPU"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    ended = run_here(capsys, "export", trained.folder, "--style", "mine", "-o", tmp_path)
    assert ended.code == 0, ended.err
    for gpus in ("RTX 30 and newer", "RTX 20 and GTX 16"):
        assert f"Wrote mine f16 for {gpus}, 1280x720: {tmp_path / 'cache'}" in " ".join(
            ended.out.split("\n")
        )
    assert len(list((tmp_path / "cache" / "toonvid" / "plans").iterdir())) == 2
