"""The demo scene: drawn video with sound, of any size, frame rate and length; always the same.

In: a size and a time. Out: frames, sound, or a file. Sky, hills, houses, water and somebody on a
walk are drawn with NumPy, so that the demo, the benchmark and the tests need no other video.
Changing a pixel here changes measurements and expected values everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream
from numpy.typing import NDArray

from toonvid.video import Pixels

Floats: TypeAlias = NDArray[np.floating]
Color: TypeAlias = tuple[int, int, int]

SAMPLE_RATE = 48000  # samples per second
_SAMPLES_PER_FRAME = 1024  # size of an AAC frame
# Lengths are in units of the frame's height, so that the scene is the same at every size.
_HORIZON = 0.62  # below it are water and its bank
_LOT = 0.3  # distance between houses
_WIDE = 1e4  # wider than any frame
_PAN = 0.035  # movement of the camera per second
_GRAIN = 5.0  # standard deviation of the noise, in levels
_MELODY_HZ = (261.6, 329.6, 392.0, 440.0, 392.0, 329.6, 293.7, 349.2)
_NOTE_SECONDS = 0.5


def draw_scene(width: int, height: int, seconds: float) -> Pixels:
    """Draw the scene at one time.

    Args:
        width: In pixels.
        height: In pixels.
        seconds: Time since the beginning.

    Returns:
        (height, width, 3) uint8, RGB.
    """
    rows, columns = np.indices((height, width), dtype=np.float32) / np.float32(height)
    world = columns + np.float32(_PAN * seconds)  # the camera pans, the world stays
    canvas = _Canvas(np.zeros((height, width, 3), np.float32), columns, world, rows)
    _draw_sky(canvas, seconds)
    _draw_hills(canvas)
    _draw_houses(canvas)
    _draw_water(canvas, seconds)
    _draw_walker(canvas, width / height, seconds)
    random = np.random.default_rng(round(seconds * 1000))
    grain = random.standard_normal((height, width, 1), np.float32) * np.float32(_GRAIN)
    middle = width / height / 2
    vignette = 1 - 0.25 * ((columns - middle) ** 2 + (rows - 0.5) ** 2)  # as lenses do
    pixels: Pixels = np.clip(canvas.colors * vignette[..., None] + grain, 0, 255).astype(np.uint8)
    return pixels


def draw_frames(width: int, height: int, rate: Fraction, seconds: float) -> Iterator[Pixels]:
    """Yield the scene's frames, (height, width, 3) uint8, `rate` of them per second."""
    for index in range(round(seconds * rate)):
        yield draw_scene(width, height, float(index / rate))


def make_sound(seconds: float) -> Floats:
    """Make the scene's sound: surf and a slow melody that moves from side to side.

    Returns:
        (2, samples) float32 in [-1, 1], at `SAMPLE_RATE`.
    """
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    notes = np.asarray(_MELODY_HZ)[(time / _NOTE_SECONDS).astype(int) % len(_MELODY_HZ)]
    phase = 2 * np.pi * np.cumsum(notes) / SAMPLE_RATE
    fade = np.exp(-4 * (time % _NOTE_SECONDS))
    melody = fade * (np.sin(phase) + 0.3 * np.sin(2 * phase))
    noise = np.random.default_rng(1).normal(0, 1, time.size)
    surf = 0.1 * noise * (0.6 + 0.4 * np.sin(2 * np.pi * time / 5))
    balance = 0.5 + 0.3 * np.sin(2 * np.pi * time / 8)
    stereo = np.stack([melody * (1 - balance) + surf, melody * balance + surf])
    return (0.35 * stereo).clip(-1, 1).astype(np.float32)


def write_scene(target: Path, width: int, height: int, rate: Fraction, seconds: float) -> None:
    """Write the scene as a video file with H.264 and AAC.

    Args:
        target: File to write; its suffix selects the container. It is replaced if it exists.
        width: In pixels, even.
        height: In pixels, even.
        rate: Frames per second.
        seconds: Length of the video.
    """
    with av.open(str(target), "w") as container:
        video = container.add_stream("libx264", rate=rate, options={"crf": "16"})
        audio = container.add_stream("aac", rate=SAMPLE_RATE)
        assert isinstance(video, VideoStream) and isinstance(audio, AudioStream)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        audio.codec_context.layout = "stereo"
        samples = make_sound(seconds)
        for begin in range(0, samples.shape[1], _SAMPLES_PER_FRAME):
            piece = np.ascontiguousarray(samples[:, begin : begin + _SAMPLES_PER_FRAME])
            chunk = av.AudioFrame.from_ndarray(piece, format="fltp", layout="stereo")
            chunk.sample_rate, chunk.pts = SAMPLE_RATE, begin
            container.mux(audio.encode(chunk))
        container.mux(audio.encode(None))
        for index, pixels in enumerate(draw_frames(width, height, rate, seconds)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index, 1 / rate
            container.mux(video.encode(frame))
        container.mux(video.encode(None))


@dataclass(frozen=True)
class _Canvas:
    """A frame or a part of it, with the position of each pixel in units of the frame's height."""

    colors: Floats
    """(H, W, 3) float32, 0..255."""
    x: Floats
    """(H, W): distance from the left edge of the frame."""
    world: Floats
    """(H, W): distance from a fixed point of the world, which the camera moves past."""
    y: Floats
    """(H, W): distance from the top."""

    def part(self, left: float, right: float, top: float, bottom: float) -> _Canvas:
        """Return a view of the rectangle between these positions; painting on it paints here."""
        height = self.y.shape[0]
        first, last = max(0, int(left * height)), max(0, int(right * height) + 2)
        upper, lower = max(0, int(top * height)), max(0, int(bottom * height) + 2)
        here = (slice(upper, lower), slice(first, last))
        return _Canvas(self.colors[here], self.x[here], self.world[here], self.y[here])

    def paint(self, cover: Floats, color: Color | Floats) -> None:
        """Blend a color over the canvas.

        Args:
            cover: (H, W) opacity, 0..1.
            color: One color, or (H, W, 3).
        """
        self.colors[:] += (np.asarray(color, np.float32) - self.colors) * cover[..., None]


def _draw_sky(canvas: _Canvas, seconds: float) -> None:
    sky = canvas.part(0, _WIDE, 0, _HORIZON)
    height = np.clip(sky.y / _HORIZON, 0, 1)
    sky.colors[:] = (92, 148, 214)
    sky.paint(height, (238, 214, 188))
    sun = np.hypot(sky.x - 0.3, sky.y - 0.2)
    sky.paint(np.exp(-sun * 7) * 0.7, (255, 236, 190))
    sky.paint(_edge(0.055 - sun), (255, 248, 220))
    for index in range(4):
        drift = sky.world * 0.6 + np.float32(0.012 * seconds + 0.83 * index)
        column = (drift % 1.7) - 0.6
        row = sky.y - np.float32(0.12 + 0.09 * (index * 0.61 % 1))
        puffs = np.zeros_like(sky.x)
        for puff in range(5):
            radius = 0.045 + 0.02 * np.sin(2.1 * puff + index)
            offset = np.hypot(column - 0.07 * puff, (row - 0.012 * np.cos(3.0 * puff)) * 1.6)
            np.maximum(puffs, _edge(radius - offset, softness=18), out=puffs)
        light = 255 - 60 * np.clip(row * 12 + 0.3, 0, 1)
        sky.paint(puffs * 0.92, light[..., None])


def _draw_hills(canvas: _Canvas) -> None:
    layers: tuple[tuple[float, float, float, Color], ...] = (
        (0.47, 0.06, 2.1, (126, 148, 172)),
        (0.53, 0.05, 3.7, (104, 138, 112)),
        (0.585, 0.03, 5.9, (84, 124, 66)),
    )
    land = canvas.part(0, _WIDE, 0.3, _HORIZON + 0.02)
    for level, swing, pitch, color in layers:
        ridge = level + swing * (
            np.sin(land.world * pitch) + 0.4 * np.sin(land.world * pitch * 2.7)
        )
        tufts = np.sin(land.world * 90 + 40 * np.sin(land.y * 70)) * np.sin(land.y * 160)
        light = (1 + 0.09 * tufts) * (1.12 - 1.2 * np.clip(land.y - ridge, 0, 0.2))
        land.paint(_edge(land.y - ridge), _lit(color, light))


def _draw_houses(canvas: _Canvas) -> None:
    walls: tuple[Color, ...] = (
        (222, 196, 158),
        (196, 120, 92),
        (228, 222, 208),
        (170, 178, 150),
        (206, 160, 96),
    )
    shift = float(canvas.world[0, 0])
    last_lot = int((float(canvas.world[0, -1])) / _LOT) + 1
    for lot in range(int(shift / _LOT) - 1, last_lot + 1):
        vary = np.random.default_rng(lot + 1000)
        width, tall = vary.uniform(0.07, 0.11), vary.uniform(0.1, 0.2)
        left, base = lot * _LOT + vary.uniform(0, 0.12), _HORIZON + 0.005
        begin = left - shift
        house = canvas.part(begin - 0.01, begin + width + 0.01, base - 1.6 * tall, base)
        across, up = (house.world - left) / width, (base - house.y) / tall
        facade = np.where(across < 0.62, 1.0, 0.8)
        house.paint(_box(across, up, 0, 1, 0, 1), _lit(walls[lot % len(walls)], facade))
        roof = _edge(1.55 - up - 1.05 * np.abs(across - 0.5), softness=12) * (up > 1)
        house.paint(roof, _lit((150, 62, 48), 1 + 0.12 * np.sign(np.sin(up * 60))))
        for column in (0.16, 0.6):
            for row in (0.14, 0.56):
                frame = _box(across, up, column, column + 0.26, row, row + 0.28)
                house.paint(frame, (244, 240, 226))
                pane = _box(across, up, column + 0.04, column + 0.22, row + 0.04, row + 0.24)
                house.paint(pane, (64, 84, 106))


def _draw_water(canvas: _Canvas, seconds: float) -> None:
    height = canvas.y.shape[0]
    shore = min(round(_HORIZON * height), height - 1)
    mirrored = np.clip(shore - 1 - np.arange(height - shore), 0, None)
    water = canvas.part(0, _WIDE, shore / height, 1)
    water.colors[:] = canvas.colors[mirrored][-water.y.shape[0] :]
    water.paint(np.full_like(water.y, 0.45), (38, 74, 92))
    below = np.clip(water.y - _HORIZON, 0, 1)
    bend = np.sin(water.world * 13 + seconds) * 1.5
    wave = np.sin(water.world * 34 + seconds * 2.2 + 260 * below + bend)
    wave += np.sin(water.world * 57 - seconds * 1.7 + 410 * below - 2 * bend)
    glint = np.clip(wave - 1.45, 0, 1) * 160 * np.clip(below * 6, 0.2, 1)
    water.colors[:] += (wave * 7 + glint)[..., None]
    bank = _HORIZON + 0.27 + 0.012 * np.sin(water.world * 9)
    blades = np.sin(water.world * 140 + 6 * np.sin(water.y * 190)) * np.sin(water.y * 120)
    water.paint(_edge(water.y - bank), _lit((104, 128, 58), 1 + 0.14 * blades))


def _draw_walker(canvas: _Canvas, aspect: float, seconds: float) -> None:
    center = (0.2 + 0.09 * seconds) % (aspect + 0.3) - 0.15
    near = canvas.part(center - 0.12, center + 0.12, 0.65, 1)
    stride = seconds * 5.2
    hip = 0.86 + 0.006 * abs(np.sin(stride))
    shoulder = hip - 0.1
    for side in (0, np.pi):
        foot = center + 0.055 * np.sin(stride + side)
        _draw_limb(near, (center, hip), (foot, 0.95), 0.013, (44, 52, 92))
    _draw_limb(near, (center, shoulder), (center, hip), 0.027, (190, 48, 44))
    for side in (0, np.pi):
        hand = center + 0.045 * np.sin(stride + side + np.pi)
        _draw_limb(near, (center, shoulder), (hand, hip - 0.015), 0.009, (226, 172, 138))
    head = np.hypot(near.x - center, near.y - (hip - 0.155))
    near.paint(_edge(0.028 - head), (232, 184, 150))
    near.paint(_edge(0.03 - head) * (near.y < hip - 0.163), (74, 46, 30))


def _draw_limb(
    canvas: _Canvas,
    begin: tuple[float, float],
    end: tuple[float, float],
    radius: float,
    color: Color,
) -> None:
    """Draw a thick line with round ends, lit from the left."""
    (x0, y0), (x1, y1) = begin, end
    along = (canvas.x - x0) * (x1 - x0) + (canvas.y - y0) * (y1 - y0)
    along = np.clip(along / ((x1 - x0) ** 2 + (y1 - y0) ** 2), 0, 1)
    aside = canvas.x - x0 - along * (x1 - x0)
    away = np.hypot(aside, canvas.y - y0 - along * (y1 - y0))
    light = np.clip(0.95 - 0.3 * aside / radius, 0.6, 1.25)
    canvas.paint(_edge(radius - away), _lit(color, light))


def _lit(color: Color, light: Floats) -> Floats:
    colors: Floats = np.asarray(color, np.float32) * light[..., None].astype(np.float32)
    return colors


def _edge(inside: Floats, softness: float = 1.0) -> Floats:
    """Return 1 where `inside` is positive and 0 where it is negative, with a soft edge."""
    cover: Floats = np.clip(inside * np.float32(700 / softness) + np.float32(0.5), 0, 1)
    return cover


def _box(
    across: Floats, up: Floats, left: float, right: float, bottom: float, top: float
) -> Floats:
    sides = np.minimum(across - left, right - across)
    return _edge(np.minimum(sides, np.minimum(up - bottom, top - up)), softness=8)
