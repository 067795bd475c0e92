"""Makes a style of somebody else's file: engine files, checked, and a card.

In: a `Candidate` and how its values are read. Out: an `Engine` in the user's folder of styles. What
cannot be guessed was asked before (`toonvid.commands.styles_add`).
"""

from __future__ import annotations

import hashlib
import math
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openvino as ov
from msgspec.structs import replace
from onnx import ModelProto

from toonvid.backends.cartoon_check import find_flaw
from toonvid.backends.contract import one_line
from toonvid.choices import FamilyName
from toonvid.engine import (
    FILE_SUFFIXES,
    IMPORTED,
    STYLE_NAME,
    Engine,
    EngineCard,
    Precision,
    copy_engine,
)
from toonvid.errors import EngineError
from toonvid.importing.candidate import Candidate
from toonvid.importing.check import check_engine, checked_frames
from toonvid.importing.families import FAMILIES
from toonvid.importing.float16 import to_float16
from toonvid.importing.network import Reading, image_shape
from toonvid.importing.wrap import wrap
from toonvid.video import Pixels

_NOT_STATED = "not stated"


@dataclass(frozen=True)
class ImportOptions:
    """What a user says about a file."""

    family: FamilyName | None = None
    """Family of the network; None if it is not known."""
    name: str = ""
    """Name of the style; empty: made from the file's name."""
    title: str = ""
    """Name to show; empty: made from the style's name."""
    license: str = ""
    """License of the weights; empty: not stated."""
    multiple_of: int | None = None
    """What both sides of frames must be multiples of, in pixels; None: by the family and graph."""
    calibration: Path | None = None
    """Folder of images with which an int8 file is calibrated; None: none is made."""


@dataclass(frozen=True)
class ImportedStyle:
    """A style that was added."""

    engine: Engine
    frames_per_second: float
    """Measured rate of the fastest backend here, for frames of `measured_pixels`."""
    measured_pixels: int
    is_fixed_size: bool
    """Whether all frames are resized to one size, so that the rate is the same for all."""


def import_style(
    candidate: Candidate,
    reading: Reading,
    options: ImportOptions,
    folder: Path,
    on_notice: Callable[[str], None],
) -> ImportedStyle:
    """Wrap, convert and check a network, and write it as a style.

    Args:
        candidate: The file.
        reading: Order and ranges of its values.
        options: What the user says about it.
        folder: Folder of the user's styles; a style of the same name is replaced.
        on_notice: Called with a line for each thing that was decided or left out.

    Returns:
        The style.

    Raises:
        EngineError: The check refuses the style. Nothing was written to the folder.
        TargetError: The folder cannot be written.
    """
    multiple_of = choose_multiple(candidate, options)
    frames = checked_frames(candidate, multiple_of)
    wanted = _plain_cartoons(candidate, reading, frames)
    with tempfile.TemporaryDirectory() as scratch:
        engine = Engine(_make_card(candidate, reading, options, multiple_of), Path(scratch))
        engine = _write_files(engine, candidate, reading, on_notice)
        checked = check_engine(engine, frames, wanted, on_notice)
        engine = checked.engine
        if options.calibration is not None:
            from toonvid.importing.calibration import add_int8

            engine = add_int8(engine, options.calibration, on_notice)
        added = copy_engine(engine, folder)
    height, width = frames.shape[1:3]
    return ImportedStyle(
        engine=added,
        frames_per_second=1 / checked.frame_seconds,
        measured_pixels=height * width,
        is_fixed_size=candidate.sizes.fixed is not None,
    )


def style_name(path: Path) -> str:
    """Make the name of a style from a file's name."""
    words = re.sub(r"[^a-z0-9]+", "-", path.name.split(".")[0].lower()).strip("-")
    return words[:64] or "imported"


def choose_multiple(candidate: Candidate, options: ImportOptions) -> int:
    """Choose what the sides of frames must be multiples of, in pixels.

    Raises:
        EngineError: The network does not keep the size of frames of the multiples asked for.
    """
    needed = candidate.sizes.multiple_of
    if candidate.sizes.fixed is not None:
        return 1
    if options.multiple_of is not None:
        if options.multiple_of % needed:
            raise EngineError(
                f"{candidate.source}: the network keeps the size of frames only if their sides are"
                f" multiples of {needed}, which --multiple-of {options.multiple_of} is not"
            )
        return options.multiple_of
    family = FAMILIES[options.family].multiple_of if options.family else 1
    return math.lcm(needed, family)


def describe_reading(candidate: Candidate, reading: Reading) -> str:
    """Describe how values are read: layout, order, ranges."""
    ranges: str = reading.input_range
    if reading.output_range != reading.input_range:
        ranges += f" to {reading.output_range}"
    return f"{candidate.layout}, {reading.order.upper()}, {ranges}"


def _plain_cartoons(candidate: Candidate, reading: Reading, frames: Pixels) -> Pixels:
    """Run the file as it is, and refuse what is no cartoon."""
    cartoons, values = candidate.network.cartoons(frames, candidate.layout, reading)
    if not np.isfinite(values).all():
        raise EngineError(f"{candidate.source} is not kept: it gives NaN or infinite values")
    if cartoons.shape != frames.shape:
        raise EngineError(
            f"{candidate.source} is not kept: it keeps the size of some frames, but turns"
            f" {_size(frames)} into {_size(cartoons)}; --multiple-of may help"
        )
    if flaw := find_flaw(frames, cartoons):
        raise EngineError(
            f"{candidate.source} is not kept: its cartoon is {flaw};"
            " --sheet shows it with other ranges and orders"
        )
    return cartoons


def _size(frames: Pixels) -> str:
    return f"{frames.shape[2]}x{frames.shape[1]}"


def _make_card(
    candidate: Candidate, reading: Reading, options: ImportOptions, multiple_of: int
) -> EngineCard:
    name = options.name or style_name(candidate.source)
    if not STYLE_NAME.fullmatch(name):
        raise EngineError(f"style name {name!r}: use a-z, 0-9, - and _ (--name)")
    family = FAMILIES[options.family] if options.family else None
    size = candidate.sizes.fixed
    height, width = size or (256, 256)
    multiply_adds = candidate.network.count_multiply_adds(
        image_shape(candidate.layout, height, width)
    )
    notes = [
        f"Imported from {candidate.source.name}.",
        f"A network of the family {family.title}." if family else "",
        f"Frames are resized to {width}x{height} and back." if size else "",
        f"Meant for frames of at least {family.smallest_side} pixels on each side."
        if family and family.smallest_side > 1
        else "",
    ]
    return EngineCard(
        style=name,
        title=options.title or name.replace("-", " ").replace("_", " ").capitalize(),
        description=" ".join(filter(None, notes)),
        sha256={name + FILE_SUFFIXES["f32"]: ""},
        parameters=candidate.network.count_parameters(),
        multiply_adds_per_pixel=round(multiply_adds / (height * width)),
        license=options.license or _NOT_STATED,
        recipe=f"{IMPORTED}{candidate.source.name}, SHA-256 {candidate.sha256};"
        f" {describe_reading(candidate, reading)}",
        multiple_of=multiple_of,
        opset=candidate.model.opset_import[0].version if candidate.model else 0,
    )


def _write_files(
    engine: Engine, candidate: Candidate, reading: Reading, on_notice: Callable[[str], None]
) -> Engine:
    """Write the wrapped network in all precisions to the engine's folder, without its card."""
    style = engine.card.style
    if candidate.model is None:
        from toonvid.importing.tensorflow_file import wrap_for_openvino

        graph = engine.folder / f"{style}.xml"
        ov.save_model(wrap_for_openvino(candidate, reading), graph, compress_to_fp16=False)
        names = [graph.name, f"{style}.bin"]
    else:
        files = _make_files(candidate, candidate.model, reading, on_notice)
        names = [engine.card.file_name(precision) for precision in files]
        for name, content in zip(names, files.values(), strict=True):
            (engine.folder / name).write_bytes(content)
    hashes = {
        name: hashlib.sha256((engine.folder / name).read_bytes()).hexdigest() for name in names
    }
    return Engine(replace(engine.card, sha256=hashes), engine.folder)


def _make_files(
    candidate: Candidate,
    model: ModelProto,
    reading: Reading,
    on_notice: Callable[[str], None],
) -> dict[Precision, bytes]:
    """Wrap a network, and convert it to float16 if that is possible."""
    # Both raise errors of ONNX, which have no common base, for graphs that its checks let pass.
    try:
        wrapped = wrap(
            network=model,
            layout=candidate.layout,
            output_layout=candidate.output_layout,
            reading=reading,
            fixed_size=candidate.sizes.fixed,
        )
    except Exception as error:
        raise EngineError(
            f"{candidate.source} is not kept: toonvid's nodes cannot be put around it:"
            f" {one_line(error)}"
        ) from error
    files: dict[Precision, bytes] = {"f32": wrapped.SerializeToString()}
    try:
        files["f16"] = to_float16(wrapped).SerializeToString()
    except Exception as error:
        on_notice(f"f16 is left out: it cannot be made ({one_line(error)})")
    return files
