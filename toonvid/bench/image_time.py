"""Time of a whole `toonvid convert` with a still image, from start to end of the process.

In: options for the command line. Out: seconds.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import av

from toonvid.bench.child_process import convert_in_subprocess
from toonvid.bench.demo_scene import draw_scene

_SIZE = (1280, 720)


def measure_image_seconds(arguments: tuple[str, ...]) -> tuple[float, float]:
    """Convert an image of the demo scene, 1280x720, in a new process, twice.

    Args:
        arguments: Further arguments of `toonvid convert`.

    Returns:
        Wall-clock time in seconds: of the first time, and with the compiled model kept by it.
    """
    with tempfile.TemporaryDirectory(prefix="toonvid-bench-") as name:
        image = Path(name) / "image.png"
        with av.open(str(image), "w", format="image2", options={"update": "1"}) as container:
            stream = container.add_stream("png", rate=1)
            stream.width, stream.height = _SIZE
            stream.pix_fmt = "rgb24"
            frame = av.VideoFrame.from_ndarray(draw_scene(*_SIZE, 0.0), format="rgb24")
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        target, models = Path(name) / "cartoon.png", Path(name) / "models"
        first, second = (
            convert_in_subprocess(image, target, arguments, models=models).seconds for _ in range(2)
        )
        return first, second
