"""INT8 engines: `<style>.int8.onnx`, whose convolutions compute with 8-bit integers (QDQ format).

An exported engine and a folder of photos go in; the INT8 file beside the others, and its entry on
the card, come out. ONNX Runtime quantizes; here it gets images to calibrate with, and the result is
compared with float32 and kept only if it is close. Float engines are left out
(`trainer.exporting.export`).
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import math
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from toonvid.backends import ControlValues, open_backend
from toonvid.engine import Engine
from toonvid.errors import TrainingError
from toonvid.video import Pixels
from trainer.data.images import UnusableImageError, find_images, read_image
from trainer.exporting.export import compared_controls
from trainer.files import write_atomically

MIN_PSNR_DB = 35.0
"""Lowest peak signal-to-noise ratio, against float32, at which an INT8 engine is kept."""

CALIBRATION_IMAGES = 48
COMPARED_IMAGES = 16
"""Images to compare with float32, none of which the engine was calibrated with."""
LONGEST_SIDE = 256
"""Largest side in pixels; larger images are cropped, because the calibration keeps all activations
of all images in memory."""
RANGE_PERCENTILE = 99.99
"""Percentile of an activation's values that 8 bits cover. One value in ten thousand is clipped, and
the steps between all others are finer: without it, dark flat areas get a visible grain."""
_MIN_SQUARED_ERROR = 1e-5
"""In levels squared. Equal images then have 98 dB, because JSON has no infinity."""


def add_int8(engine: Engine, folder: Path) -> Engine:
    """Quantizes an engine, and adds the INT8 file to its folder and to its card.

    Args:
        engine: An engine whose card and float32 file are on disk.
        folder: Folder of photos, some to calibrate with and others to compare with.

    Returns:
        The engine with its new card.

    Raises:
        TrainingError: ONNX Runtime is missing, there are too few photos, or the INT8 engine
            differs too much from the float32 one. Nothing is written then.
    """
    images = list(_cropped_images(folder, engine.card.multiple_of))
    compared, calibration = images[:COMPARED_IMAGES], images[COMPARED_IMAGES:]
    if not calibration:
        raise TrainingError(
            f"{folder} has {len(images)} images that can be read; int8 needs more than "
            f"{COMPARED_IMAGES}"
        )
    card = engine.card
    content = quantize(engine.path("f32"), calibration, card.control_values())
    name = card.file_name("int8")
    hashes = {**card.sha256, name: hashlib.sha256(content).hexdigest()}
    quantized = replace(card, sha256=hashes)
    psnr, *at_ends = _psnr_db(engine, Engine(quantized, engine.folder), content, compared)
    if (lowest := min([psnr, *at_ends])) < MIN_PSNR_DB:
        raise TrainingError(
            f"the int8 engine has a PSNR of {lowest:.1f} dB against float32, "
            f"{MIN_PSNR_DB:g} are required: it is not kept"
        )
    metrics = {**card.metrics, "int8_psnr_db": round(psnr, 1)}
    if at_ends:
        metrics["int8_psnr_db_lowest"] = round(lowest, 1)
    quantized = replace(quantized, metrics=metrics)
    write_atomically(engine.folder / name, content)
    write_atomically(engine.card_path, quantized.to_json().encode())
    return Engine(quantized, engine.folder)


def quantize(path: Path, images: list[Pixels], controls: ControlValues | None = None) -> bytes:
    """Quantizes the convolutions of an ONNX file: weights per channel, activations per tensor.

    Args:
        path: The `.onnx` file of a float32 engine.
        images: Images to calibrate with, (H, W, 3), uint8, RGB; sides are multiples that the
            engine takes.
        controls: A value for each control of the engine. They change no convolution, and so no
            range of values.

    Returns:
        Content of the INT8 `.onnx` file.

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

    values = {name: np.array([value], np.float32) for name, value in (controls or {}).items()}

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._images = iter(images)

        def get_next(self) -> dict[str, NDArray[np.uint8] | NDArray[np.float32]] | None:
            image = next(self._images, None)
            return None if image is None else {"frame": image[None], **values}

    root = logging.getLogger()
    root.addFilter(_is_not_preprocessing_advice)
    try:
        # The quantizer prints its progress, which would mix with `--json`.
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
        root.removeFilter(_is_not_preprocessing_advice)


def find_last_convolutions(path: Path) -> list[str]:
    """Finds the convolutions whose output reaches the cartoon through no other convolution.

    They stay float32: their output is color itself, and 8 bits for a range of changes from -1 to 1
    make steps that a viewer sees.

    Args:
        path: ONNX file of an engine.

    Returns:
        Names of the nodes, sorted.
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


def _is_not_preprocessing_advice(record: logging.LogRecord) -> bool:
    """False for the advice to preprocess the graph first, which would fix its dynamic H and W."""
    return "pre-processing" not in record.getMessage()


def _cropped_images(folder: Path, multiple_of: int) -> Iterator[Pixels]:
    """Yields images spread evenly over a folder, cropped to sides that the engine takes."""
    wanted = CALIBRATION_IMAGES + COMPARED_IMAGES
    paths = find_images(folder)
    for path in paths[:: max(1, len(paths) // wanted)][:wanted]:
        try:
            image = read_image(path)
        except UnusableImageError as error:
            logging.getLogger(__name__).warning("skipped %s: %s", path, error)
            continue
        height, width = (min(s, LONGEST_SIDE) // multiple_of * multiple_of for s in image.shape[:2])
        if height and width:
            yield np.ascontiguousarray(image[:height, :width])


def _psnr_db(
    engine: Engine, quantized: Engine, content: bytes, images: list[Pixels]
) -> list[float]:
    """Peak signal-to-noise ratio of an INT8 engine against float32, in dB, over all images.

    Args:
        engine: The engine in float32.
        quantized: The engine with the INT8 file on its card.
        content: Content of the INT8 file, which is not in the engine's folder yet.
        images: Shape (H, W, 3) each, uint8, RGB.

    Returns:
        One value for each of `compared_controls`, of which the first are the defaults.
    """
    with tempfile.TemporaryDirectory() as folder:
        tried = Engine(quantized.card, Path(folder))
        (tried.folder / tried.card.file_name("int8")).write_bytes(content)
        with (
            open_backend(engine, "openvino", precision="f32") as reference,
            open_backend(tried, "openvino", precision="int8") as candidate,
        ):
            return [
                _decibels(
                    np.mean(
                        [
                            _squared_error(
                                reference.run(image[None], controls),
                                candidate.run(image[None], controls),
                            )
                            for image in images
                        ]
                    )
                )
                for controls in compared_controls(engine.card)
            ]


def _squared_error(first: Pixels, second: Pixels) -> float:
    return float(np.mean((first.astype(float) - second) ** 2))


def _decibels(squared_error: float) -> float:
    return 10 * math.log10(255**2 / max(squared_error, _MIN_SQUARED_ERROR))
