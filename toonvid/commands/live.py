"""`toonvid live`: the camera as a cartoon."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toonvid.commands.arguments import parse_size
from toonvid.commands.options import (
    BackendChoice,
    Compare,
    Device,
    KeepColor,
    Precision,
    Quiet,
    Strength,
    Style,
)
from toonvid.engine import DEFAULT_STYLE
from toonvid.errors import CameraError

if TYPE_CHECKING:
    from toonvid.backends import Backend
    from toonvid.live.camera import Camera
    from toonvid.live.feed import CameraOptions
    from toonvid.live.session import DisplayFrame, LiveStatistics
    from toonvid.live.web.server import PageServer

_AUTO = "auto"
_BROWSER = "browser"
_PORT = 8180
_STATUS_SECONDS = 1.0


def live(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Number of a camera, /dev/video0, rtsp://…, http://…, a film, screen,"
            " lavfi:testsrc2, browser (with --serve), or - for standard input.",
        ),
    ] = "0",
    style: Style = DEFAULT_STYLE,
    backend: BackendChoice = "auto",
    device: Device = None,
    precision: Precision = "auto",
    size: Annotated[
        str | None,
        typer.Option(
            metavar="WxH|720p|auto",
            help="Ask the camera for this size and paint in it; auto takes the largest that holds"
            " the camera's rate.",
        ),
    ] = None,
    fps: Annotated[
        float | None, typer.Option(min=1, max=1000, help="Frames a second to ask of the camera.")
    ] = None,
    mirror: Annotated[bool, typer.Option("--mirror", help="Swap left and right.")] = False,
    strength: Strength = 1.0,
    keep_color: KeepColor = False,
    compare: Compare = "none",
    record: Annotated[
        Path | None,
        typer.Option(metavar="TARGET", help="Record from the beginning: .mp4, .mkv, .mov …"),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", "-y", help="Let --record replace a file.")
    ] = False,
    virtual_camera: Annotated[
        str | None,
        typer.Option(
            metavar="any|DEVICE", help="Be a camera to other programs: any, or /dev/video10."
        ),
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Show it in a browser too; prints the page's address.")
    ] = False,
    host: Annotated[
        str | None,
        typer.Option(
            help="With --serve: open the page to the network, over HTTPS; 0.0.0.0 for all of it."
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="With --serve: 0 takes any that is free.")
    ] = _PORT,
    headless: Annotated[bool, typer.Option("--headless", help="Open no window.")] = False,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="End after this long.  [default: never]")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the figures as a line of JSON.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """See a camera as a cartoon, now. In the window, h shows the keys."""
    if not headless:
        _load_opencv()
    from toonvid.backends import open_backend
    from toonvid.engine import find_engine, list_engines
    from toonvid.live.feed import CameraOptions
    from toonvid.live.live_stylizer import LiveStylizer, StyleSettings
    from toonvid.live.recorder import Recorder, RecordOptions
    from toonvid.live.session import Controls, LiveSession
    from toonvid.stylizing.options import StylizeOptions

    box = None if size == _AUTO else parse_size(size)
    rate = None if fps is None else Fraction(fps).limit_denominator(1001)
    report = _Report(quiet)
    controls = Controls(
        StyleSettings(style, StylizeOptions(strength, keep_color, compare), mirror),
        [engine.card.style for engine in list_engines()],
        recording=record is not None,
    )
    recording = RecordOptions(record, overwrite)
    if (source == _BROWSER or host is not None) and not serve:
        raise typer.BadParameter("only with --serve is there a page to open in a browser")

    def open_style(name: str) -> Backend:
        opened = open_backend(find_engine(name), backend, device, precision)
        report.show_choice(opened)
        return opened

    with ExitStack() as stack:
        stylizer = stack.enter_context(LiveStylizer(open_style, controls.settings, box))
        asked = CameraOptions(box if isinstance(box, tuple) else None, rate)
        camera = stack.enter_context(_camera(source, asked, report.say))
        holds = float(rate or 0) if size == _AUTO else None
        recorder = stack.enter_context(Recorder(camera, controls, recording, report.say))
        running = LiveSession(camera, stylizer, controls, [recorder.show], holds, report.say)
        running.outputs.append(report.screen(running.statistics))
        if virtual_camera is not None:
            from toonvid.live.virtual_camera import VirtualCamera

            virtual = VirtualCamera(virtual_camera, fps, report.say)
            running.outputs.append(stack.enter_context(virtual).show)
        if serve:
            from toonvid.live.web.server import PageServer, ServeOptions

            page = PageServer(
                controls, running.statistics, camera.put_browser_frame, ServeOptions(host, port)
            )
            running.outputs.append(stack.enter_context(page).show)
            report.show_page(page)
        if not headless:
            from toonvid.live.window import Window

            window = stack.enter_context(Window(controls, running.statistics, report.say))
            running.outputs.append(window.show)
        figures = running.run(seconds)
    report.show_end(figures)
    if as_json:
        typer.echo(json.dumps(asdict(figures)))
    if recorder.failure is not None:
        raise recorder.failure


def _load_opencv() -> None:
    """Import OpenCV before PyAV: in the other order its windows can hang."""
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        raise CameraError(
            f"OpenCV cannot be loaded ({error}); --headless needs none, but for webcams"
        ) from error
    from toonvid.live.window import require_display

    require_display()


def _camera(source: str, options: CameraOptions, on_notice: Callable[[str], None]) -> Camera:
    from toonvid.live.camera import Camera
    from toonvid.live.ffmpeg_feed import open_ffmpeg_feed, without_password
    from toonvid.live.webcam import is_webcam, open_webcam

    if source == _BROWSER:
        return Camera("a browser's camera", None, on_notice)
    if is_webcam(source):
        return Camera(f"camera {source}", lambda: open_webcam(source, options), on_notice)
    return Camera(without_password(source), lambda: open_ffmpeg_feed(source, options), on_notice)


class _Report:
    """What the user is told: on standard error, so that standard output stays free."""

    def __init__(self, quiet: bool) -> None:
        from rich.console import Console

        self.quiet = quiet
        self.console = Console(stderr=True, soft_wrap=True, highlight=False)
        self._status_shown = 0.0

    def say(self, line: str) -> None:
        if not self.quiet:
            self.console.print(line, markup=False)

    def show_choice(self, backend: Backend) -> None:
        reason = f" ({backend.reason})" if backend.reason else ""
        self.say(
            f"{backend.engine.card.title}: {backend.name} on {backend.device},"
            f" {backend.precision}{reason}"
        )

    def show_page(self, page: PageServer) -> None:
        """Told even to the quiet: without the address the page is of no use."""
        self.console.print(f"open {page.address}", markup=False)
        if page.fingerprint is not None:
            self.console.print(
                "The browser will not know its certificate. Go on if the SHA-256 fingerprint it"
                f" shows is\n{page.fingerprint}",
                markup=False,
            )

    def screen(
        self, figures: Callable[[], LiveStatistics]
    ) -> Callable[[DisplayFrame | None], None]:
        """A screen that shows figures alone, in one line of the terminal."""

        def show(_: DisplayFrame | None) -> None:
            now = time.perf_counter()
            if now >= self._status_shown + _STATUS_SECONDS:
                self._status_shown = now
                self.console.print(f"{_line(figures())}   ", end="\r", markup=False)

        return show if self.console.is_terminal and not self.quiet else lambda _: None

    def show_end(self, figures: LiveStatistics) -> None:
        self.say(f"Shown {figures.shown} pictures of {figures.source}: {_line(figures)}")


def _line(figures: LiveStatistics) -> str:
    line = (
        f"{figures.rate:.1f} a second, {figures.delay_ms} ms late (95 %: {figures.delay_95_ms} ms),"
        f" {figures.dropped} dropped"
    )
    return f"{line}, {figures.reconnects} times back" if figures.reconnects else line
