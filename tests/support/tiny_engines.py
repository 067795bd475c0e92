"""Tiny engines for tests: real ONNX files and cards, written in milliseconds."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from toonvid.choices import ControlName
from toonvid.engine import Control, Engine, EngineCard
from toonvid.video import Pixels

OPSET = 17
_SHAPE = ["N", "H", "W", 3]


def write_engine(
    folder: Path,
    style: str,
    nodes: list[onnx.NodeProto],
    initializers: tuple[onnx.TensorProto, ...] = (),
    multiple_of: int = 1,
    controls: dict[ControlName, Control] | None = None,
) -> Engine:
    """Write `<style>.onnx` from nodes between `frame`, controls and `cartoon`, and its card."""
    graph = helper.make_graph(
        nodes,
        style,
        [
            helper.make_tensor_value_info("frame", TensorProto.UINT8, _SHAPE),
            *(
                helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])
                for name in controls or {}
            ),
        ],
        [helper.make_tensor_value_info("cartoon", TensorProto.UINT8, _SHAPE)],
        initializer=list(initializers),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    return write_model(folder, style, model, multiple_of, controls)


def write_model(
    folder: Path,
    style: str,
    model: onnx.ModelProto,
    multiple_of: int = 1,
    controls: dict[ControlName, Control] | None = None,
) -> Engine:
    """Write a model, and a card that describes it."""
    folder.mkdir(parents=True, exist_ok=True)
    data = model.SerializeToString()
    (folder / f"{style}.onnx").write_bytes(data)
    card = EngineCard(
        style=style,
        title=style.capitalize(),
        description="For tests.",
        sha256={f"{style}.onnx": hashlib.sha256(data).hexdigest()},
        parameters=0,
        multiply_adds_per_pixel=0,
        license="MIT",
        controls=controls or {},
        multiple_of=multiple_of,
        opset=OPSET,
    )
    (folder / f"{style}.json").write_text(card.to_json(), encoding="utf-8")
    return Engine(card, folder)


def identity_engine(folder: Path, multiple_of: int = 1, style: str = "identity") -> Engine:
    """Write an engine that returns every frame unchanged."""
    # By way of int32, because some backends refuse a graph whose output is its input.
    nodes = [
        helper.make_node("Cast", ["frame"], ["wide"], to=TensorProto.INT32),
        helper.make_node("Cast", ["wide"], ["cartoon"], to=TensorProto.UINT8),
    ]
    return write_engine(folder, style, nodes, multiple_of=multiple_of)


def negative_engine(folder: Path, multiple_of: int = 1) -> Engine:
    """Write an engine that inverts frames: cartoon = 255 - frame."""
    white = helper.make_tensor("white", TensorProto.FLOAT, [1], [255.0])
    nodes = [
        helper.make_node("Cast", ["frame"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["white", "wide"], ["dark"]),
        helper.make_node("Cast", ["dark"], ["cartoon"], to=TensorProto.UINT8),
    ]
    return write_engine(folder, "negative", nodes, (white,), multiple_of)


CONTROLS: dict[ControlName, Control] = {
    "ink": Control(default=1, minimum=0, maximum=2, step=0.1),
    "tones": Control(default=4, minimum=2, maximum=12, step=1),
}
"""The controls of `controlled_engine`."""


def controlled_engine(folder: Path, multiple_of: int = 1) -> Engine:
    """Write an engine with controls: cartoon = frame * ink + 10 * tones, cut off at 0 and 255."""
    constants = [
        helper.make_tensor(name, TensorProto.FLOAT, [], [value])
        for name, value in (("black", 0.0), ("white", 255.0), ("ten", 10.0))
    ]
    nodes = [
        helper.make_node("Cast", ["frame"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["wide", "ink"], ["inked"]),
        helper.make_node("Mul", ["tones", "ten"], ["offset"]),
        helper.make_node("Add", ["inked", "offset"], ["bright"]),
        helper.make_node("Clip", ["bright", "black", "white"], ["cut"]),
        helper.make_node("Cast", ["cut"], ["cartoon"], to=TensorProto.UINT8),
    ]
    return write_engine(folder, "controlled", nodes, tuple(constants), multiple_of, CONTROLS)


def controlled_cartoon(frames: Pixels, ink: float = 1, tones: float = 4) -> Pixels:
    """Return what `controlled_engine` makes of frames."""
    return np.clip(frames * np.float32(ink) + 10 * np.float32(tones), 0, 255).astype(np.uint8)


def doubling_engine(folder: Path) -> Engine:
    """Write an engine that doubles values, for frames below 128: cartoon = 2 frame."""
    nodes = [
        helper.make_node("Cast", ["frame"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["wide", "wide"], ["bright"]),
        helper.make_node("Cast", ["bright"], ["cartoon"], to=TensorProto.UINT8),
    ]
    return write_engine(folder, "doubling", nodes)
