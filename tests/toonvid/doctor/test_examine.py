"""The report of the doctor, and the command that prints it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.gpu import require_tensorrt_gpu, without_gpu
from support.run_toonvid import Ended, run_here

from toonvid.choices import REQUIRABLE_CHECKS
from toonvid.doctor.check_result import CheckResult
from toonvid.doctor.examine import DoctorReport
from toonvid.ffmpeg.nvidia import find_nvidia


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    return lambda *words: run_here(capsys, "doctor", *words)


@pytest.fixture
def broken_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install optional packages that fail on import, each in another way."""
    folder = tmp_path / "packages"
    folder.mkdir()
    for name, content in {
        "onnxruntime": "raise RuntimeError('built for another numpy')",
        "pyvirtualcam": "import os; os.abort()",
        "tensorrt": "raise ImportError('libnvinfer.so.11: cannot open shared object file')",
        "tensorrt_rtx": "raise OSError('no such library')",
        "cv2": "import os; os._exit(9)",
        "torch": "raise RuntimeError('never to be loaded here')",
    }.items():
        (folder / f"{name}.py").write_text(content + "\n")
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("DISPLAY", ":12345")


def test_json_has_the_documented_shape(doctor: Callable[..., Ended]) -> None:
    ended = doctor("--json")
    report = json.loads(ended.out)
    assert (ended.code, ended.err) == (0, "")
    assert set(report) == {"report_version", "toonvid", "python", "system", "checks"}
    assert report["report_version"] == 1
    for check in report["checks"]:
        assert set(check) == {"group", "name", "state", "words", "mend", "facts"}
        assert check["state"] in ("ok", "missing", "broken")
        assert check["words"] and "\n" not in check["words"]
    names = [check["name"] for check in report["checks"] if check["name"] != "nvidia-card"]
    assert len(names) == len(set(names))
    assert set(REQUIRABLE_CHECKS) <= set(names)
    checks = {check["name"]: check for check in report["checks"]}
    for name in ("processor", "openvino", "auto", "encoders", "decoders", "engines", "plans"):
        assert checks[name]["state"] == "ok", checks[name]
    assert set(checks["auto"]["facts"]) == {"backend", "device", "precision", "reason"}
    styles = ["glitch", "ink", "manga", "pepper", "poster", "storybook"]
    assert checks["engines"]["facts"]["styles"] == styles


def test_the_table_fits_80_columns_and_says_how_to_fix_things(
    doctor: Callable[..., Ended], broken_packages: None
) -> None:
    ended = doctor()
    assert ended.code == 0
    assert max(len(line.rstrip()) for line in ended.out.splitlines()) <= 80
    words = " ".join(ended.out.split())
    assert "fix: pip install 'toonvid[tensorrt]'" in words
    assert "broken" in words and "ok" in words


def test_packages_that_fail_on_import_do_not_affect_other_checks(
    doctor: Callable[..., Ended], broken_packages: None
) -> None:
    ended = doctor("--json")
    assert ended.code == 0
    checks = {check["name"]: check for check in json.loads(ended.out)["checks"]}
    assert checks["auto"]["state"] == checks["openvino"]["state"] == "ok"
    assert checks["onnxruntime"]["state"] == "broken"
    assert "built for another numpy" in checks["onnxruntime"]["words"]
    assert checks["tensorrt"]["state"] == "broken"
    assert "libnvinfer.so.11" in checks["tensorrt"]["words"]
    assert checks["virtual-camera"]["words"] == "it crashed the process of this check (SIGABRT)"
    assert checks["virtual-camera"]["mend"] == "pip install --force-reinstall pyvirtualcam"
    assert checks["display"]["state"] == "missing"
    if not find_nvidia().gpus:
        assert checks["torch"]["state"] == "ok", "its files are read, and it is not loaded"


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_a_requirement_that_works_ends_with_0(name: str, doctor: Callable[..., Ended]) -> None:
    if name == "onnxruntime":
        pytest.importorskip("onnxruntime")
    assert doctor("--require", name).code == 0


@without_gpu
def test_a_requirement_that_does_not_work_ends_with_3_and_says_why(
    doctor: Callable[..., Ended],
) -> None:
    ended = doctor("--require", "openvino", "--require", "tensorrt", "--json")
    assert ended.code == 3
    assert "tensorrt is required and cannot be used: " in ended.err
    assert "NVIDIA driver" in ended.err and ended.err.count("\n") == 1
    assert json.loads(ended.out)["checks"], "the report is whole all the same"


def test_an_unknown_requirement_is_refused_before_any_check_runs(
    doctor: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "toonvid.doctor.examine.examine", lambda: pytest.fail("it examined the machine")
    )
    ended = doctor("--require", "nonsense")
    assert ended.code == 2
    assert "nonsense" in ended.err and "tensorrt" in ended.err


def test_a_requirement_without_a_result_ends_with_3(
    doctor: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toonvid.doctor.examine.examine", lambda: DoctorReport(()))
    assert doctor("--require", "camera").code == 3


@pytest.mark.gpu
def test_with_a_gpu_auto_chooses_tensorrt(doctor: Callable[..., Ended]) -> None:
    require_tensorrt_gpu()
    ended = doctor("--require", "tensorrt", "--require", "nvdec", "--json")
    checks = {check["name"]: check for check in json.loads(ended.out)["checks"]}
    for name in ("nvidia-card", "nvidia-driver", "tensorrt", "nvdec"):
        assert checks[name]["state"] == "ok", checks[name]
    assert checks["auto"]["facts"]["backend"] == "tensorrt"
    assert ended.code == 0


def test_a_report_finds_results_by_name() -> None:
    check = CheckResult("live", "camera", "ok", "one")
    report = DoctorReport((check, replace(check, message="two")))
    assert report.find("camera") == check and report.find("display") is None
