"""Who may import whom, and what the runtime can do without."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import toonvid
import trainer

PACKAGE = Path(toonvid.__file__).parent

# Folders and files directly under `toonvid/`: each may import only from earlier lines. Inside a
# folder anything goes, except a cycle.
ORDER = [
    ["_version", "errors"],
    ["choices", "files", "video", "prefetch", "child_python"],
    ["onnx_file", "ffmpeg"],
    ["engine"],
    ["reading", "writing", "backends"],
    ["stylizing"],
    ["pipeline"],
    ["resume", "live"],
    ["cluster"],
    ["bench", "doctor"],
    ["importing"],
    ["commands"],
    ["cli"],
    ["__main__"],
]
RANKS = {name: rank for rank, names in enumerate(ORDER) for name in names}
TRAINER = Path(trainer.__file__).parent
# The same for `trainer/`; `toonvid` may be imported by all of it.
TRAINER_ORDER = [
    ["gpu_memory", "config_checks"],
    ["config", "device", "files"],
    ["presets", "data"],
    ["networks", "prepare"],
    ["training", "evaluation"],
    ["exporting"],
]
TRAINER_RANKS = {name: rank for rank, names in enumerate(TRAINER_ORDER) for name in names}
MOST_FLAT_MODULES = 13
WITH_OPENCV = {
    "live.webcam",
    "live.window",
    "commands.live",
}  # inside functions: what needs no camera needs no OpenCV
WITH_ONNX = "importing."  # the room that the extra `import` is for; commands load it when asked to
FOR_ANNOTATIONS = {  # alone, or inside a function: they are extras
    "backends.tensorrt.build_plan": {"tensorrt_rtx"},
    "backends.tensorrt.cuda": {"cuda"},
    "backends.onnxruntime": {"onnxruntime"},
    "backends.tensorrt.inference": {"tensorrt_rtx", "cuda"},
    "importing.int8": {"onnxruntime"},
    "cluster.connection": {"ray"},
    "cluster.driver": {"ray"},
    "cluster.source_copy": {"ray"},
}


def modules(package: Path) -> dict[str, ast.Module]:
    """Map the dotted name of each module below the package to its syntax tree."""
    found = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


MODULES = modules(PACKAGE)
TRAINER_MODULES = modules(TRAINER)


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


def imported_modules(name: str, package: str, known: dict[str, ast.Module]) -> set[str]:
    """Modules of the same package that a module imports, as dotted names below the package."""
    found = {target.removeprefix(f"{package}.") for target in imports(known[name])}
    return {target for target in found if target in known and target != name}


@pytest.mark.parametrize("name", sorted(set(MODULES) - {""}))
def test_runtime_imports_point_one_way(name):
    room = name.split(".")[0]
    for target in imported_modules(name, "toonvid", MODULES) - {""}:
        other = target.split(".")[0]
        assert other == room or RANKS[other] < RANKS[room], f"{name} imports {target}"


@pytest.mark.parametrize("name", sorted(set(TRAINER_MODULES) - {""}))
def test_trainer_imports_point_one_way(name):
    room = name.split(".")[0]
    for target in imported_modules(name, "trainer", TRAINER_MODULES) - {""}:
        other = target.split(".")[0]
        allowed = other == room or TRAINER_RANKS[other] < TRAINER_RANKS[room]
        assert allowed, f"{name} imports {target}"


@pytest.mark.parametrize(
    ("package", "known"),
    [("toonvid", MODULES), ("trainer", TRAINER_MODULES)],
    ids=["toonvid", "trainer"],
)
def test_no_cycle_of_imports(package, known):
    graph = {name: imported_modules(name, package, known) - {""} for name in known}
    # A folder's __init__ is its door: it may import its own modules at call time.
    graph = {name: {t for t in to if not name.startswith(f"{t}.")} for name, to in graph.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the cycle


@pytest.mark.parametrize("package", [PACKAGE, TRAINER], ids=lambda path: path.name)
def test_few_modules_lie_flat(package):
    assert len(list(package.glob("*.py"))) <= MOST_FLAT_MODULES


def test_every_folder_has_a_place_in_the_order():
    assert {name.split(".")[0] for name in MODULES} - {""} == set(RANKS)
    assert {name.split(".")[0] for name in TRAINER_MODULES} - {""} == set(TRAINER_RANKS)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_torch_and_the_trainer_stay_behind_the_commands(name):
    foreign = {"torch", "torchvision", "trainer", "onnx", "cv2"}
    foreign |= {"onnxruntime", "tensorrt", "tensorrt_rtx", "cuda", "ray"}
    if name.startswith(WITH_ONNX):
        foreign -= {"onnx"}
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
extras = ("onnxruntime", "tensorrt", "tensorrt_rtx", "cuda", "ray")
for name in ("torch", "cv2", "onnx", "trainer", *extras):
    sys.modules[name] = None
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def test_every_module_can_be_imported_without_torch_cv2_and_trainer():
    names = [
        f"toonvid.{name}".rstrip(".")
        for name in MODULES
        if name != "__main__" and not name.startswith(WITH_ONNX)
    ]
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


def test_a_command_loads_neither_other_commands_nor_what_it_does_not_need():
    program = (
        "import sys; from toonvid.cli import main; sys.argv = ['toonvid', 'styles']\n"
        "try: main()\n"
        "except SystemExit: import openvino\n"
        "mine = [n for n in sys.modules if n.startswith('toonvid.commands.')]\n"
        "print('toonvid.commands.styles' in mine, 'toonvid.commands.train' in mine,"
        " any(n.startswith('openvino.tools.ovc.') for n in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("True False False\n")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted by Linux")
@pytest.mark.parametrize(("command", "has_threads"), [("convert", False), ("train", True)])
def test_only_commands_that_multiply_matrices_have_threads_for_it(command, has_threads):
    program = (
        "import os, sys; from toonvid.cli import main; sys.argv = ['toonvid', sys.argv[1], '-h']\n"
        "try: main()\n"
        "except SystemExit: import numpy\n"
        "print(len(os.listdir('/proc/self/task')) > 1)"
    )
    asked = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")  # OpenBLAS reads both
    environment = {name: value for name, value in os.environ.items() if name not in asked}
    done = subprocess.run(
        [sys.executable, "-c", program, command],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert done.stdout.endswith(f"{has_threads and len(os.sched_getaffinity(0)) > 1}\n")


def test_what_converts_a_video_loads_no_pillow():
    program = "import sys, toonvid.resume.segmented; print('PIL' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


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
