"""The demo scene: drawn video with sound, of any size, frame rate and length; always the same.

In: a size and a time. Out: frames, sound, or a file. A village at a lake and somebody on a walk are
drawn with NumPy, so that the demo, the benchmark and the tests need no other video. Surfaces have
the texture, soft light and sensor noise of a photo, so that a style has something to simplify.
Changing a pixel here changes measurements and expected values everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from toonvid.bench.canvas import Canvas, Color, Floats, box, edge, lit, texture
from toonvid.video import Pixels

SAMPLE_RATE = 48000  # samples per second
_SAMPLES_PER_FRAME = 1024  # size of an AAC frame
# Lengths are in units of the frame's height, so that the scene is the same at every size.
_HORIZON = 0.6  # below it are water and its bank
_LOT = 0.34  # distance between houses
_WIDE = 1e4  # wider than any frame
_PAN = 0.035  # movement of the camera per second
_SENSOR_NOISE = 4.0  # standard deviation, in levels
_SMOOTH = 1.7  # steepness of textures without fine detail
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
    canvas = Canvas(np.zeros((height, width, 3), np.float32), columns, world, rows)
    _draw_sky(canvas, seconds)
    _draw_hills(canvas)
    _draw_village(canvas)
    _draw_water(canvas, seconds)
    _draw_bank(canvas)
    _draw_walker(canvas, width / height, seconds)
    random = np.random.default_rng(round(seconds * 1000))
    noise = random.standard_normal((height, width, 1), np.float32) * np.float32(_SENSOR_NOISE)
    middle = width / height / 2
    vignette = 1.04 - 0.22 * ((columns - middle) ** 2 + (rows - 0.5) ** 2)  # as lenses do
    pixels: Pixels = np.clip(canvas.colors * vignette[..., None] + noise, 0, 255).astype(np.uint8)
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


def write_scene(
    target: Path,
    width: int,
    height: int,
    rate: Fraction,
    seconds: float,
    on_progress: Callable[[float], None] = lambda _: None,
) -> None:
    """Write the scene as a video file with H.264 and AAC.

    Args:
        target: File to write; its suffix selects the container. It is replaced if it exists.
        width: In pixels, even.
        height: In pixels, even.
        rate: Frames per second.
        seconds: Length of the video.
        on_progress: Called after each frame, with how many seconds of the video are drawn.
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
            on_progress(float((index + 1) / rate))
        container.mux(video.encode(None))


def _draw_sky(canvas: Canvas, seconds: float) -> None:
    sky = canvas.part(0, _WIDE, 0, _HORIZON)
    height = np.clip(sky.y[:, :1] / _HORIZON, 0, 1)
    far = height[..., None] ** np.float32(0.8)
    sky.colors[:] = np.array((70, 124, 196), np.float32) * (1 - far)
    sky.colors[:] += np.array((222, 214, 202), np.float32) * far
    distance = np.hypot(sky.x - 0.3, sky.y - 0.1)
    sky.paint(np.exp(-distance * 5) * np.float32(0.7), (255, 240, 208))
    # Clouds get smaller and denser toward the horizon.
    depth = np.float32(0.75) - height * np.float32(0.5)
    across = sky.world[:1] * np.float32(0.25) + np.float32(0.004 * seconds)
    across, down = across / depth, np.float32(0.22) / depth
    mass = texture(across, down, scale=1.7, steepness=_SMOOTH)
    sunward = texture(across - np.float32(0.014), down - np.float32(0.02), 1.7, steepness=_SMOOTH)
    cover = np.clip(mass * np.float32(0.9) - np.float32(0.2), 0, 1)
    light = np.clip(236 - sunward * 26 + (mass - sunward) * 60, 150, 255)
    sky.paint(cover, lit((1, 0.99, 0.97), light))


def _draw_hills(canvas: Canvas) -> None:
    layers: tuple[tuple[float, float, float, Color, float], ...] = (
        (0.43, 0.04, 6.0, (136, 152, 172), 5),  # level, swing, edge softness by distance
        (0.485, 0.03, 3.0, (112, 132, 128), 3),
        (0.535, 0.022, 1.6, (78, 98, 64), 2),
    )
    for index, (level, swing, haze, color, softness) in enumerate(layers):
        land = canvas.part(0, _WIDE, level - 4.5 * swing, _HORIZON + 0.02)
        offset = np.full((1, 1), 0.37 * index + 0.13, np.float32)
        ridge = level + swing * texture(land.world[:1] * 0.5, offset, steepness=_SMOOTH)
        ridge += np.float32(0.0045 / haze) * texture(land.world[:1], offset, scale=0.3)
        trees = texture(land.world[:1], land.y[:, :1] * 1.8, scale=0.2 + 0.12 * index)
        slope = texture(land.world[:1], land.y[:, :1], scale=1.5, steepness=_SMOOTH)
        light = 1 + (trees * np.float32(0.16) + slope * np.float32(0.12)) * np.float32(2 / haze)
        land.paint(edge(land.y - ridge, softness), lit(color, light))


def _draw_village(canvas: Canvas) -> None:
    walls: tuple[Color, ...] = (
        (214, 190, 154),
        (186, 116, 92),
        (222, 216, 204),
        (164, 172, 150),
        (204, 162, 104),
    )
    shift = float(canvas.world[0, 0])
    last_lot = int((float(canvas.world[0, -1])) / _LOT) + 1
    for lot in range(int(shift / _LOT) - 1, last_lot + 1):
        vary = np.random.default_rng(lot + 1000)
        width, tall = vary.uniform(0.14, 0.2), vary.uniform(0.11, 0.19)
        left = lot * _LOT + vary.uniform(0, 0.1)
        _draw_tree(canvas, left - shift - vary.uniform(0.0, 0.05), vary.uniform(0.06, 0.09))
        _draw_house(canvas, left - shift, width, tall, walls[lot % len(walls)])
        _draw_tree(canvas, left - shift + width * 1.05, vary.uniform(0.03, 0.05))


def _draw_house(canvas: Canvas, left: float, width: float, tall: float, wall: Color) -> None:
    base = _HORIZON + 0.005
    house = canvas.part(left - 0.03, left + width + 0.03, base - 1.7 * tall, base)
    if not house.x.size:
        return
    across, up = (house.x - left) / width, (base - house.y) / tall
    plaster = texture(house.world[:1], house.y[:, :1], scale=0.35)
    stains = texture(house.world[:1] * 2, house.y[:, :1], scale=1.5, steepness=_SMOOTH)
    light = 1.02 + 0.05 * plaster + 0.06 * stains - 0.16 * across
    light -= 0.3 * np.clip(up * 8 - 6.6, 0, 1) + 0.2 * np.clip(0.12 - up, 0, 1) / 0.12
    house.paint(box(across, up, 0, 1, 0, 1.05), lit(wall, light))
    for column in (0.1, 0.4, 0.7):
        for row in (0.13, 0.56):
            bottom = -0.05 if (column, row) == (0.4, 0.13) else row  # a door
            frame = box(across, up, column, column + 0.2, bottom, row + 0.28)
            house.paint(frame, lit((226, 220, 206), light))
            pane = box(across, up, column + 0.025, column + 0.175, bottom + 0.03, row + 0.25)
            glass = np.clip((row + 0.25 - up) * 5 + 0.25 * stains, 0.1, 1)
            house.paint(pane, lit((96, 112, 128), 0.25 + 0.75 * glass))
            bars = np.minimum(np.abs(across - column - 0.1), np.abs(up - row - 0.12) * 0.6)
            house.paint(pane * edge(0.008 - bars, softness=8), lit((226, 220, 206), light))
    rows = np.sin(up * 130 + 0.8 * plaster)
    roof = edge(np.minimum(1.62 - up - 1.05 * np.abs(across - 0.5), up - 0.98), softness=6)
    tiles = 1.05 + 0.13 * plaster + 0.1 * rows - 0.25 * (across > 0.5) + 0.1 * stains
    house.paint(roof, lit((142, 74, 58), tiles))


def _draw_tree(canvas: Canvas, center: float, radius: float) -> None:
    foot = _HORIZON + 0.005
    middle = foot - 1.5 * radius
    tree = canvas.part(center - 1.4 * radius, center + 1.4 * radius, foot - 3 * radius, foot)
    if not tree.x.size:
        return
    trunk = np.abs(tree.x - center) < 0.09 * radius
    tree.paint(trunk * edge(tree.y - middle), (70, 54, 42))
    across, down = (tree.x - center) / radius, (tree.y - middle) / radius
    leaves = texture(tree.world[:1], tree.y[:, :1], scale=0.16)
    branches = texture(tree.world[:1], tree.y[:, :1], scale=0.35, steepness=_SMOOTH)
    inside = 1.05 - np.hypot(across, down * 0.85) + 0.1 * leaves + 0.12 * branches
    light = 0.85 - 0.35 * (across + down) + 0.28 * branches + 0.28 * leaves
    tree.paint(edge(inside * radius, softness=3), lit((84, 110, 50), np.clip(light, 0.25, 1.8)))


def _draw_water(canvas: Canvas, seconds: float) -> None:
    height, width = canvas.y.shape
    shore = min(round(_HORIZON * height), height - 1)
    water = canvas.part(0, _WIDE, shore / height, 1)
    below = water.y[:, :1] - np.float32(shore / height) + np.float32(0.02)
    # Ripples are seen from above nearby and from the side far away.
    distance = np.float32(0.06) / below
    ripples = texture(
        water.world[:1] + np.float32(0.03 * seconds),
        distance * 3 + np.float32(0.05 * seconds),
        scale=0.9,
    )
    rows = np.arange(water.y.shape[0], dtype=np.float32)[:, None]
    mirrored = shore - 1 - rows + ripples * (below * np.float32(0.06 * height))
    mirrored = np.clip(mirrored, 0, shore - 1 if shore else 0).astype(np.int32)
    columns = np.arange(width)[None]
    water.colors[:] = canvas.colors[mirrored, columns]
    water.paint(0.25 + below * np.float32(0.9) + 0 * water.y, (40, 66, 74))
    water.colors[:] += (ripples * (5 + 24 * below))[..., None]


def _draw_bank(canvas: Canvas) -> None:
    bank = canvas.part(0, _WIDE, _HORIZON + 0.2, 1)
    shape = texture(bank.world[:1], np.zeros((1, 1), np.float32), steepness=_SMOOTH)
    inside = bank.y - np.float32(_HORIZON + 0.255) - np.float32(0.012) * shape
    # Blades of grass get longer toward the camera.
    near = np.float32(0.3) / (np.float32(1.3) - bank.y[:, :1])
    blades = texture(bank.world[:1] * 2.4, bank.y[:, :1] * 0.9, scale=0.5)
    ground = texture(bank.world[:1] * 0.7, near * 0.8, scale=0.8, steepness=_SMOOTH)
    light = 0.9 + np.float32(0.2) * blades + np.float32(0.14) * ground
    bank.paint(edge(inside + np.float32(0.006) * blades, softness=2), lit((98, 112, 56), light))
    path = np.abs(bank.y - np.float32(0.955) - np.float32(0.008) * shape)
    sand = lit((176, 158, 128), 0.95 + np.float32(0.07) * blades + np.float32(0.06) * ground)
    bank.paint(edge(0.022 - path + np.float32(0.006) * ground, softness=14), sand)


def _draw_walker(canvas: Canvas, aspect: float, seconds: float) -> None:
    center = (0.42 + 0.09 * seconds) % (aspect + 0.5) - 0.2
    near = canvas.part(center - 0.2, center + 0.2, 0.4, 1)
    if not near.x.size:
        return
    cloth = texture(near.x[:1] - np.float32(center), near.y[:, :1] * 0.6, 0.5, steepness=_SMOOTH)
    weave = texture(near.x[:1] - np.float32(center), near.y[:, :1], scale=0.2)
    folds = 0.14 * cloth + 0.04 * weave
    stride = seconds * 4.2
    hip = 0.74 + 0.006 * abs(np.sin(stride))
    shoulder = hip - 0.15
    ground = np.hypot((near.x - center - 0.03) / 0.13, (near.y - 0.962) / 0.016)
    near.shade(np.clip(1.3 - ground, 0, 1), 0.5)  # shadow
    for side in (np.pi, 0):
        swing = np.sin(stride + side)
        hand = (center + 0.075 * np.sin(stride + side + np.pi), hip + 0.005)
        elbow = (center + 0.02 * np.sin(stride + side + np.pi), shoulder + 0.085)
        knee = (center + 0.045 * swing + 0.01, hip + 0.1)
        foot = (center + 0.085 * swing, 0.955 - 0.012 * max(0.0, float(np.cos(stride + side))))
        legs = folds - (0.12 if side else 0)
        _draw_limb(near, foot, (foot[0] + 0.028, foot[1] + 0.003), 0.011, (58, 44, 38), legs)
        _draw_limb(near, knee, foot, 0.0165, (62, 76, 104), legs)
        _draw_limb(near, (center, hip), knee, 0.024, (62, 76, 104), legs)
        if not side:
            _draw_limb(near, (center, shoulder), (center, hip - 0.024), 0.038, (168, 62, 52), folds)
            _draw_head(near, center + 0.006, shoulder - 0.082, weave)
        arm = folds - (0.2 if side else 0)
        _draw_limb(near, hand, (hand[0] + 0.004, hand[1] + 0.008), 0.011, (206, 156, 128), arm)
        _draw_limb(near, elbow, hand, 0.0125, (168, 62, 52), arm)
        _draw_limb(near, (center, shoulder + 0.005), elbow, 0.017, (168, 62, 52), arm)


def _draw_head(canvas: Canvas, center: float, middle: float, grain: Floats) -> None:
    """Draw a head that looks to the right and toward the camera."""
    skin: Color = (218, 168, 140)
    zero = np.zeros_like(grain)
    neck = (center - 0.006, middle + 0.02)
    _draw_limb(canvas, neck, (center - 0.008, middle + 0.055), 0.016, skin, zero - 0.25)
    across, down = (canvas.x - center) / 0.036, (canvas.y - middle) / 0.046
    face = edge((1 - np.hypot(across, down)) * 0.04)
    light = 1.05 - 0.22 * across**2 + 0.03 * grain - 0.12 * np.clip(down, 0, 1)
    light -= 0.1 * np.clip(-across, 0, 1)
    canvas.paint(face, lit(skin, light))
    canvas.paint(face * _spot(across, down, 0.35, 0.3, 0.3, 0.22) * 0.3, (224, 120, 104))  # cheek
    for eye in (0.12, 0.68):
        canvas.paint(face * _spot(across, down, eye, -0.1, 0.17, 0.1), (238, 232, 226))
        canvas.paint(face * _spot(across, down, eye + 0.04, -0.1, 0.08, 0.1), (48, 34, 28))
        canvas.paint(face * _spot(across, down, eye, -0.3, 0.2, 0.05), (74, 50, 36))  # brow
    canvas.paint(face * _spot(across, down, 0.48, 0.2, 0.06, 0.14) * 0.5, (150, 98, 78))  # nose
    canvas.paint(face * _spot(across, down, 0.4, 0.52, 0.24, 0.07), (158, 76, 70))  # mouth
    hair = np.hypot(across + 0.12, down + 0.18) - 0.06 * grain
    bare = np.hypot(across - 0.42, down - 0.42)
    cover = edge(np.minimum(1.1 - hair, bare - 1.0) * 0.04) * (down < 0.55)
    strands = 1 + 0.25 * grain - 0.3 * across - 0.35 * down
    canvas.paint(cover, lit((84, 58, 42), np.clip(strands, 0.4, 1.8)))


def _spot(across: Floats, down: Floats, x: float, y: float, wide: float, tall: float) -> Floats:
    """Return the opacity of a small ellipse on a face, in coordinates of the face."""
    return edge((1 - np.hypot((across - x) / wide, (down - y) / tall)) * 0.006)


def _draw_limb(
    canvas: Canvas,
    begin: tuple[float, float],
    end: tuple[float, float],
    radius: float,
    color: Color,
    folds: Floats,
) -> None:
    """Draw a thick line with round ends, lit from the left; `folds` is added to the light."""
    (x0, y0), (x1, y1) = begin, end
    along = (canvas.x - x0) * (x1 - x0) + (canvas.y - y0) * (y1 - y0)
    along = np.clip(along / ((x1 - x0) ** 2 + (y1 - y0) ** 2), 0, 1)
    aside = canvas.x - x0 - along * (x1 - x0)
    away = np.hypot(aside, canvas.y - y0 - along * (y1 - y0))
    light = np.clip(0.95 - 0.3 * aside / radius, 0.6, 1.25) + folds
    canvas.paint(edge(radius - away), lit(color, light))
