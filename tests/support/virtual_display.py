"""An X11 display for tests of windows and screens: an Xvfb that is started for the test."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from support.scripted_feed import wait_until

_START_SECONDS = 60.0
# Windows have no frame and open in the upper left corner.
_MANAGER_RULES = """<?xml version="1.0"?>
<openbox_config xmlns="http://openbox.org/3.4/rc"><applications><application class="*">
<decor>no</decor><position force="yes"><x>0</x><y>0</y></position><focus>yes</focus>
</application></applications></openbox_config>
"""


@contextmanager
def virtual_display(width: int, height: int, is_managed: bool = False) -> Iterator[str]:
    """Yield the name of a new, empty display. Skips the test if Xvfb is not installed.

    Without a window manager OpenCV's windows sometimes stay empty, on a busy machine often.

    Args:
        width: In pixels.
        height: In pixels.
        is_managed: Whether to run the window manager openbox on it. Skips the test if openbox is
            not installed.
    """
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed")
    if is_managed and shutil.which("openbox") is None:
        pytest.skip("openbox is not installed, and windows may stay empty without a window manager")
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", f"{width}x{height}x24", "-noreset"],
        pass_fds=(writing,),
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with ExitStack() as stack:
        stack.callback(server.wait, 10)
        stack.callback(server.terminate)
        with os.fdopen(reading) as answer:
            ready, _, _ = select.select([answer], [], [], _START_SECONDS)
            number = answer.readline().strip() if ready else ""
        assert number, "Xvfb did not start"
        if is_managed:
            stack.enter_context(_window_manager(f":{number}"))
        yield f":{number}"


@contextmanager
def _window_manager(display: str) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        rules, ready = Path(folder) / "rc.xml", Path(folder) / "ready"
        rules.write_text(_MANAGER_RULES)
        manager = subprocess.Popen(
            ["openbox", "--config-file", str(rules), "--startup", f"touch {ready}"],
            env={**os.environ, "DISPLAY": display},
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until(ready.exists)
            yield
        finally:
            manager.kill()
            manager.wait()
