"""Checks a finished engine on one frame, in each precision and on each backend that works here.

In: an engine, and what the file that it was made from draws. Out: the engine without the precisions
that fail, or an error if float32 fails. A black cartoon is the usual failure, and no library
reports it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from toonvid.backends import open_backend
from toonvid.backends.cartoon_check import find_difference, sample_for, sample_frame
from toonvid.choices import BackendName
from toonvid.engine import Engine, Precision
from toonvid.errors import BackendError, DeviceMissingError, EngineError
from toonvid.importing.candidate import Candidate
from toonvid.video import Pixels

_CLOSE = 1  # level by which the engine may differ from the file in float32
_ALL_LEVELS = 255
_CONVERTED: tuple[Precision, ...] = ("bf16", "f16")  # by OpenVINO, from the float32 file


@dataclass(frozen=True)
class Checked:
    """An engine that passed."""

    engine: Engine
    frame_seconds: float
    """Time that the checked frame takes on the backend that `auto` chooses."""


def checked_frames(candidate: Candidate, multiple_of: int) -> Pixels:
    """Draw the frame that is checked, (1, H, W, 3) uint8: of the network's own size if it has one.

    The steps that resize a frame then leave it as it is, so that it can be compared.
    """
    if candidate.sizes.fixed is not None:
        return sample_frame(*candidate.sizes.fixed)[None]
    return sample_for(multiple_of)


def check_engine(
    engine: Engine,
    frames: Pixels,
    wanted: Pixels,
    on_notice: Callable[[str], None],
) -> Checked:
    """Check an engine, and leave out the precisions that fail.

    Args:
        engine: Engine whose files are on disk.
        frames: The frame to check, (1, H, W, 3) uint8.
        wanted: What the imported file draws, in float32 on the CPU.
        on_notice: Called with a line for each precision that is left out.

    Raises:
        EngineError: float32 fails on some backend.
    """
    trial = _Trial(engine, frames, wanted, on_notice)
    trial.check_f32()
    trial.try_tensorrt()
    unfit = tuple(p for p in _CONVERTED if not trial.passes("openvino", p))
    keeps_f16 = "f16" in engine.card.precisions and trial.passes_f16_file()
    hashes = dict(engine.card.sha256)
    if not keeps_f16:
        hashes.pop(engine.card.file_name("f16"), None)
    tolerance = {
        precision: max(1, trial.metrics[f"levels_apart_{precision}"])
        for precision in ("f32", *(["f16"] if keeps_f16 else []))
    }
    card = replace(
        engine.card, sha256=hashes, unfit=unfit, metrics=trial.metrics, tolerance=tolerance
    )
    checked = Engine(card, engine.folder)
    return Checked(checked, _time_frame(checked, frames))


class _Trial:
    """Runs of one engine on one frame."""

    def __init__(
        self, engine: Engine, frames: Pixels, wanted: Pixels, on_notice: Callable[[str], None]
    ) -> None:
        self.metrics: dict[str, int | float] = {}
        """Largest differences from float32 in levels, by the names that they have on the card."""
        self._engine, self._frames, self._wanted = engine, frames, wanted
        self._on_notice = on_notice

    def check_f32(self) -> None:
        """Compare float32 with the imported file, and between backends.

        Raises:
            EngineError: It differs.
        """
        style = self._engine.card.style
        cartoons = self._run(self._engine, "openvino", "f32")
        levels = self._note("f32", cartoons)
        if levels > _CLOSE:
            problem = find_difference(self._frames, cartoons, self._wanted)
            raise EngineError(
                f"{style} is not kept: with toonvid's nodes around it, its cartoon is"
                f" {problem or f'{levels} levels'} from that of the file"
            )
        if self._engine.card.is_openvino_only:
            return
        try:
            cartoons = self._run(self._engine, "onnxruntime", "f32")
        except DeviceMissingError:
            return
        except BackendError as error:
            self._on_notice(f"It does not run on the backend onnxruntime: {error}")
            return
        if problem := find_difference(self._frames, cartoons, self._wanted):
            raise EngineError(f"{style} is not kept: on onnxruntime its cartoon is {problem}")

    def try_tensorrt(self) -> None:
        """Open TensorRT, which checks its plan itself; say so if it does not draw rightly."""
        if self._engine.card.is_openvino_only:
            return
        try:
            with open_backend(self._engine, "tensorrt"):
                pass
        except DeviceMissingError:
            return
        except BackendError as error:
            self._on_notice(f"TensorRT is left out: {error}")

    def passes(self, backend: BackendName, precision: Precision) -> bool:
        """Whether a backend has a precision, and draws close to float32 in it."""
        try:
            cartoons = self._run(self._engine, backend, precision)
        except BackendError:  # which most CPUs give for bf16 or f16
            return False
        return self._is_close(precision, cartoons, f"{precision} on {backend}")

    def passes_f16_file(self) -> bool:
        """Whether the float16 file draws close to float32."""
        try:
            cartoons = self._run(self._engine, "onnxruntime", "f16")
        except DeviceMissingError:
            self._on_notice(
                "The f16 file was checked for its weights only; with ONNX Runtime"
                " (pip install 'toonvid[onnxruntime]') it is computed in float16"
            )
            cartoons = self._run(_f16_as_f32(self._engine), "openvino", "f32")
        except BackendError as error:
            self._on_notice(f"f16 is left out: {error}")
            return False
        return self._is_close("f16", cartoons, "f16")

    def _is_close(self, precision: Precision, cartoons: Pixels, name: str) -> bool:
        if problem := find_difference(self._frames, cartoons, self._wanted):
            self._on_notice(f"{name} is left out: its cartoon is {problem}")
            return False
        self._note(precision, cartoons)
        return True

    def _note(self, precision: Precision, cartoons: Pixels) -> int:
        if cartoons.shape != self._wanted.shape:
            return _ALL_LEVELS
        levels = int(np.abs(cartoons.astype(np.int16) - self._wanted).max())
        self.metrics[f"levels_apart_{precision}"] = levels
        return levels

    def _run(self, engine: Engine, backend: BackendName, precision: Precision) -> Pixels:
        with open_backend(engine, backend, precision=precision) as opened:
            return opened.run(self._frames)


def _f16_as_f32(engine: Engine) -> Engine:
    """Return an engine whose float32 file is the float16 one: OpenVINO computes it in float32."""
    style = f"{engine.card.style[:60]}-f16"
    content = engine.path("f16").read_bytes()
    name = f"{style}.onnx"
    (engine.folder / name).write_bytes(content)
    hashes = {name: hashlib.sha256(content).hexdigest()}
    return Engine(replace(engine.card, style=style, sha256=hashes), engine.folder)


def _time_frame(engine: Engine, frames: Pixels) -> float:
    """Measure the seconds for the frame on the backend that `auto` chooses, once it is warm."""
    with open_backend(engine) as backend:
        backend.run(frames)
        began = time.perf_counter()
        backend.run(frames)
        return time.perf_counter() - began
