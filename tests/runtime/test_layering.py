"""Who may import whom, and what the runtime can do without."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import toonvid

PACKAGE = Path(toonvid.__file__).parent

# A module may import what stands above it, and nothing beside or below it.
LAYERS = [
    {"errors", "video", "choices", "prefetch", "mark", "meter", "nvidia", "display"},
    {
        "onnx_file",
        "part_folder",
        "patient_file",
        "picture_size",
        "span",
        "color",
        "transcode",
        "feed",
        "screen",
        "sound",
        "resize",
        "clock",
        "hardware",
        "decode_options",
        "encode_options",
        "containers",
        "verify",
    },
    {
        "codec",
        "engine",
        "source",
        "demux",
        "carry",
        "contents",
        "upright",
        "encoder_input",
        "jpeg",
        "certificate",
        "gate",
        "camera",
    },
    {"decoder_choice"},
    {"decode", "encode", "backends", "backends.contract", "motion_jpeg"},
    {"backends.openvino", "backends.onnxruntime", "backends.flavour", "backends.plan_cache"},
    {"compare", "scene", "sheet", "targets"},
    {"backends.choice", "backends.cuda", "backends.build_plan"},
    {"backends.plan", "backends.runner"},
    {"backends.tensorrt", "stylize", "stream", "webcam", "segment_file", "journal"},
    {"cut", "forecast", "resumable"},
    {"pipeline", "painter", "recording", "snapshot", "join", "job", "finished"},
    {"live", "unfinished"},
    {"segments", "latency", "window", "record", "remote", "virtual_camera"},
    {"earlier", "site"},
    {"server"},
    {"bench", "doctor"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
WITH_OPENCV = {
    "webcam",
    "window",
    "commands.live",
}  # inside functions: what needs no camera needs no OpenCV
# Inside a function: a backend's library loads slowly, or is not there.
LATE = {
    ("backends", f"backends.{name}") for name in ("choice", "openvino", "onnxruntime", "tensorrt")
}

FOR_ANNOTATIONS = {  # alone: they are extras
    "backends.build_plan": {"tensorrt_rtx"},
    "backends.cuda": {"cuda"},
    "backends.onnxruntime": {"onnxruntime"},
    "backends.runner": {"tensorrt_rtx", "cuda"},
}


def modules() -> dict[str, ast.Module]:
    """Dotted name below `toonvid` -> its syntax tree."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


MODULES = modules()


def imports(tree: ast.AST, everywhere: bool = True) -> Iterator[str]:
    """What is imported: all of it, or only what loads with the module."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif everywhere or not (isinstance(node, ast.FunctionDef) or is_for_types(node)):
            yield from imports(node, everywhere)


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def layer(name: str) -> int:
    for number, names in enumerate(LAYERS):
        if name in names or name.split(".")[0] in names & {"bench", "doctor", "commands"}:
            return number
    raise AssertionError(f"toonvid.{name} has no layer in this test: give it one")


@pytest.mark.parametrize("name", sorted(set(MODULES) - {""}))
def test_arrows_point_up(name):
    for imported in set(imports(MODULES[name])):
        target = imported.removeprefix("toonvid.")
        if not imported.startswith("toonvid.") or target not in MODULES or (name, target) in LATE:
            continue
        room = name.split(".")[0]
        beside = room in ("bench", "doctor", "commands") and target.split(".")[0] == room
        assert layer(target) < layer(name) or beside, f"toonvid.{name} imports toonvid.{target}"


def test_every_layer_is_there():
    known = {name for names in LAYERS for name in names}
    assert known <= set(MODULES)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_torch_and_the_trainer_stay_behind_the_commands(name):
    foreign = {"torch", "torchvision", "trainer", "onnx", "cv2"}
    foreign |= {"onnxruntime", "tensorrt", "tensorrt_rtx", "cuda"}
    used = {found.split(".")[0] for found in imports(MODULES[name])} & foreign
    at_once = {found.split(".")[0] for found in imports(MODULES[name], everywhere=False)} & foreign
    assert not at_once
    if name.startswith("commands."):
        used -= {"torch", "trainer"}
    used -= FOR_ANNOTATIONS.get(name, set())
    if name in WITH_OPENCV:
        used -= {"cv2"}
    assert not used


BLOCKED = """
import importlib, sys
for name in ("torch", "cv2", "onnx", "trainer", "onnxruntime", "tensorrt", "tensorrt_rtx", "cuda"):
    sys.modules[name] = None
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def test_every_module_can_be_imported_without_torch_cv2_and_trainer():
    names = [f"toonvid.{name}".rstrip(".") for name in MODULES if name != "__main__"]
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, *names], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_importing_toonvid_loads_nothing_of_weight():
    program = (
        "import sys, toonvid, toonvid.cli;"
        "print(*sorted({'av', 'numpy', 'openvino', 'torch', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "\n"


def test_public_names_are_there_and_no_others():
    assert dir(toonvid) == sorted(toonvid.__all__) == sorted(set(toonvid.__all__))
    for name in toonvid.__all__:
        assert getattr(toonvid, name) is not None
    homes = {name for names in toonvid._HOMES.values() for name in names}
    assert homes | {"__version__"} == set(toonvid.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = toonvid.nonsense


def test_names_for_type_checkers_are_the_same():
    block = next(node for node in MODULES[""].body if is_for_types(node))
    assert isinstance(block, ast.If)
    named = {
        (node.module, alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert named == {(home, name) for home, names in toonvid._HOMES.items() for name in names}
