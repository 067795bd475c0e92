"""Cartoons of single images that are already in memory.

NumPy arrays go in and NumPy arrays come out; nothing is read from or written to a file. Videos,
with their audio and their frame times, are converted by `toonvid.convert`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from itertools import groupby

import numpy as np

from toonvid.backends import Backend, open_backend
from toonvid.choices import BackendName, Quality, RequestedPrecision
from toonvid.engine import DEFAULT_STYLE, find_engine
from toonvid.stylizing.options import StylizeOptions
from toonvid.stylizing.stylizer import Stylizer
from toonvid.video import Frame, Pixels

_EXPECTED = "an image is a NumPy array of shape (height, width, 3) and dtype uint8, RGB"
_STILL = Fraction(1)  # time base of a frame whose time nobody asks for


class OpenStyle:
    """A style that is ready to draw. Made by `open_style`; used by one thread at a time."""

    def __init__(self, backend: Backend, options: StylizeOptions | None = None) -> None:
        """Uses an open backend.

        Args:
            backend: Runs the style's engine.
            options: How much of the cartoon is shown; None for all of it.
        """
        self.backend = backend
        """The backend that runs the engine; its `name`, `device` and `precision` can be read."""
        # Images follow each other by chance: nothing is kept from one to the next.
        options = (options or StylizeOptions()).for_source(is_image=True)
        self._stylizer = Stylizer(backend, replace(options, steady=0))

    def stylize(self, image: Pixels) -> Pixels:
        """Turns one image into a cartoon.

        Args:
            image: Shape (H, W, 3), uint8, RGB, of any size. It is not changed.

        Returns:
            A new array of the same shape and dtype.

        Raises:
            TypeError: The image is not a NumPy array.
            ValueError: The array has another shape or dtype.
            BackendError: The backend fails, for example because memory runs out.
        """
        [cartoon] = self.stylize_all([image])
        return cartoon

    def stylize_all(self, images: Iterable[Pixels]) -> Iterator[Pixels]:
        """Turns images into cartoons one after another, faster than one call of `stylize` each.

        A few images are read ahead, because several may be computed at the same time.

        Args:
            images: As for `stylize`. Sizes may differ; runs of one size are fastest.

        Yields:
            One cartoon for each image, in order.

        Raises:
            TypeError, ValueError, BackendError: As for `stylize`.
        """
        # Copied, because an iterable may fill the same array again while the last one is read.
        frames = (Frame(_checked(image).copy(), 0, _STILL) for image in images)
        # A batch of the backend holds images of one size only.
        for _, same_size in groupby(frames, key=lambda frame: frame.pixels.shape):
            for cartoon in self._stylizer.stylize(same_size):
                yield cartoon.pixels


@contextmanager
def open_style(
    style: str = DEFAULT_STYLE,
    backend: BackendName = "auto",
    *,
    device: str | None = None,
    precision: RequestedPrecision = "auto",
    strength: float = 1.0,
    keep_color: bool = False,
    ink: float | None = None,
    tones: float | None = None,
    saturation: float | None = None,
    quality: Quality = "auto",
) -> Iterator[OpenStyle]:
    """Opens a style for many images, so that its engine is loaded and compiled once.

        with toonvid.open_style("ink") as style:
            cartoons = [style.stylize(image) for image in images]

    Args:
        style: Name of a style, as `toonvid styles` lists them, or path of an `.onnx` or `.json`.
        backend: Library that runs the engine; "auto" takes the fastest that works here.
        device: Device as the library names it; None for the best one.
        precision: What the engine computes in; "auto" takes the fastest that is exact enough.
        strength: Share of the cartoon in the result, 0 to 1; the rest is the image itself.
        keep_color: Whether the image keeps its colors and takes only light and dark from the
            cartoon.
        ink: Strength of the lines, for styles that have this control; None for the style's default,
            here and below. `toonvid styles show` prints the controls and ranges of a style.
        tones: Number of tonal steps from black to white.
        saturation: Factor on the distance of a color from gray; 0 is black and white.
        quality: How large images are drawn: "fast", "normal", or "best", which is also "auto".

    Yields:
        The open style.

    Raises:
        ControlError: The style does not have such a control, or the value is outside its range.
        EngineError: There is no such style, or its files are damaged.
        DeviceMissingError: The device or the library that was asked for is not here.
        BackendError: No backend can run the engine.
        ValueError: `strength` is not between 0 and 1, or `backend` is not known.
    """
    options = StylizeOptions(
        strength=strength,
        keep_color=keep_color,
        ink=ink,
        tones=tones,
        saturation=saturation,
        quality=quality,
    )
    engine = find_engine(style)
    engine.card.control_values(options.controls)  # before it is compiled, which takes longer
    with open_backend(engine, backend, device, precision) as opened:
        yield OpenStyle(opened, options)


def stylize(
    image: Pixels,
    style: str = DEFAULT_STYLE,
    backend: BackendName = "auto",
    *,
    strength: float = 1.0,
    keep_color: bool = False,
    ink: float | None = None,
    tones: float | None = None,
    saturation: float | None = None,
    quality: Quality = "auto",
) -> Pixels:
    """Turns one image into a cartoon. For more than one image, `open_style` is faster.

        cartoon = toonvid.stylize(image, style="ink")

    Args:
        image: Shape (H, W, 3), uint8, RGB, of any size. It is not changed.
        style: As for `open_style`.
        backend: As for `open_style`.
        strength: As for `open_style`.
        keep_color: As for `open_style`.
        ink: As for `open_style`.
        tones: As for `open_style`.
        saturation: As for `open_style`.
        quality: As for `open_style`.

    Returns:
        A new array of the same shape and dtype.

    Raises:
        TypeError: The image is not a NumPy array.
        ValueError: The array has another shape or dtype, or `strength` is not between 0 and 1.
        ControlError: The style does not have such a control, or the value is outside its range.
        EngineError: There is no such style, or its files are damaged.
        BackendError: No backend can run the engine.
    """
    _checked(image)  # before the engine is loaded, which takes longer
    with open_style(
        style,
        backend,
        strength=strength,
        keep_color=keep_color,
        ink=ink,
        tones=tones,
        saturation=saturation,
        quality=quality,
    ) as opened:
        return opened.stylize(image)


def _checked(image: Pixels) -> Pixels:
    """The image, contiguous in memory.

    Raises:
        TypeError: It is not a NumPy array.
        ValueError: It has another shape or dtype than (H, W, 3) uint8.
    """
    if not isinstance(image, np.ndarray):
        raise TypeError(f"{_EXPECTED}, not {type(image).__name__}{_advice_for_type(image)}")
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"{_EXPECTED}; this one has shape {image.shape}{_advice_for_shape(image)}")
    if image.dtype != np.uint8:
        raise ValueError(f"{_EXPECTED}; this one has dtype {image.dtype}{_advice_for_dtype(image)}")
    if 0 in image.shape:
        raise ValueError(f"{_EXPECTED}; this one has no pixels, shape {image.shape}")
    return np.ascontiguousarray(image)


def _advice_for_type(image: object) -> str:
    if isinstance(image, str | bytes) or hasattr(image, "__fspath__"):
        return "; files are converted by toonvid.convert"
    return "; numpy.asarray may convert it"


def _advice_for_shape(image: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> str:
    if image.ndim == 3 and image.shape[2] == 4:
        return "; leave opacity out with image[..., :3]"
    if image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1):
        return "; numpy.stack([gray] * 3, axis=-1) makes RGB of a gray (height, width) array"
    if image.ndim == 4:
        return "; several images go one by one through toonvid.open_style"
    return ""


def _advice_for_dtype(image: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> str:
    if image.dtype.kind == "f":
        return "; values from 0 to 1 become uint8 with (image * 255).round().astype(numpy.uint8)"
    return ""
