"""Small networks with the operators and the layout of other people's cartoonizers, random weights.

Each is made at any opset from 9 on with that opset's own operators, and is a few kilobytes large.
They draw nothing; what an import has to get right about their families is in them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from toonvid.choices import FamilyName

OPSETS = (9, 11, 13, 17)
CHANNELS = 8


@dataclass
class Graph:
    """A graph that grows at its end; `last` is its newest tensor, (N, C, H, W)."""

    opset: int
    seed: int = 0
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)
    last: str = ""

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)

    def add(self, kind: str, *inputs: str, **attributes: object) -> str:
        self.last = f"t{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(kind, list(inputs), [self.last], f"{kind}{self.last}", **attributes)
        )
        return self.last

    def weight(self, values: object, kind: type = np.float32) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def conv(self, inputs: int, outputs: int, size: int = 3, stride: int = 1, padded=True) -> str:
        scale = 1.5 / np.sqrt(inputs * size * size)
        values = self.random.normal(0, scale, (outputs, inputs, size, size))
        bias = self.random.normal(0, 0.1, outputs)
        side = size // 2 if padded else 0
        return self.add(
            *("Conv", self.last, self.weight(values), self.weight(bias)),
            kernel_shape=[size, size],
            strides=[stride, stride],
            pads=[side] * 4,
        )

    def reflect_pad(self, side: int) -> str:
        pads = [0, 0, side, side, 0, 0, side, side]
        if self.opset < 11:
            return self.add("Pad", self.last, mode="reflect", pads=pads)
        return self.add("Pad", self.last, self.weight(pads, np.int64), mode="reflect")

    def instance_norm(self, channels: int) -> str:
        scale = self.weight(self.random.normal(1, 0.2, channels))
        bias = self.weight(self.random.normal(0, 0.2, channels))
        return self.add("InstanceNormalization", self.last, scale, bias, epsilon=1e-5)

    def mean(self, tensor: str, axes: list[int]) -> str:
        if self.opset >= 18:
            return self.add("ReduceMean", tensor, self.weight(axes, np.int64), keepdims=1)
        return self.add("ReduceMean", tensor, axes=axes, keepdims=1)

    def layer_adaptive_norm(self, channels: int) -> str:
        """LADE, written out: statistics of a second convolution normalize the first one."""
        image = self.last
        guide = self.conv(channels, channels, size=1)
        mean = self.mean(guide, [2, 3])
        apart = self.add("Sub", guide, mean)
        variance = self.mean(self.add("Mul", apart, apart), [2, 3])
        own_mean = self.mean(image, [2, 3])
        own_apart = self.add("Sub", image, own_mean)
        own_variance = self.mean(self.add("Mul", own_apart, own_apart), [2, 3])
        small = self.weight(np.float32(1e-5))
        own_deviation = self.add("Sqrt", self.add("Add", own_variance, small))
        deviation = self.add("Sqrt", self.add("Add", variance, small))
        normal = self.add("Div", own_apart, own_deviation)
        return self.add("Add", self.add("Mul", normal, deviation), mean)

    def group_norm(self, channels: int, groups: int) -> str:
        """GroupNorm as PyTorch exports it: groups become the channels of an InstanceNorm."""
        image = self.last
        shape = self.add("Shape", image)
        self.add("Reshape", image, self.weight([0, groups, -1], np.int64))
        ones, zeros = self.weight(np.ones(groups)), self.weight(np.zeros(groups))
        normal = self.add("InstanceNormalization", self.last, ones, zeros, epsilon=1e-5)
        self.add("Reshape", normal, shape)
        scale = self.weight(self.random.normal(1, 0.2, (channels, 1, 1)))
        bias = self.weight(self.random.normal(0, 0.2, (channels, 1, 1)))
        return self.add("Add", self.add("Mul", self.last, scale), bias)

    def leaky(self) -> str:
        return self.add("LeakyRelu", self.last, alpha=0.2)

    def double(self, coordinates: str = "half_pixel", mode: str = "linear") -> str:
        """Twice the size: Upsample in opset 9, Resize with the family's coordinates later."""
        scales = self.weight([1, 1, 2, 2])
        if self.opset == 9:
            return self.add("Upsample", self.last, scales, mode=mode)
        if self.opset == 10:
            return self.add("Resize", self.last, scales, mode=mode)
        roi = self.weight([])
        attributes = {"mode": mode, "coordinate_transformation_mode": coordinates}
        if mode == "nearest":
            attributes["nearest_mode"] = "floor"
        return self.add("Resize", self.last, roi, scales, **attributes)

    def model(self, shape: list[int | str | None], names: tuple[str, str]) -> onnx.ModelProto:
        """Finish: the last tensor gets the name of the output."""
        self.nodes[-1].output[0] = names[1]
        sides = [side or f"unk_{at}" for at, side in enumerate(shape)]
        graph = helper.make_graph(
            self.nodes,
            "stranger",
            [helper.make_tensor_value_info(names[0], TensorProto.FLOAT, sides)],
            [helper.make_tensor_value_info(names[1], TensorProto.FLOAT, sides)],
            initializer=self.weights,
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=6
        )


def animegan_v3(opset: int) -> onnx.ModelProto:
    graph = Graph(opset, seed=3, last="AnimeGANv3_input:0")
    graph.add("Transpose", graph.last, perm=[0, 3, 1, 2])
    graph.conv(3, CHANNELS, size=7)
    graph.layer_adaptive_norm(CHANNELS)
    graph.leaky()
    for _ in range(3):
        graph.conv(CHANNELS, CHANNELS, stride=2)
        graph.layer_adaptive_norm(CHANNELS)
        graph.leaky()
    for _ in range(3):
        graph.double()
        graph.conv(CHANNELS, CHANNELS)
        graph.leaky()
    graph.conv(CHANNELS, 3, size=7)
    graph.add("Tanh", graph.last)
    graph.add("Transpose", graph.last, perm=[0, 2, 3, 1])
    model = graph.model([None, None, None, 3], ("AnimeGANv3_input:0", "generator/out:0"))
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 2))  # as tf2onnx writes it
    return model


def animegan_v2(opset: int) -> onnx.ModelProto:
    graph = Graph(opset, seed=2, last="generator_input:0")
    graph.add("Transpose", graph.last, perm=[0, 3, 1, 2])
    graph.reflect_pad(3)
    graph.conv(3, CHANNELS, size=7, padded=False)
    graph.instance_norm(CHANNELS)
    graph.leaky()
    for _ in range(2):
        graph.conv(CHANNELS, CHANNELS, stride=2)
        graph.instance_norm(CHANNELS)
        graph.leaky()
    for _ in range(2):
        graph.double()
        graph.conv(CHANNELS, CHANNELS)
        graph.leaky()
    graph.conv(CHANNELS, 3, size=1)
    graph.add("Tanh", graph.last)
    graph.add("Transpose", graph.last, perm=[0, 2, 3, 1])
    return graph.model([None, None, None, 3], ("generator_input:0", "generator/Tanh:0"))


def face_paint(opset: int, side: int = 64) -> onnx.ModelProto:
    graph = Graph(opset, seed=5, last="input_image")
    graph.reflect_pad(3)
    graph.conv(3, CHANNELS, size=7, padded=False)
    graph.group_norm(CHANNELS, groups=2)
    graph.leaky()
    graph.conv(CHANNELS, CHANNELS, stride=2)
    graph.group_norm(CHANNELS, groups=2)
    graph.leaky()
    graph.double("align_corners")
    graph.conv(CHANNELS, CHANNELS)
    graph.leaky()
    graph.conv(CHANNELS, 3, size=1)
    graph.add("Tanh", graph.last)
    return graph.model([1, 3, side, side], ("input_image", "output_image"))


def whitebox(opset: int) -> onnx.ModelProto:
    graph = Graph(opset, seed=7, last="input_photo:0")
    graph.add("Transpose", graph.last, perm=[0, 3, 1, 2])
    graph.conv(3, CHANNELS, size=7)
    first = graph.leaky()
    graph.conv(CHANNELS, CHANNELS, stride=2)
    graph.leaky()
    graph.conv(CHANNELS, CHANNELS)
    second = graph.leaky()
    graph.conv(CHANNELS, CHANNELS, stride=2)
    graph.leaky()
    graph.double("asymmetric")
    graph.add("Add", graph.last, second)
    graph.conv(CHANNELS, CHANNELS)
    graph.leaky()
    graph.double("asymmetric")
    graph.add("Add", graph.last, first)
    graph.conv(CHANNELS, 3, size=7)  # no activation: not clipped
    graph.add("Transpose", graph.last, perm=[0, 2, 3, 1])
    return graph.model([1, None, None, 3], ("input_photo:0", "output_photo:0"))


def cartoongan(opset: int) -> onnx.ModelProto:
    graph = Graph(opset, seed=11, last="input")
    graph.reflect_pad(3)
    graph.conv(3, CHANNELS, size=7, padded=False)
    graph.instance_norm(CHANNELS)
    graph.add("Relu", graph.last)
    for _ in range(2):
        graph.conv(CHANNELS, CHANNELS, stride=2)
        graph.instance_norm(CHANNELS)
        graph.add("Relu", graph.last)
    for _ in range(2):
        kernel = graph.weight(graph.random.normal(0, 0.2, (CHANNELS, CHANNELS, 3, 3)))
        graph.add(
            *("ConvTranspose", graph.last, kernel),
            kernel_shape=[3, 3],
            strides=[2, 2],
            pads=[1, 1, 1, 1],
            output_padding=[1, 1],
        )
        graph.instance_norm(CHANNELS)
        graph.add("Relu", graph.last)
    graph.conv(CHANNELS, 3, size=7)
    graph.add("Tanh", graph.last)
    return graph.model([1, 3, None, None], ("input", "output"))


def cartoongan_tensorflow(opset: int) -> onnx.ModelProto:
    """The light generator: InstanceNorm is written out with ReduceMean, as TensorFlow does."""
    graph = Graph(opset, seed=13, last="input_1:0")
    graph.add("Transpose", graph.last, perm=[0, 3, 1, 2])
    graph.conv(3, CHANNELS, size=7)
    for stride in (2, 2, 1):
        graph.conv(CHANNELS, CHANNELS, stride=stride)
        image = graph.last
        apart = graph.add("Sub", image, graph.mean(image, [2, 3]))
        variance = graph.mean(graph.add("Mul", apart, apart), [2, 3])
        small = graph.weight(np.float32(1e-5))
        graph.add("Div", apart, graph.add("Sqrt", graph.add("Add", variance, small)))
        graph.add("Relu", graph.last)
    for _ in range(2):
        graph.double("asymmetric", "nearest")
        graph.conv(CHANNELS, CHANNELS)
        graph.add("Relu", graph.last)
    graph.conv(CHANNELS, 3, size=7)
    graph.add("Tanh", graph.last)
    graph.add("Transpose", graph.last, perm=[0, 2, 3, 1])
    return graph.model([None, None, None, 3], ("input_1:0", "conv2d_out:0"))


def fast_neural_style(opset: int, side: int = 64) -> onnx.ModelProto:
    """Like the styles of the ONNX model zoo: values in 0..255, and weights among the inputs."""
    graph = Graph(opset, seed=17, last="input1")
    graph.reflect_pad(4)
    graph.conv(3, CHANNELS, size=9, padded=False)
    graph.instance_norm(CHANNELS)
    graph.add("Relu", graph.last)
    for _ in range(2):
        graph.reflect_pad(1)
        graph.conv(CHANNELS, CHANNELS, stride=2, padded=False)
        graph.instance_norm(CHANNELS)
        graph.add("Relu", graph.last)
    for _ in range(2):
        graph.double("asymmetric", "nearest")
        graph.reflect_pad(1)
        graph.conv(CHANNELS, CHANNELS, padded=False)
        graph.instance_norm(CHANNELS)
        graph.add("Relu", graph.last)
    graph.conv(CHANNELS, 3, size=9)
    graph.add("Mul", graph.last, graph.weight(np.float32(60)))
    graph.add("Add", graph.last, graph.weight(np.float32(120)))
    model = graph.model([1, 3, side, side], ("input1", "output1"))
    model.ir_version = 3 if opset == 9 else 6
    for tensor in graph.weights:
        model.graph.input.append(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        )
    return model


BUILDERS: dict[FamilyName, Callable[[int], onnx.ModelProto]] = {
    "animeganv3": animegan_v3,
    "animeganv2": animegan_v2,
    "face-paint": face_paint,
    "whitebox": whitebox,
    "cartoongan": cartoongan,
    "cartoongan-tf": cartoongan_tensorflow,
    "fast-neural-style": fast_neural_style,
}
