"""The int8 file of an imported engine, calibrated with images of the user.

In: an engine and a folder of images. Out: the engine with an int8 file, if it is close to float32.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from toonvid.backends import open_backend
from toonvid.backends.contract import one_line
from toonvid.engine import Engine
from toonvid.errors import EngineError, SourceError
from toonvid.importing.int8 import MIN_PSNR_DB, quantize, squared_error, to_decibels
from toonvid.reading.decoder import VideoDecoder
from toonvid.reading.options import DecodeOptions
from toonvid.video import Pixels

MOST_IMAGES = 48
FEWEST_IMAGES = 8
_LONGEST_SIDE = 256  # pixels; the calibration keeps all activations of all images in memory
_COMPARED_SHARE = 4  # every fourth image is compared, and not calibrated with


def add_int8(engine: Engine, folder: Path, on_notice: Callable[[str], None]) -> Engine:
    """Write the int8 file to the engine's folder, unless it is far from float32.

    Args:
        engine: Engine whose float32 file is on disk.
        folder: Folder of images.
        on_notice: Called with a line if the int8 file is left out.

    Returns:
        The engine with the int8 file on its card, or as it was.

    Raises:
        EngineError: There are too few images, or ONNX Runtime is missing.
    """
    if engine.card.is_openvino_only:
        raise EngineError("int8 is made of ONNX files only: leave out --calibration")
    images = list(_read_images(folder, engine.card.multiple_of))
    if len(images) < FEWEST_IMAGES:
        raise EngineError(
            f"{folder} has {len(images)} images that can be read; int8 needs {FEWEST_IMAGES}"
        )
    compared = images[::_COMPARED_SHARE]
    calibrated = [image for at, image in enumerate(images) if at % _COMPARED_SHARE]
    card = engine.card
    try:
        content = quantize(engine.path("f32"), calibrated)
    except EngineError:
        raise
    except Exception as error:  # the quantizer's errors have no common base
        on_notice(f"int8 is left out: it cannot be made ({one_line(error)})")
        return engine
    name = card.file_name("int8")
    (engine.folder / name).write_bytes(content)
    hashes = {**card.sha256, name: hashlib.sha256(content).hexdigest()}
    quantized = Engine(replace(card, sha256=hashes), engine.folder)
    psnr = _psnr_db(engine, quantized, compared)
    if psnr < MIN_PSNR_DB:
        on_notice(
            f"int8 is left out: its PSNR against f32 is {psnr:.1f} dB, {MIN_PSNR_DB:g} are required"
        )
        return engine
    metrics = {**card.metrics, "int8_psnr_db": round(psnr, 1)}
    return Engine(replace(quantized.card, metrics=metrics), engine.folder)


def _read_images(folder: Path, multiple_of: int) -> Iterator[Pixels]:
    """Yield images of a folder, cut to sides that the engine takes."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise EngineError(f"cannot read {folder}: {error.strerror}") from error
    found = 0
    for path in paths:
        try:
            with VideoDecoder(str(path), DecodeOptions()) as decoder:
                frame = next(decoder.frames(), None)
        except SourceError:
            continue
        if frame is None:
            continue
        height, width = (
            min(side, max(_LONGEST_SIDE, multiple_of)) // multiple_of * multiple_of
            for side in frame.pixels.shape[:2]
        )
        if height and width:
            found += 1
            yield np.ascontiguousarray(frame.pixels[:height, :width])
        if found == MOST_IMAGES:
            return


def _psnr_db(engine: Engine, quantized: Engine, images: list[Pixels]) -> float:
    """Peak signal-to-noise ratio of the int8 file against float32, in dB, over all images."""
    with (
        open_backend(engine, "openvino", precision="f32") as reference,
        open_backend(quantized, "openvino", precision="int8") as candidate,
    ):
        errors = [
            squared_error(reference.run(image[None]), candidate.run(image[None]))
            for image in images
        ]
    return to_decibels(float(np.mean(errors)))
