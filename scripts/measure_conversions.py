"""Measure the CPU time of color conversions of frames, in FFmpeg and in OpenVINO.

    python scripts/measure_conversions.py [ENGINE.onnx]

With an engine, OpenVINO's own conversion from YUV is measured in front of it as well.
docs/research/performance.md says what was chosen, and why.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.filter.graph import Graph
from av.video.frame import VideoFrame

from toonvid.bench.demo_scene import draw_scene
from toonvid.engine import read_engine
from toonvid.ffmpeg.color import FrameFormat
from toonvid.ffmpeg.filter_graphs import encoder_graph, rgb_graph
from toonvid.video import BT709

WIDTH, HEIGHT = 1280, 720
FRAMES, ROUNDS = 20, 5
ACCURATE = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
TO_RGB = "out_range=pc:in_color_matrix=bt709:in_range=tv:flags="
TO_YUV = "out_color_matrix=bt709:out_range=tv:flags="


def main() -> None:
    scene = VideoFrame.from_ndarray(draw_scene(WIDTH, HEIGHT, 1.0), format="rgb24")
    to_yuv = {
        "ours": encoder_graph(WIDTH, HEIGHT, (WIDTH, HEIGHT), "yuv420p", BT709, False, False),
        "without accurate_rnd": scale_graph("rgb24", TO_YUV + "bicubic+full_chroma_inp", "yuv420p"),
        "no flags": scale_graph("rgb24", TO_YUV + "bicubic", "yuv420p"),
    }
    yuv = convert_frame(to_yuv["ours"], scene)
    kind = FrameFormat(WIDTH, HEIGHT, "yuv420p", BT709, full_range=False, interlaced=False)
    to_rgb = {
        "ours, by way of RGB planes": rgb_graph(kind, Fraction(1, 24), WIDTH, HEIGHT),
        "in one step": scale_graph("yuv420p", TO_RGB + ACCURATE, "rgb24"),
        "in one step, bilinear": scale_graph(
            "yuv420p", TO_RGB + "bilinear+accurate_rnd+full_chroma_int", "rgb24"
        ),
        "no flags": scale_graph("yuv420p", TO_RGB + "bicubic", "rgb24"),
    }
    print(f"{WIDTH}x{HEIGHT}, CPU milliseconds per frame, the best of {ROUNDS} rounds")
    show("rgb24 to yuv420p", {name: conversion(graph, scene) for name, graph in to_yuv.items()})
    show("yuv420p to rgb24", {name: conversion(graph, yuv) for name, graph in to_rgb.items()})
    if len(sys.argv) > 1:
        show(f"{Path(sys.argv[1]).name} in OpenVINO", engine_runs(Path(sys.argv[1])))


def show(title: str, variants: dict[str, Callable[[], np.ndarray]]) -> None:
    """Print the CPU time of all variants, by turns, and their difference from the first one."""
    best = dict.fromkeys(variants, float("inf"))
    expected = next(iter(variants.values()))().astype(int)
    for _ in range(ROUNDS):
        for name, run in variants.items():
            began = time.process_time()
            for _ in range(FRAMES):
                run()
            best[name] = min(best[name], (time.process_time() - began) / FRAMES * 1000)
    print(title)
    for name, run in variants.items():
        difference = np.abs(run().astype(int) - expected).max()
        print(f"  {name:30s} {best[name]:6.2f}   at most {difference:3d} levels from the first")


def conversion(graph: Graph, frame: VideoFrame) -> Callable[[], np.ndarray]:
    """Return a function that sends a frame through a filter graph."""
    return lambda: convert_frame(graph, frame).to_ndarray()


def engine_runs(path: Path) -> dict[str, Callable[[], np.ndarray]]:
    """Return the engine alone, and behind OpenVINO's conversion from limited-range BT.601."""
    import openvino as ov
    from openvino.preprocess import ColorFormat, PrePostProcessor

    core = ov.Core()
    card = read_engine(path).card
    controls = {k: np.array([v], np.float32) for k, v in card.control_values().items()}
    plain = core.read_model(path)
    plain.reshape({card.input: ov.PartialShape([1, HEIGHT, WIDTH, 3])})
    fused = PrePostProcessor(plain.clone())
    tensor = fused.input(card.input).tensor().set_element_type(ov.Type.u8)
    tensor.set_color_format(ColorFormat.I420_SINGLE_PLANE)
    fused.input(card.input).preprocess().convert_color(ColorFormat.RGB)
    random = np.random.default_rng(0)
    found = {}
    for name, model, shape in (
        ("from RGB", plain, (1, HEIGHT, WIDTH, 3)),
        ("from YUV planes", fused.build(), (1, HEIGHT * 3 // 2, WIDTH, 1)),
    ):
        request = core.compile_model(model, "CPU").create_infer_request()
        pixels = random.integers(16, 236, shape, np.uint8)

        def infer(request: ov.InferRequest = request, pixels: np.ndarray = pixels) -> np.ndarray:
            request.infer({card.input: pixels, **controls}, share_inputs=True)
            return request.get_output_tensor(0).data

        found[name] = infer
    return found


def scale_graph(pushed: str, scale: str, wanted: str) -> Graph:
    """Return a graph that converts from one pixel format to another with given flags."""
    graph = Graph()
    colors = "colorspace=bt709:range=tv" if pushed == "yuv420p" else "colorspace=gbr:range=pc"
    size = f"video_size={WIDTH}x{HEIGHT}:pix_fmt={pushed}:time_base=1/24"
    nodes = [
        graph.add("buffer", f"{size}:{colors}"),
        graph.add("scale", f"w={WIDTH}:h={HEIGHT}:{scale}"),
        graph.add("format", wanted),
        graph.add("buffersink"),
    ]
    graph.link_nodes(*nodes)
    graph.configure()
    return graph


def convert_frame(graph: Graph, frame: VideoFrame) -> av.VideoFrame:
    """Send one frame through a filter graph."""
    frame.pts, frame.time_base = 0, Fraction(1, 24)
    graph.vpush(frame)
    return graph.vpull()


if __name__ == "__main__":
    main()
