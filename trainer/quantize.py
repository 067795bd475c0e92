"""INT8 engines: `<style>.int8.onnx`, in which the convolutions work on quantized numbers (QDQ).

ONNX Runtime's quantizer does the work; this file gives it pictures, measures what is lost, and
keeps the result only when that is little. Leaves out the float engines (`trainer.export`).
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import math
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toonvid.backends import open_backend
from toonvid.engine import Engine
from toonvid.errors import TrainingError
from toonvid.video import Pixels
from trainer.files import write_atomically
from trainer.pictures import UnusablePictureError, find_pictures, read_picture

LEAST_PSNR_DB = 35.0
"""An INT8 engine whose pictures are further from float32's than this is not kept."""

CALIBRATION_PICTURES = 48
COMPARED_PICTURES = 16
"""Others than those it was calibrated with."""
LONGEST_SIDE = 256
"""Pixels; larger pictures are cut to this: all that they become in the network is kept at once."""
RANGE_PERCENTILE = 99.99
"""Of what an activation holds: the range that its 8 bits cover. One in ten thousand is cut off, and
the steps between the others are finer: whole ranges give flat dark areas a visible grain."""
_LEAST_ERROR = 1e-5
"""In levels squared; equal pictures are given as 98 dB, because JSON has no infinity."""


def add_int8(engine: Engine, folder: Path) -> Engine:
    """Quantize an engine, and put the INT8 file beside its others and on its card.

    Args:
        engine: Its card and float32 file are on disk.
        folder: Photos to calibrate with and, others of them, to compare with.

    Returns:
        The engine with its new card.

    Raises:
        TrainingError: ONNX Runtime is missing, the photos are too few, or the pictures of the INT8
            engine differ too much from those of the float32 one. Nothing is written then.
    """
    pictures = list(_cut_pictures(folder, engine.card.multiple_of))
    compared, calibrating = pictures[:COMPARED_PICTURES], pictures[COMPARED_PICTURES:]
    if not calibrating:
        raise TrainingError(
            f"{folder} has {len(pictures)} pictures that can be read; int8 needs more than "
            f"{COMPARED_PICTURES}"
        )
    content = quantize(engine.path("f32"), calibrating)
    card = engine.card
    name = card.file_name("int8")
    hashes = {**card.sha256, name: hashlib.sha256(content).hexdigest()}
    quantized = replace(card, sha256=hashes)
    psnr = _psnr_db(engine, Engine(quantized, engine.folder), content, compared)
    if psnr < LEAST_PSNR_DB:
        raise TrainingError(
            f"the int8 engine's pictures are {psnr:.1f} dB from float32's, "
            f"{LEAST_PSNR_DB:g} are asked for: it is not kept"
        )
    quantized = replace(quantized, metrics={**card.metrics, "int8_psnr_db": round(psnr, 1)})
    write_atomically(engine.folder / name, content)
    write_atomically(engine.card_path, quantized.to_json().encode())
    return Engine(quantized, engine.folder)


def quantize(path: Path, pictures: list[Pixels]) -> bytes:
    """Quantize the convolutions of an ONNX file: weights by channel, activations by their range.

    Args:
        path: A float32 engine.
        pictures: (H, W, 3) uint8, RGB, of any sizes that the engine takes.

    Raises:
        TrainingError: ONNX Runtime is missing.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        raise TrainingError("int8 needs ONNX Runtime: pip install 'toonvid[onnxruntime]'")
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._pictures = iter(pictures)

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            picture = next(self._pictures, None)
            return None if picture is None else {"frame": picture[None]}

    root = logging.getLogger()
    root.addFilter(_is_no_advice)
    try:
        # It prints as it goes.
        with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):
            target = Path(folder) / "int8.onnx"
            quantize_static(
                path,
                target,
                Reader(),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                nodes_to_exclude=find_last_convolutions(path),
                per_channel=True,
                calibrate_method=CalibrationMethod.Percentile,
                extra_options={"CalibPercentile": RANGE_PERCENTILE},
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
            return target.read_bytes()
    finally:
        root.removeFilter(_is_no_advice)


def find_last_convolutions(path: Path) -> list[str]:
    """Names of the convolutions whose result reaches the cartoon through no other convolution.

    They stay float32: their result is color itself, and with 8 bits a range of changes from -1 to 1
    is in steps that a viewer sees. It costs a twentieth of the work of `cel` and gives 7 dB.

    Args:
        path: An engine's ONNX file.
    """
    import onnx

    graph = onnx.load(path).graph
    makers = {name: node for node in graph.node for name in node.output}
    found, seen = [], set()
    waiting = [output.name for output in graph.output]
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.name in seen:
            continue
        seen.add(node.name)
        if node.op_type == "Conv":
            found.append(node.name)
        else:
            waiting += node.input
    return sorted(found)


def _is_no_advice(record: logging.LogRecord) -> bool:
    """The quantizer advises a pass over the graph that would close its open H and W."""
    return "pre-processing" not in record.getMessage()


def _cut_pictures(folder: Path, multiple_of: int) -> Iterator[Pixels]:
    """Pictures spread over the folder, cut to sides that the engine takes."""
    wanted = CALIBRATION_PICTURES + COMPARED_PICTURES
    paths = find_pictures(folder)
    for path in paths[:: max(1, len(paths) // wanted)][:wanted]:
        try:
            picture = read_picture(path)
        except UnusablePictureError as error:
            logging.getLogger(__name__).warning("skipped %s: %s", path, error)
            continue
        height, width = (
            min(s, LONGEST_SIDE) // multiple_of * multiple_of for s in picture.shape[:2]
        )
        if height and width:
            yield np.ascontiguousarray(picture[:height, :width])


def _psnr_db(engine: Engine, quantized: Engine, content: bytes, pictures: list[Pixels]) -> float:
    """Peak signal-to-noise ratio of the INT8 engine's pictures, float32's being the signal."""
    with tempfile.TemporaryDirectory() as folder:
        tried = Engine(quantized.card, Path(folder))
        (tried.folder / tried.card.file_name("int8")).write_bytes(content)
        with (
            open_backend(engine, "openvino", precision="f32") as exact,
            open_backend(tried, "openvino", precision="int8") as rough,
        ):
            errors = [
                np.mean((exact.run(frame[None]).astype(float) - rough.run(frame[None])) ** 2)
                for frame in pictures
            ]
    mean = float(np.mean(errors))
    return 10 * math.log10(255**2 / max(mean, _LEAST_ERROR))
