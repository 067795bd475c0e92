"""Camera, stylizer and outputs together in a live session."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.scripted_feed import LIMIT_SECONDS, ScriptedFeed, repeat, wait_until

from toonvid.backends import Backend, ControlValues, open_backend
from toonvid.engine import Control, find_engine
from toonvid.errors import BackendError, CameraError, EngineError
from toonvid.live.camera import Camera
from toonvid.live.controls import Controls
from toonvid.live.live_stylizer import LiveStylizer, StyleSettings
from toonvid.live.meter import LiveStatistics
from toonvid.live.session import DisplayFrame, FrameOutput, LiveSession
from toonvid.stylizing.options import StylizeOptions
from toonvid.video import Pixels

# Without --steady, which would mix frames whose levels are close.
IDENTITY = StyleSettings("identity", StylizeOptions(steady=0.0))


class SessionThread:
    """A `LiveSession` on a thread of its own, with a scripted feed."""

    def __init__(
        self,
        feed: ScriptedFeed,
        open_style: Callable[[str], Any],
        settings: StyleSettings,
        outputs: Sequence[FrameOutput],
        **options: Any,
    ) -> None:
        self.controls = Controls(settings, ("identity", "negative"))
        self.statistics: LiveStatistics | None = None
        self.error: BaseException | None = None
        self._feed, self._open_style, self._settings = feed, open_style, settings
        self._outputs, self._options = outputs, options
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with (
                LiveStylizer(self._open_style, self._settings, None) as stylizer,
                Camera("feed", self._feed.open) as self.camera,
            ):
                session = LiveSession(
                    self.camera, stylizer, self.controls, self._outputs, **self._options
                )
                self.statistics = session.run()
        except BaseException as error:
            self.error = error

    def show_first(self, output: HoldableOutput) -> None:
        """Show a black frame, for which the session compiles the engine before it starts."""
        self._feed.put(0)
        wait_until(lambda: output.levels == [0])

    def end(self) -> LiveStatistics:
        """Wait for the end, and return the statistics or raise the session's error."""
        self._thread.join(LIMIT_SECONDS)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error
        assert self.statistics is not None
        return self.statistics


class HoldableOutput:
    """An output that remembers its frames, and blocks while `released` is cleared."""

    def __init__(self) -> None:
        self.levels: list[int] = []
        """Value of the last pixel of each frame."""
        self.frames: list[Pixels] = []
        self.pts: list[int] = []
        self.released = threading.Event()
        self.released.set()

    def __call__(self, frame: DisplayFrame | None) -> None:
        if frame is None:
            return
        self.frames.append(frame.pixels)
        self.levels.append(int(frame.pixels[-1, -1, 0]))
        self.pts.append(frame.stylized.frame.pts)
        self.released.wait(LIMIT_SECONDS)


@pytest.fixture
def open_style(engines_folder: Path) -> Any:
    return lambda name: open_backend(find_engine(str(engines_folder / f"{name}.onnx")))


def test_two_frames_are_in_flight_and_the_newest_follows(open_style: Any) -> None:
    feed, output = ScriptedFeed(needs_pacing=True), HoldableOutput()
    session = SessionThread(feed, open_style, IDENTITY, [output])
    session.show_first(output)
    output.released.clear()
    feed.put(10)
    wait_until(lambda: output.levels == [0, 10])  # in the output, which now blocks
    feed.put(20)
    wait_until(lambda: session.camera._newest is None and feed.items.empty())  # is stylized
    feed.put(30)
    wait_until(lambda: session.camera._newest is not None)
    time.sleep(0.2)
    assert session.camera._newest is not None  # a third frame waits in the camera
    feed.put(40)
    feed.put(50)
    wait_until(lambda: session.camera.dropped == 2)
    output.released.set()
    wait_until(lambda: len(output.levels) == 4)
    feed.end()
    statistics = session.end()
    assert output.levels == [0, 10, 20, 50]
    assert output.pts == sorted(output.pts)
    assert (statistics.shown, statistics.dropped, statistics.source) == (4, 2, "feed")
    assert (statistics.width, statistics.height, statistics.style) == (8, 6, "identity")


def test_delay_includes_the_time_of_the_outputs(open_style: Any) -> None:
    feed, output = ScriptedFeed(needs_pacing=True), HoldableOutput()

    def show_slowly(frame: DisplayFrame | None) -> None:
        if frame is not None:
            time.sleep(0.1)

    session = SessionThread(feed, open_style, IDENTITY, [output, show_slowly])
    session.show_first(output)
    for level in (2, 3, 4):
        feed.put(level)
        wait_until(lambda level=level: level in output.levels)
    feed.end()
    statistics = session.end()
    assert 95 <= statistics.delay_ms <= statistics.delay_95_ms


def test_controls_apply_to_the_next_frame(open_style: Any) -> None:
    feed, output = ScriptedFeed(needs_pacing=True), HoldableOutput()

    def show(level: int) -> Pixels:
        wait_until(lambda: feed.items.empty())
        shown = len(output.levels)
        for _ in repeat("no frame was shown"):  # after a change of style one is not shown
            if len(output.levels) > shown:
                break
            feed.put(level)
            time.sleep(0.02)
        return output.frames[-1]

    session = SessionThread(feed, open_style, IDENTITY, [output])
    assert show(100)[0, 0, 0] == 100
    session.controls.next_style()
    wait_until(lambda: show(100)[0, 0, 0] == 155)
    session.controls.wipe = 0.5
    wait_until(lambda: show(100)[0, 0, 0] == 100)
    assert output.frames[-1][0, -1, 0] == 155
    session.controls.next_style()
    session.controls.wipe = None
    wait_until(lambda: show(90)[0, 0, 0] == 90)
    session.controls.is_quitting = True
    session.end()
    feed.end()


def test_missing_style_is_reported_and_the_previous_one_stays(open_style: Any) -> None:
    feed, output, notices = ScriptedFeed(needs_pacing=True), HoldableOutput(), []
    session = SessionThread(feed, open_style, IDENTITY, [output], on_notice=notices.append)
    session.show_first(output)
    session.controls.settings = replace(IDENTITY, style="nobody", mirror=True)
    for _ in repeat("no frame was shown"):
        if len(output.levels) >= 2:
            break
        feed.put(7)
        time.sleep(0.02)
    assert session.controls.settings == replace(IDENTITY, mirror=True)
    assert len(notices) == 1 and "nobody" in notices[0]
    feed.end()
    session.end()


def test_missing_first_style_is_an_error(open_style: Any) -> None:
    feed = ScriptedFeed(needs_pacing=True)
    with pytest.raises(EngineError):
        SessionThread(feed, open_style, StyleSettings("nobody"), []).end()


def test_error_of_the_engine_ends_the_session(identity: Backend) -> None:
    class FailingBackend:
        engine, batch_size = identity.engine, 1

        def run(self, _: Pixels, controls: ControlValues | None = None) -> Pixels:
            raise BackendError("out of memory")

        def stream(
            self, batches: Iterable[Pixels], controls: ControlValues | None = None
        ) -> Iterator[Pixels]:
            return map(self.run, batches)

        def __enter__(self) -> FailingBackend:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    feed = ScriptedFeed(needs_pacing=True)
    feed.put(1)
    session = SessionThread(feed, lambda _: FailingBackend(), IDENTITY, [])
    with pytest.raises(BackendError, match="out of memory"):
        session.end()
    feed.end()


def test_error_of_an_output_ends_the_session(open_style: Any) -> None:
    def failing_output(frame: DisplayFrame | None) -> None:
        if frame is not None:
            raise CameraError("the virtual camera is gone")

    feed = ScriptedFeed(needs_pacing=True)
    session = SessionThread(feed, open_style, IDENTITY, [failing_output])
    for _ in repeat("the session did not fail"):
        if session.error is not None:
            break
        feed.put(1)
        time.sleep(0.01)
    with pytest.raises(CameraError, match="is gone"):
        session.end()
    feed.end()


def test_session_ends_when_the_time_is_up(open_style: Any) -> None:
    feed, stop = ScriptedFeed(needs_pacing=True), threading.Event()

    def put_frames() -> None:
        while not stop.wait(0.02):
            feed.put(1)

    threading.Thread(target=put_frames, daemon=True).start()
    with (
        LiveStylizer(open_style, IDENTITY, None) as stylizer,
        Camera("feed", feed.open) as camera,
    ):
        try:
            began = time.perf_counter()
            statistics = LiveSession(camera, stylizer, Controls(IDENTITY, ()), []).run(2)
            assert time.perf_counter() - began >= 2
        finally:
            stop.set()
            feed.end()
    assert statistics.shown > 1
    assert statistics.rate > 0


@pytest.mark.parametrize(
    ("rate", "size", "notice"),
    [
        (0, (640, 360), "640x360 reaches 1 fps"),
        (1e6, (170, 96), "170x96 is the smallest size and reaches"),
    ],
)
def test_size_that_was_chosen_for_the_rate_is_reported(
    open_style: Any, rate: float, size: tuple[int, int], notice: str
) -> None:
    feed, output, notices = ScriptedFeed(needs_pacing=True, frame_rate=1), HoldableOutput(), []
    feed.put(1, size=(640, 360))
    session = SessionThread(
        feed, open_style, IDENTITY, [output], target_rate=rate, on_notice=notices.append
    )
    for _ in repeat("no frame was shown"):
        if output.levels:
            break
        feed.put(7, size=(640, 360))
        time.sleep(0.05)
    feed.end()
    statistics = session.end()
    assert (statistics.width, statistics.height) == size
    assert len(notices) == 1 and notices[0].startswith("640x360")
    assert notice in notices[0]


STYLE_CONTROLS = {
    "ink": {
        "ink": Control(default=1, minimum=0, maximum=2, step=0.1),
        "tones": Control(default=6, minimum=2, maximum=12, step=1),
    }
}


def test_style_values_move_by_steps_within_their_range() -> None:
    controls = Controls(StyleSettings("ink"), (), style_controls=STYLE_CONTROLS)
    assert controls.style_values() == {"ink": 1, "tones": 6}
    for _ in range(3):
        assert controls.move_style_value("ink", 1)
    assert controls.style_values() == {"ink": 1.3, "tones": 6}
    assert controls.settings.options == StylizeOptions(ink=1.3)
    for _ in range(20):
        controls.move_style_value("tones", -1)
        controls.move_style_value("ink", 1)
    assert controls.style_values() == {"ink": 2, "tones": 2}
    assert not controls.move_style_value("saturation", 1)
    assert controls.style_values() == {"ink": 2, "tones": 2}
    controls.reset_style_values()
    assert controls.settings.options == StylizeOptions()


def test_another_style_has_its_own_ink_and_tones() -> None:
    options = StylizeOptions(strength=0.5, ink=0.3, tones=4)
    settings = StyleSettings("ink", options, mirror=True)
    controls = Controls(settings, ("ink", "pepper"), style_controls=STYLE_CONTROLS)
    controls.next_style()
    assert controls.settings == StyleSettings("pepper", StylizeOptions(strength=0.5), mirror=True)
    assert controls.style_values() == {}
    assert settings.in_style("ink") == settings


def test_next_style_goes_round() -> None:
    controls = Controls(StyleSettings("b"), ("a", "b", "c"))
    styles = []
    for _ in range(4):
        styles.append(controls.settings.style)
        controls.next_style()
    assert styles == ["b", "a", "c", "b"]
    controls.settings = StyleSettings("mine.onnx")
    controls.next_style()
    assert controls.settings.style == "b"
    assert controls.styles == ("b", "a", "c")
