"""INT8 engines: `<style>.int8.onnx`, whose convolutions compute with 8-bit integers (QDQ format).

An exported engine and a folder of photos go in; the INT8 file beside the others, and its entry on
the card, come out. ONNX Runtime quantizes (`toonvid.importing.int8`); here it gets images to
calibrate with, and the result is compared with float32 and kept only if it is close. Float engines
are left out (`trainer.exporting.export`).
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from toonvid.backends import open_backend
from toonvid.engine import Engine
from toonvid.errors import TrainingError
from toonvid.importing.int8 import MIN_PSNR_DB, quantize, squared_error, to_decibels
from toonvid.video import Pixels
from trainer.data.images import UnusableImageError, find_images, read_image
from trainer.exporting.byte_layers import store_as_bytes
from trainer.exporting.export import compared_controls
from trainer.files import write_atomically

CALIBRATION_IMAGES = 48
COMPARED_IMAGES = 16
"""Images to compare with float32, none of which the engine was calibrated with."""
LONGEST_SIDE = 256
"""Largest side in pixels; larger images are cropped, because the calibration keeps all activations
of all images in memory."""


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
    if importlib.util.find_spec("onnxruntime") is None:
        raise TrainingError("int8 needs ONNX Runtime: pip install 'toonvid[onnxruntime]'")
    images = list(_cropped_images(folder, engine.card.multiple_of))
    compared, calibration = images[:COMPARED_IMAGES], images[COMPARED_IMAGES:]
    if not calibration:
        raise TrainingError(
            f"{folder} has {len(images)} images that can be read; int8 needs more than "
            f"{COMPARED_IMAGES}"
        )
    card = engine.card
    content = quantize(engine.path("f32"), calibration, card.control_values())
    content = store_as_bytes(content)
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
                to_decibels(
                    np.mean(
                        [
                            squared_error(
                                reference.run(image[None], controls),
                                candidate.run(image[None], controls),
                            )
                            for image in images
                        ]
                    )
                )
                for controls in compared_controls(engine.card)
            ]
