"""Camera, painter and screens together."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.scripted_feed import ScriptedFeed, wait_until

from toonvid.backends import Backend, open_backend
from toonvid.engine import find_engine
from toonvid.errors import BackendError, CameraError, EngineError
from toonvid.live.camera import Camera
from toonvid.live.live_stylizer import LiveStylizer, StyleSettings
from toonvid.live.session import Controls, DisplayFrame, LiveSession, LiveStatistics
from toonvid.video import Pixels


class Running:
    """A `Live` on a thread of its own, fed from a tape."""

    def __init__(
        self, tape: ScriptedFeed, open_style: Any, look: StyleSettings, screens: Any, **options: Any
    ):
        self.controls = Controls(look, ("identity", "negative"))
        self.statistics: LiveStatistics | None = None
        self.error: BaseException | None = None
        self._parts = (tape, open_style, look, screens, options)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        tape, open_style, look, screens, options = self._parts
        try:
            with (
                LiveStylizer(open_style, look, None) as stylizer,
                Camera("tape", tape.open) as self.camera,
            ):
                live = LiveSession(self.camera, stylizer, self.controls, screens, **options)
                self.statistics = live.run()
        except BaseException as error:
            self.error = error

    def show_first(self) -> None:
        """Give it a black picture, with which it compiles the engine and then begins."""
        seen = self._parts[3][0]
        self._parts[0].put(0)
        wait_until(lambda: seen.levels == [0])

    def end(self) -> LiveStatistics:
        self._thread.join(120)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error
        assert self.statistics is not None
        return self.statistics


class Seen:
    """A screen that remembers what it was shown, and stands still while it is held."""

    def __init__(self) -> None:
        self.levels: list[int] = []
        self.pictures: list[Pixels] = []
        self.pts: list[int] = []
        self.idle = 0
        self.open = threading.Event()
        self.open.set()

    def __call__(self, picture: DisplayFrame | None) -> None:
        if picture is None:
            self.idle += 1
            return
        self.pictures.append(picture.pixels)
        self.levels.append(int(picture.pixels[-1, -1, 0]))
        self.pts.append(picture.stylized.frame.pts)
        self.open.wait(20)


@pytest.fixture
def open_style(engines_folder: Path) -> Any:
    return lambda name: open_backend(find_engine(str(engines_folder / f"{name}.onnx")))


def test_two_frames_are_in_flight_and_then_the_newest(open_style: Any) -> None:
    tape, seen = ScriptedFeed(needs_pacing=True), Seen()
    live = Running(tape, open_style, StyleSettings("identity"), [seen])
    live.show_first()
    seen.open.clear()
    tape.put(10)
    wait_until(lambda: seen.levels == [0, 10])  # on the screen, which now stands still
    tape.put(20)
    wait_until(lambda: live.camera._newest is None and tape.items.empty())  # it is painted
    tape.put(30)
    wait_until(lambda: live.camera._newest is not None)
    time.sleep(0.2)
    assert live.camera._newest is not None  # a third one has to wait, and may be outdated
    tape.put(40)
    tape.put(50)
    wait_until(lambda: live.camera.dropped == 2)
    seen.open.set()
    wait_until(lambda: len(seen.levels) == 4)
    tape.end()
    figures = live.end()
    assert seen.levels == [0, 10, 20, 50]
    assert seen.pts == sorted(seen.pts)
    assert (figures.shown, figures.dropped, figures.source) == (4, 2, "tape")
    assert (figures.width, figures.height, figures.style) == (8, 6, "identity")


def test_delay_is_counted_until_the_screen_is_done(open_style: Any) -> None:
    tape = ScriptedFeed(needs_pacing=True)
    seen = Seen()
    live = Running(
        tape, open_style, StyleSettings("identity"), [seen, lambda p: p and time.sleep(0.1)]
    )
    live.show_first()
    for level in (2, 3, 4):
        tape.put(level)
        wait_until(lambda level=level: level in seen.levels)
    tape.end()
    figures = live.end()
    assert 95 <= figures.delay_ms <= figures.delay_95_ms


def test_controls_reach_the_next_picture(open_style: Any) -> None:
    tape, seen = ScriptedFeed(needs_pacing=True), Seen()

    def show(level: int) -> Pixels:
        wait_until(lambda: tape.items.empty())
        shown = len(seen.levels)
        while len(seen.levels) == shown:  # a change of style spends one on compiling
            tape.put(level)
            time.sleep(0.02)
        return seen.pictures[-1]

    live = Running(tape, open_style, StyleSettings("identity"), [seen])
    assert show(100)[0, 0, 0] == 100
    live.controls.next_style()
    wait_until(lambda: show(100)[0, 0, 0] == 155)
    live.controls.wipe = 0.5
    wait_until(lambda: show(100)[0, 0, 0] == 100)
    assert seen.pictures[-1][0, -1, 0] == 155
    live.controls.next_style()
    live.controls.wipe = None
    wait_until(lambda: show(90)[0, 0, 0] == 90)
    live.controls.is_quitting = True
    live.end()
    tape.end()


def test_style_that_cannot_be_had_is_said_and_the_one_before_stays(open_style: Any) -> None:
    tape, seen, notices = ScriptedFeed(needs_pacing=True), Seen(), []
    live = Running(tape, open_style, StyleSettings("identity"), [seen], on_notice=notices.append)
    live.show_first()
    live.controls.settings = StyleSettings("nobody", mirror=True)
    while len(seen.levels) < 2:
        tape.put(7)
        time.sleep(0.02)
    assert live.controls.settings == StyleSettings("identity", mirror=True)
    assert len(notices) == 1 and "nobody" in notices[0]
    tape.end()
    live.end()


def test_first_style_that_cannot_be_had_is_an_error(open_style: Any) -> None:
    tape = ScriptedFeed(needs_pacing=True)
    with pytest.raises(EngineError):
        Running(tape, open_style, StyleSettings("nobody"), []).end()


def test_engine_that_fails_ends_it(identity: Backend) -> None:
    class Broken:
        engine, batch_size = identity.engine, 1

        def run(self, _: Pixels) -> Pixels:
            raise BackendError("out of memory")

        def stream(self, batches: Iterable[Pixels]) -> Iterator[Pixels]:
            return map(self.run, batches)

        def __enter__(self) -> Broken:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    tape = ScriptedFeed(needs_pacing=True)
    tape.put(1)
    live = Running(tape, lambda _: Broken(), StyleSettings("identity"), [])
    with pytest.raises(BackendError, match="out of memory"):
        live.end()
    tape.end()


def test_screen_that_fails_ends_it(open_style: Any) -> None:
    def screen(picture: DisplayFrame | None) -> None:
        if picture is not None:
            raise CameraError("the virtual camera is gone")

    tape = ScriptedFeed(needs_pacing=True)
    live = Running(tape, open_style, StyleSettings("identity"), [screen])
    while live.error is None:
        tape.put(1)
        time.sleep(0.01)
    with pytest.raises(CameraError, match="is gone"):
        live.end()
    tape.end()


def test_ends_when_time_is_up(open_style: Any) -> None:
    look = StyleSettings("identity")
    tape = ScriptedFeed(needs_pacing=True)
    stop = threading.Event()

    def feed() -> None:
        while not stop.wait(0.02):
            tape.put(1)

    threading.Thread(target=feed, daemon=True).start()
    with LiveStylizer(open_style, look, None) as stylizer, Camera("tape", tape.open) as camera:
        began = time.perf_counter()
        figures = LiveSession(camera, stylizer, Controls(look, ()), []).run(0.5)
        assert time.perf_counter() - began >= 0.5
        stop.set()
        tape.end()
    assert figures.shown > 1
    assert figures.rate > 0


@pytest.mark.parametrize(("rate", "size"), [(0, (640, 360)), (1e6, (170, 96))])
def test_size_that_holds_the_rate_is_said(
    open_style: Any, rate: float, size: tuple[int, int]
) -> None:
    tape, seen, notices = ScriptedFeed(needs_pacing=True, frame_rate=1), Seen(), []
    tape.put(1, size=(640, 360))
    live = Running(
        tape,
        open_style,
        StyleSettings("identity"),
        [seen],
        target_rate=rate,
        on_notice=notices.append,
    )
    while not seen.levels:
        tape.put(7, size=(640, 360))
        time.sleep(0.05)
    tape.end()
    figures = live.end()
    assert (figures.width, figures.height) == size
    assert len(notices) == 1 and notices[0].startswith("640x360")
    if rate:
        assert "170x96 is the smallest size and reaches" in notices[0]
    else:
        assert "640x360 reaches 1 fps" in notices[0]


def test_styles_come_round() -> None:
    controls = Controls(StyleSettings("b"), ("a", "b", "c"))
    taken = []
    for _ in range(4):
        taken.append(controls.settings.style)
        controls.next_style()
    assert taken == ["b", "a", "c", "b"]
    controls.settings = StyleSettings("mine.onnx")
    controls.next_style()
    assert controls.settings.style == "b"
    assert np.array_equal(controls.styles, ("b", "a", "c"))
