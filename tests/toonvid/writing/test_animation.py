"""The last frame of an animated image gets its duration, and nothing else changes."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from toonvid.writing.animation import finish_animation

CONTROL = b"\x21\xf9\x04"  # as a graphic control extension begins


def write_gif(path: Path, seed: int, side: int) -> bytes:
    """A GIF of two frames of noise, 50 ms each; its content."""
    random = np.random.default_rng(seed)
    frames = [Image.fromarray(random.integers(0, 256, (side, side), np.uint8)) for _ in range(2)]
    frames[0].save(path, "GIF", save_all=True, append_images=frames[1:], duration=50)
    return path.read_bytes()


def pixels_of(content: bytes) -> list[bytes]:
    with Image.open(io.BytesIO(content)) as image:
        return [frame.convert("RGB").tobytes() for frame in ImageSequence.Iterator(image)]


def test_the_last_frame_of_a_gif_gets_its_duration(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    before = write_gif(path, 0, 40)
    finish_animation(path, Fraction(3, 10))
    after = path.read_bytes()
    assert pixels_of(after) == pixels_of(before)
    with Image.open(path) as image:
        durations = [frame.info["duration"] for frame in ImageSequence.Iterator(image)]
    assert durations == [50, 300]


def test_pixels_that_look_like_a_block_of_a_gif_are_left_alone(tmp_path: Path) -> None:
    """A comment holds the bytes here, since where noise has them cannot be told."""
    path = tmp_path / "a.gif"
    before = write_gif(path, 0, 40)
    comment = b"\x21\xfe\x08" + CONTROL + b"\1\2\3\4\5" + b"\0"
    path.write_bytes(before[:-1] + comment + before[-1:])
    finish_animation(path, Fraction(3, 10))
    assert path.read_bytes().endswith(comment + before[-1:])
    assert pixels_of(path.read_bytes()) == pixels_of(before)
