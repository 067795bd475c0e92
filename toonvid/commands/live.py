"""`toonvid live`: a camera in, its cartoon on screens and in recordings out.

The frames travel in `toonvid.live.session`; here its parts are opened for the options that were
given, and messages are printed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toonvid.commands.arguments import parse_size, wide_frame_size
from toonvid.commands.help import OUTPUT_PANEL, SOURCE_PANEL
from toonvid.commands.interrupt import Ended
from toonvid.commands.messages import (
    count,
    describe_backend,
    describe_license,
    error_console,
    print_json,
    say,
)
from toonvid.commands.options import (
    AsJson,
    BackendChoice,
    Compare,
    Device,
    DrawingQuality,
    Ink,
    KeepColor,
    Overwrite,
    Precision,
    Quiet,
    Saturation,
    Steady,
    Strength,
    Style,
    Tones,
    Verbose,
)
from toonvid.engine import DEFAULT_STYLE
from toonvid.errors import CameraError, TargetError, without_secrets
from toonvid.files import is_same_file
from toonvid.stylizing.options import StylizeOptions

if TYPE_CHECKING:
    from toonvid.backends import Backend
    from toonvid.live.camera import Camera
    from toonvid.live.feed import CameraOptions
    from toonvid.live.meter import LiveStatistics
    from toonvid.live.session import DisplayFrame
    from toonvid.live.web.server import PageServer

_AUTO = "auto"
_BROWSER = "browser"
_PORT = 8180
_STATUS_SECONDS = 1.0  # between two updates of the status line in the terminal
_PAGE_PANEL = "Web page"
_STYLIZING = StylizeOptions()  # holds the defaults


def live(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Number of a webcam, /dev/video0, an rtsp:// or http:// address, a video, screen,"
            " lavfi:testsrc2, browser (with --serve), or - for standard input.",
        ),
    ] = "0",
    size: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Frame size to ask of the camera: 1280x720, 720p, or auto for the largest one"
            " that holds the camera's frame rate.",
            show_default="chosen by the camera",
            rich_help_panel=SOURCE_PANEL,
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            min=1,
            max=1000,
            help="Frames per second to ask of the camera.",
            show_default="chosen by the camera",
            rich_help_panel=SOURCE_PANEL,
        ),
    ] = None,
    mirror: Annotated[
        bool,
        typer.Option("--mirror", help="Swap left and right.", rich_help_panel=SOURCE_PANEL),
    ] = False,
    seconds: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0.1,
            help="Stop after this time.",
            show_default="never",
            rich_help_panel=SOURCE_PANEL,
        ),
    ] = None,
    style: Style = DEFAULT_STYLE,
    strength: Strength = _STYLIZING.strength,
    ink: Ink = _STYLIZING.ink,
    tones: Tones = _STYLIZING.tones,
    saturation: Saturation = _STYLIZING.saturation,
    steady: Steady = _STYLIZING.steady,
    keep_color: KeepColor = _STYLIZING.keep_color,
    quality: DrawingQuality = _STYLIZING.quality,
    compare: Compare = _STYLIZING.compare,
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="TARGET",
            help="Record from the beginning: .mp4, .mkv, .mov and others.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    overwrite: Overwrite = False,
    virtual_camera: Annotated[
        str | None,
        typer.Option(
            metavar="DEVICE",
            help="Publish the cartoon as a virtual webcam: any, or a device such as /dev/video10.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    headless: Annotated[
        bool, typer.Option("--headless", help="Open no window.", rich_help_panel=OUTPUT_PANEL)
    ] = False,
    serve: Annotated[
        bool,
        typer.Option(
            "--serve",
            help="Also show the cartoon on a web page, whose address is printed.",
            rich_help_panel=_PAGE_PANEL,
        ),
    ] = False,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Open the page to the network at this address, over HTTPS; 0.0.0.0 for all"
            " networks.",
            show_default="this machine only",
            rich_help_panel=_PAGE_PANEL,
        ),
    ] = None,
    port: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            max=65535,
            help="Port of the page; 0 takes any free one.",
            rich_help_panel=_PAGE_PANEL,
        ),
    ] = _PORT,
    backend: BackendChoice = "auto",
    device: Device = None,
    precision: Precision = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show a camera as a cartoon, live. In the window, h lists the keys.

    Examples:
        toonvid live
        toonvid live --virtual-camera any --mirror
        toonvid live rtsp://camera/1 --serve --record day.mkv
    """
    report = _LiveReport(quiet)
    if not headless:
        try:
            _load_opencv()
        except CameraError as error:
            if not serve:
                raise
            headless = True
            reason = str(error).partition(":")[0]
            report.say(f"note: {reason}; the cartoon is on the page alone")
    from toonvid.backends import open_backend
    from toonvid.engine import find_engine, list_engines
    from toonvid.live.controls import Controls
    from toonvid.live.feed import CameraOptions
    from toonvid.live.live_stylizer import LiveStylizer, StyleSettings
    from toonvid.live.recorder import Recorder, RecordOptions
    from toonvid.live.session import LiveSession

    box = None if size is None or size == _AUTO else parse_size(size)
    rate = None if fps is None else Fraction(fps).limit_denominator(1001)
    stylizing = StylizeOptions(
        strength, keep_color, compare, steady, ink, tones, saturation, quality
    )
    chosen = find_engine(style).card
    chosen.control_values(stylizing.controls)  # before a camera or a window is opened
    cards = [engine.card for engine in list_engines()]
    controls = Controls(
        StyleSettings(style, stylizing, mirror),
        [card.style for card in cards],
        recording=record is not None,
        style_controls={card.style: card.controls for card in cards} | {style: chosen.controls},
    )
    recording = RecordOptions(record, overwrite)
    if record is not None and is_same_file(record, source):
        raise TargetError(f"{record} would be recorded over itself; name another file")
    if (source == _BROWSER or host is not None) and not serve:
        raise typer.BadParameter("only with --serve is there a page to open in a browser")

    def open_style(name: str) -> Backend:
        opened = open_backend(find_engine(name), backend, device, precision)
        report.say(describe_backend(opened))
        if verbose:
            report.say(describe_license(opened.engine))
        return opened

    with ExitStack() as stack:
        stylizer = stack.enter_context(LiveStylizer(open_style, controls.settings, box))
        asked = CameraOptions(None if box is None else wide_frame_size(box), rate)
        camera = stack.enter_context(_camera(source, asked, report.say))
        holds = float(rate or 0) if size == _AUTO else None
        recorder = stack.enter_context(Recorder(camera, controls, recording, report.say))
        session = LiveSession(camera, stylizer, controls, [recorder.show], holds, report.say)
        session.outputs.append(report.status_output(session.statistics))
        if virtual_camera is not None:
            from toonvid.live.virtual_camera import VirtualCamera

            virtual = VirtualCamera(virtual_camera, fps, report.say)
            session.outputs.append(stack.enter_context(virtual).show)
        if serve:
            from toonvid.live.web.server import PageServer, ServeOptions

            page = PageServer(
                controls,
                session.statistics,
                camera.put_browser_frame,
                ServeOptions(host, port),
                report.say,
            )
            session.outputs.append(stack.enter_context(page).show)
            report.show_page(page)
        if not headless:
            from toonvid.live.window import Window

            window = stack.enter_context(Window(controls, session.statistics, report.say))
            session.outputs.append(window.show)
        ended: Ended | None = None
        try:
            statistics = session.run(seconds)
        except Ended as signal:  # all that a session ends with is done for a signal too
            statistics, ended = session.whole_statistics(), signal
    report.show_end(statistics)
    if as_json:
        print_json(asdict(statistics))
    if recorder.failure is not None:
        raise recorder.failure
    if ended is not None:
        raise ended


def _load_opencv() -> None:
    """Import OpenCV before PyAV: in the other order, opening its windows can hang."""
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        raise CameraError(
            f"OpenCV cannot be loaded ({error}); --headless needs it for webcams only"
        ) from error
    from toonvid.live.window import require_display

    require_display()


def _camera(source: str, options: CameraOptions, on_notice: Callable[[str], None]) -> Camera:
    from toonvid.live.camera import Camera
    from toonvid.live.ffmpeg_feed import open_ffmpeg_feed
    from toonvid.live.webcam import is_webcam, open_webcam

    if source == _BROWSER:
        return Camera("a browser's camera", None, on_notice)
    if is_webcam(source):
        return Camera(f"camera {source}", lambda: open_webcam(source, options), on_notice)
    return Camera(without_secrets(source), lambda: open_ffmpeg_feed(source, options), on_notice)


class _LiveReport:
    """Messages of one run, on standard error, so that standard output holds results only."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self._console = error_console()
        self._status_shown = 0.0

    def say(self, line: str) -> None:
        """Print a line, unless only errors are wanted."""
        if not self.quiet:
            say(self._console, line)

    def show_page(self, page: PageServer) -> None:
        """Print the page's address, with --quiet too: without it the page is of no use."""
        # Not `say`, which leaves tokens of addresses out: this one is for the user.
        self._console.print(f"open {page.address}")
        if page.fingerprint is not None:
            say(
                self._console,
                "The browser will warn of an unknown certificate. Continue if the SHA-256"
                f" fingerprint that it shows is\n{page.fingerprint}",
            )

    def status_output(
        self, statistics: Callable[[], LiveStatistics]
    ) -> Callable[[DisplayFrame | None], None]:
        """Make an output that shows statistics only, in one line of the terminal."""

        def show(_: DisplayFrame | None) -> None:
            now = time.perf_counter()
            if now >= self._status_shown + _STATUS_SECONDS:
                self._status_shown = now
                self._console.print(f"{_status_line(statistics())}   ", end="\r")

        return show if self._console.is_terminal and not self.quiet else lambda _: None

    def show_end(self, statistics: LiveStatistics) -> None:
        """Print the statistics of the whole run."""
        frames = count(statistics.shown, "frame")
        self.say(f"Showed {frames} of {statistics.source}: {_status_line(statistics)}")


def _status_line(statistics: LiveStatistics) -> str:
    line = (
        f"{statistics.rate:.1f} frames per second, delay {statistics.delay_ms} ms"
        f" (95 %: {statistics.delay_95_ms} ms), {statistics.dropped} dropped"
    )
    return (
        f"{line}, {count(statistics.reconnects, 'reconnection')}" if statistics.reconnects else line
    )
