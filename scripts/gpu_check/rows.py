"""Names of all rows of the table, by step: known before a step runs, and whatever is installed.

Imports the standard library only, because the process that starts the steps may have nothing else.
"""

from __future__ import annotations

from pathlib import Path

ENGINES = Path(__file__).resolve().parents[2] / "engines"

STYLE = "ink"
"""Style that is measured where one has to do: a `cel` generator, whose weights PyTorch can run."""
PRECISIONS = ("f16", "f32")
MEMORY_LIMIT = "3.2GB"
"""As `--memory-limit` takes it: what a GPU of 4 GB leaves beside a desktop."""
PHASES = ("initialization", "adversarial")
PROFILED = ("cel", "cel-hq", "paper")
HQ_WIDTH, HQ_BLOCKS = 128, 3
"""Size of the generator `cel-hq`: 120 thousand multiply-adds per pixel."""
FAST_PRESET = "ultrafast"
WAYS = (
    "software",
    "software, steady off",
    "NVDEC",
    "NVDEC, steady off",
    f"NVDEC, x264 {FAST_PRESET}, steady off",
    "NVENC",
    "NVDEC and NVENC",
)
"""Ways through the pipeline."""
MACHINE = (
    *("GPU and driver", "CPU", "packages", "FFmpeg", "TensorRT", "ONNX Runtime"),
    *("NVDEC", "NVENC", "page fault", "steady stage at 720p", "copies"),
)
TEST_GROUPS = {
    "TensorRT: the suite of all backends": "backends/test_conformance.py",
    "TensorRT: shipped styles, memory, streams": "backends/test_gpu.py",
    "NVDEC and NVENC": "ffmpeg/test_hardware.py",
    "toonvid doctor": "doctor/test_examine.py",
}
"""What is tested -> end of the path of its file in tests/toonvid."""


def row_names(module: str, variant: str) -> list[str]:
    """Return the names of the rows that a step writes, in order."""
    return {
        "machine": lambda: list(MACHINE),
        "one_frame": lambda: [one_frame_row(precision) for precision in PRECISIONS],
        "memory": lambda: [memory_row(variant, phase) for phase in PHASES],
        "stylize": lambda: [stylize_row(style, variant) for style in styles_of(variant)],
        "pipeline": lambda: [null_row(variant), *(pipeline_row(way, variant) for way in WAYS)],
        "tests": lambda: list(TEST_GROUPS),
        "kernels": lambda: [kernels_row(name) for name in PROFILED],
        "training": lambda: [training_row(variant)],
    }[module]()


def styles_of(library: str) -> list[str]:
    """List the styles that a library is measured with."""
    if library.startswith("torch"):
        return [STYLE]
    return sorted(card.stem for card in ENGINES.glob("*.json"))


def one_frame_row(precision: str) -> str:
    """Name the row of a precision."""
    return f"`{STYLE}` at 720p in TensorRT, {precision}"


def memory_row(variant: str, phase: str) -> str:
    """Name the row of a phase."""
    return f"`paper` in {MEMORY_LIMIT}, {variant}, {phase} phase"


def stylize_row(style: str, library: str) -> str:
    """Name the row of a style in a library."""
    return f"`{style}` in {library}, f16, stylize alone"


def null_row(library: str) -> str:
    """Name the row of the null pipeline that is measured beside a library's."""
    return f"null pipeline beside {library}: no cartoon, software"


def pipeline_row(way: str, library: str) -> str:
    """Name the row of a way through the pipeline."""
    return f"`{STYLE}` pipeline in {library}, f16: {way}"


def kernels_row(name: str) -> str:
    """Name the row of a config."""
    return f"a training step of `{name}`"


def training_row(variant: str) -> str:
    """Name the row of a run."""
    size = "" if variant == "cel" else f" (width {HQ_WIDTH}, {HQ_BLOCKS} blocks)"
    return f"`{variant}`{size} from prepared crops"
