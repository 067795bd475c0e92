"""Turns a video into a cartoon: python examples/convert_with_progress.py [VIDEO] [CARTOON]."""

import sys
from fractions import Fraction
from pathlib import Path

import toonvid
from toonvid.bench.demo_scene import write_scene


def show(progress: toonvid.Progress) -> None:
    """Called after every frame, on the thread that called `convert`."""
    total = progress.info.frame_count or "?"  # not every source says how many frames it has
    print(f"\rframe {progress.frames} of {total}", end="", flush=True)


def main(source: str | None = None, target: str = "scene.toon.mp4") -> None:
    if source is None:
        source = "scene.mp4"
        if not Path(source).exists():
            write_scene(Path(source), 320, 180, Fraction(12), 2.0)

    options = toonvid.ConvertOptions(
        stylizing=toonvid.StylizeOptions(strength=0.9),
        encoding=toonvid.EncodeOptions(crf=20, overwrite=True),
    )
    try:
        with toonvid.open_backend(toonvid.find_engine("ink")) as backend:
            done = toonvid.convert(source, target, backend, options, on_progress=show)
    except toonvid.ToonvidError as error:
        sys.exit(f"\n{error}")
    print(f"\nwrote {done.target}: {done.frames} frames in {done.seconds:.1f} s")
    for notice in done.notices:  # for example a subtitle that the container cannot hold
        print(f"note: {notice}")
    if done.damage:
        print(f"the source is damaged: {done.damage}")


if __name__ == "__main__":
    main(*sys.argv[1:])
