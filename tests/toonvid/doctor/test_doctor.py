"""The doctor reports what works, what is missing and what is broken, and survives all of it."""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.failing_checks import __file__ as failing_checks_file
from support.gpu import require_tensorrt_gpu
from support.run_toonvid import Ended, run_here
from support.tiny_engines import identity_engine, negative_engine
from support.virtual_display import virtual_display

from toonvid.choices import REQUIRABLE_CHECKS
from toonvid.doctor import codecs, cpu, devices, files, gpu, training
from toonvid.doctor.check_result import CheckResult
from toonvid.doctor.child_process import SubprocessCheck
from toonvid.doctor.examine import DoctorReport
from toonvid.ffmpeg.nvidia import Gpu, NvidiaInfo, find_nvidia

Capsys = pytest.CaptureFixture[str]

LAPTOP = NvidiaInfo(
    (Gpu(0, "NVIDIA GeForce RTX 3050 Laptop GPU", (8, 6), 4 * 2**30),), 13000, driver="580.95.05"
)
NO_DRIVER = NvidiaInfo(problem="there is no NVIDIA driver: install NVIDIA's driver")

without_gpu = pytest.mark.skipif(bool(find_nvidia().gpus), reason="there is a GPU here")
on_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="other systems are checked in another way"
)


@pytest.fixture(autouse=True)
def _isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty folders for caches and engines, a terminal of 80 columns, no display."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("DISPLAY", "")
    monkeypatch.delenv("TOONVID_ENGINES", raising=False)
    monkeypatch.delenv("TORCH_HOME", raising=False)


@pytest.fixture
def doctor(capsys: Capsys) -> Callable[..., Ended]:
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


def only(checks: list[CheckResult]) -> CheckResult:
    [check] = checks
    return check


# The report.


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
    assert checks["engines"]["facts"]["styles"] == ["ink", "pepper", "wiehan"]


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


# Checks in processes of their own.


@pytest.mark.parametrize(
    ("place", "seconds", "words"),
    [
        ("hang", 1.0, "no answer within 1 seconds"),
        ("crash", 20.0, "it crashed the process of this check (SIGSEGV)"),
        ("exit_at_once", 20.0, "exit code 7"),
        ("fail", 20.0, "OSError: libcudart.so.99: cannot open shared object file"),
        ("nowhere", 20.0, "AttributeError: module 'failing_checks' has no attribute 'nowhere'"),
    ],
)
def test_a_check_that_does_not_return_is_broken(
    place: str, seconds: float, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = os.pathsep.join(
        [str(Path(failing_checks_file).parent), os.environ.get("PYTHONPATH", "")]
    )
    monkeypatch.setenv("PYTHONPATH", path)
    check = SubprocessCheck("backends", "thing", f"failing_checks:{place}", seconds, "mend it")
    assert check() == [CheckResult("backends", "thing", "broken", words, "mend it")]


def test_output_of_libraries_is_not_taken_for_results(monkeypatch: pytest.MonkeyPatch) -> None:
    path = os.pathsep.join(
        [str(Path(failing_checks_file).parent), os.environ.get("PYTHONPATH", "")]
    )
    monkeypatch.setenv("PYTHONPATH", path)
    found = only(SubprocessCheck("backends", "thing", "failing_checks:print_and_return")())
    assert found == CheckResult(
        "backends", "printing", "ok", "message", facts={"n": 1, "names": ["ä"]}
    )


# The CPU.

INTEL = (
    "processor : 0\nmodel name\t: Some Xeon\nflags\t\t: sse2 avx2 avx512f avx512_vnni amx_tile\n\n"
)
ARM = "processor : 0\nFeatures : fp asimd asimddp i8mm\n\nprocessor : 1\n"
OLD = "model name : Core 2\nflags : sse2 ssse3\n"


@pytest.mark.parametrize(
    ("text", "state", "has", "words"),
    [
        (INTEL, "ok", ["AVX2", "AVX-512", "AVX-512 VNNI", "AMX"], "not AVX VNNI, AVX-512 BF16"),
        (ARM, "ok", ["NEON", "dot product", "INT8 matrices"], "not BF16, SVE"),
        (OLD, "missing", [], "none that speeds engines up"),
    ],
)
def test_vector_units_are_those_in_cpuinfo(
    text: str, state: str, has: list[str], words: str, tmp_path: Path
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(text)
    found, units = cpu.check_cpu(cpuinfo)
    assert "logical core" in found.message
    assert (units.state, units.facts["has"]) == (state, has)
    assert words in units.message


def test_without_cpuinfo_there_is_no_result_about_vector_units(tmp_path: Path) -> None:
    assert only(cpu.check_cpu(tmp_path / "none")).name == "processor"


# GPUs.


def bus(folder: Path, vendor: str, kind: str) -> Path:
    device = folder / "pci" / "0000:01:00.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text(f"{vendor}\n")
    (device / "class").write_text(f"{kind}\n")
    return folder / "pci"


def test_a_gpu_and_its_driver_are_reported(tmp_path: Path) -> None:
    laptop, driver = gpu.check_gpus(LAPTOP, tmp_path)
    assert laptop.message == (
        "NVIDIA GeForce RTX 3050 Laptop GPU, 4.0 GiB, compute capability 8.6 (cuda:0)"
    )
    assert laptop.facts["memory_bytes"] == 4 * 2**30
    assert driver.message == "580.95.05, for CUDA up to 13.0"
    assert laptop.state == driver.state == "ok"


@pytest.mark.parametrize(
    ("vendor", "kind", "problem", "state", "mend"),
    [
        ("0x10de", "0x030000", NO_DRIVER.problem, "broken", "install NVIDIA's driver"),
        ("0x10de", "0x040300", NO_DRIVER.problem, "missing", ""),  # the audio device of a GPU
        ("0x8086", "0x030000", NO_DRIVER.problem, "missing", ""),
        ("0x8086", "0x030000", "the NVIDIA driver finds no GPU", "missing", ""),
        ("0x8086", "0x030000", "the driver cannot start: restart", "broken", "restart"),
    ],
)
def test_a_gpu_without_a_driver_is_broken_and_no_gpu_is_missing(
    vendor: str, kind: str, problem: str, state: str, mend: str, tmp_path: Path
) -> None:
    found = only(gpu.check_gpus(NvidiaInfo(problem=problem), bus(tmp_path, vendor, kind)))
    assert (found.state, found.fix) == (state, mend)


def test_an_intel_gpu_that_openvino_does_not_find_is_reported(tmp_path: Path) -> None:
    pci = bus(tmp_path, "0x8086", "0x038000")
    [found] = gpu.check_intel_gpu(["CPU"], pci)
    assert found.state == "missing" and "intel-opencl-icd" in found.fix
    assert gpu.check_intel_gpu(["CPU", "GPU.0"], pci) == []
    assert gpu.check_intel_gpu(["CPU"], tmp_path / "none") == []


# PyTorch.


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


# Codecs.


def test_codecs_are_opened_and_a_missing_one_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    encoders, decoders = codecs.check_software_codecs()
    assert encoders.facts["works"] == ["x264", "x265", "AV1", "VP9", "AAC", "Opus"]
    assert decoders.state == "ok"
    monkeypatch.setattr(codecs, "_ENCODERS", {"x264": "libx264", "Daala": "daala"})
    encoders, _ = codecs.check_software_codecs()
    assert (encoders.state, encoders.message) == (
        "broken",
        "x264; not Daala (this FFmpeg has none)",
    )


def test_nvidia_codecs_without_a_gpu_are_missing() -> None:
    found = codecs.check_nvidia_codecs(NO_DRIVER)
    assert [(check.name, check.state) for check in found] == [
        ("nvdec", "missing"),
        ("nvenc", "missing"),
    ]
    assert {check.message for check in found} == {"there is no NVIDIA driver"}


def test_a_gpu_need_not_have_every_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs, "nvdec_problem", lambda: "")
    problems = {"av1_nvenc": "Codec not supported"}
    monkeypatch.setattr(codecs, "encoder_problem", lambda name: problems.get(name, ""))
    nvdec, nvenc = codecs.check_nvidia_codecs(LAPTOP)
    assert nvdec.state == nvenc.state == "ok"
    assert nvenc.message == "h264_nvenc, hevc_nvenc; av1_nvenc: Codec not supported"


@without_gpu
def test_a_gpu_whose_codecs_fail_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    found = codecs.check_nvidia_codecs(LAPTOP)
    assert [check.state for check in found] == ["broken", "broken"]


# Live.


def capability(name: bytes, of_device: int) -> bytes:
    words = (name, b"bus", 0x60000, 0x84A00001, of_device, 0, 0, 0)
    return struct.pack("=16s32s32s6I", b"uvcvideo", *words)


def test_a_camera_is_a_device_that_captures_video() -> None:
    assert devices.camera_name(capability(b"Integrated Camera", 0x04200001)) == "Integrated Camera"
    assert devices.camera_name(capability(b"Its metadata", 0x04A00000)) is None
    assert devices.camera_name(capability(b"A virtual camera", 0x00200002)) is None


@on_linux
def test_files_that_are_not_devices_are_no_cameras(tmp_path: Path) -> None:
    assert only(devices.check_cameras(tmp_path)).message == "none is plugged in"
    (tmp_path / "video0").write_text("a file")
    assert only(devices.check_cameras(tmp_path)).state == "missing"


@on_linux
@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may open everything")
def test_cameras_without_permission_are_broken(tmp_path: Path) -> None:
    (tmp_path / "video0").touch(0)
    assert "usermod" in only(devices.check_cameras(tmp_path)).fix


@on_linux
def test_a_display_is_checked_by_opening_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = only(devices.check_display())
    assert absent.state == "missing" and "DISPLAY is not set" in absent.message
    monkeypatch.setenv("DISPLAY", ":12345")
    assert "display :12345" in only(devices.check_display()).message
    with virtual_display(320, 240) as display:
        monkeypatch.setenv("DISPLAY", display)
        assert only(devices.check_display()).state == "ok"


@on_linux
def test_opencv_that_cannot_be_loaded_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("DISPLAY", ":0")
    words = "OpenCV cannot be loaded (ImportError: libGL.so.1: cannot open)"
    assert only(devices.check_display()).message == words


# Files.


def test_engines_are_compared_with_their_cards(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        folder.mkdir()
    identity_engine(first)
    negative_engine(first)
    negative_engine(second)
    found = only(files.check_engines([first, second]))
    assert found.message == "identity, negative: 2 files, each as its card describes it"
    with (first / "negative.onnx").open("ab") as file:
        file.write(b"more")
    good, broken = files.check_engines([first, second])
    assert good.facts["styles"] == ["identity"]
    assert broken.state == "broken" and "SHA-256 differs" in broken.message
    assert broken.fix == "pip install --force-reinstall toonvid"
    assert only(files.check_engines([tmp_path])).message == "there are none"


def test_a_broken_engine_of_the_user_is_not_fixed_by_reinstalling() -> None:
    from toonvid.engine import user_engines

    user_engines().mkdir(parents=True)
    (user_engines() / "mine.json").write_text("{")
    [broken] = [check for check in files.check_engines() if check.state == "broken"]
    assert "mine.json" in broken.fix and "pip" not in broken.fix


def test_plans_are_counted_and_a_folder_that_others_can_write_to_is_broken(tmp_path: Path) -> None:
    assert files.check_plans().message == "there are none"
    folder = tmp_path / "cache" / "toonvid" / "plans"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "ink-f16-0-1280x720.plan").write_bytes(bytes(1_500_000))
    (folder / "ink-f16-0.kernels").write_bytes(bytes(500_000))
    found = files.check_plans()
    assert found.message == f"1, with 2.0 MB in {folder}" and found.facts["bytes"] == 2_000_000
    folder.chmod(0o777)
    found = files.check_plans()
    assert found.state == "broken" and "chmod 700" in found.message + found.fix


def test_downloaded_weights_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    assert files.check_weights().facts["bytes"] == 0
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "vgg19.pth").write_bytes(bytes(3000))
    assert files.check_weights().facts["bytes"] == 3000


def test_a_report_finds_results_by_name() -> None:
    check = CheckResult("live", "camera", "ok", "one")
    report = DoctorReport((check, replace(check, message="two")))
    assert report.find("camera") == check and report.find("display") is None


def test_a_result_survives_a_round_trip_through_json_under_the_documented_keys() -> None:
    result = CheckResult("live", "camera", "broken", "no permission", "usermod", {"devices": []})
    values = result.to_json()
    assert (values["words"], values["mend"]) == ("no permission", "usermod")
    assert CheckResult.from_json(json.loads(json.dumps(values))) == result
