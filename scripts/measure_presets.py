"""Measure x264's presets on cartoons: encoding alone, by turns, with file size and quality.

    python scripts/measure_presets.py [SOURCE] [--style ink] [--size 720p] [--seconds 4]

All at CRF 18. A preset that searches less gives larger files, and some lose a little more of the
frames, so the PSNR is printed as well. SOURCE is a video; without it the demo scene is used.
"""

from __future__ import annotations

import argparse
import tempfile
from fractions import Fraction
from pathlib import Path
from statistics import median

import av
import numpy as np

from toonvid.backends import open_backend
from toonvid.bench.stages import HeldFrames, encode_alone, hold_frames, repeat_frames
from toonvid.bench.test_video import write_test_video
from toonvid.bench.work_time import WorkTime
from toonvid.engine import find_engine
from toonvid.ffmpeg.filter_graphs import encoder_graph

OURS = "(ours)"
PRESETS = (OURS, "ultrafast", "superfast", "veryfast", "faster", "fast", "medium")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("source", nargs="?", type=Path)
    parser.add_argument("--style", default="ink")
    parser.add_argument("--size", default="720p", help="short side of the frames, as in 720p")
    parser.add_argument("--seconds", type=float, default=4, help="length of the video")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    work: dict[str, list[WorkTime]] = {preset: [] for preset in PRESETS}
    sizes, psnr = {}, {}
    with tempfile.TemporaryDirectory(prefix="toonvid-presets-") as name:
        video, target = Path(name) / "video.mp4", Path(name) / "target.mp4"
        write_test_video(video, options.source, int(options.size.rstrip("p")), options.seconds)
        with open_backend(find_engine(options.style)) as backend:
            held = hold_frames(video, backend)
        for _ in range(options.rounds):
            for preset in PRESETS:
                work[preset].append(encode_alone(held, target, None if preset == OURS else preset))
                if preset not in sizes:
                    sizes[preset] = target.stat().st_size
                    psnr[preset] = luma_psnr(held, target)
    print(f"{options.style}, {options.size}, {held.frames} frames")
    print("preset      frames/s  CPU ms per frame  kB per frame  PSNR of luma, dB")
    for preset, done in work.items():
        rate = median(each.rate for each in done)
        cpu_ms = 1000 * median(each.cpu_seconds_per_frame for each in done)
        kilobytes = sizes[preset] / held.frames / 1000
        print(f"{preset:10s} {rate:9.1f} {cpu_ms:17.1f} {kilobytes:13.1f} {psnr[preset]:17.2f}")


def luma_psnr(held: HeldFrames, target: Path) -> float:
    """Return the PSNR of a target's luma against the cartoons that the encoder got, in dB."""
    height, width = held.cartoons[0].pixels.shape[:2]
    color = held.info.color
    graph = encoder_graph(width, height, (width, height), "yuv420p", color, False, False)
    errors = []
    with av.open(str(target)) as container:
        cartoons = repeat_frames(held.cartoons, held.frames)
        for cartoon, found in zip(cartoons, container.decode(video=0), strict=True):
            given = av.VideoFrame.from_numpy_buffer(cartoon.pixels, format="rgb24")
            given.pts, given.time_base = cartoon.pts, Fraction(1, av.time_base)
            graph.vpush(given)
            expected = graph.vpull().to_ndarray()[:height].astype(int)
            errors.append(np.square(found.to_ndarray()[:height] - expected).mean())
    return float(10 * np.log10(255**2 / np.mean(errors)))


if __name__ == "__main__":
    main()
