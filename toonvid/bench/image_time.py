"""A still picture: how long `toonvid convert` takes for one, from its start to its end."""

from __future__ import annotations

import tempfile
from pathlib import Path

import av

from toonvid.bench.child_process import convert_in_subprocess
from toonvid.bench.demo_scene import draw_scene

_SIZE = (1280, 720)


def measure_image_seconds(options: tuple[str, ...]) -> float:
    """Convert a picture of our own scene, 1280x720, in a new process.

    Args:
        options: More words for the command line.
    """
    with tempfile.TemporaryDirectory(prefix="toonvid-bench-") as name:
        picture = Path(name) / "picture.png"
        with av.open(str(picture), "w", format="image2", options={"update": "1"}) as container:
            stream = container.add_stream("png", rate=1)
            stream.width, stream.height = _SIZE
            stream.pix_fmt = "rgb24"
            drawn = av.VideoFrame.from_ndarray(draw_scene(*_SIZE, 0.0), format="rgb24")
            container.mux(stream.encode(drawn))
            container.mux(stream.encode(None))
        return convert_in_subprocess(picture, Path(name) / "cartoon.png", options).seconds
