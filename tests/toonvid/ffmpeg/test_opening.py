"""Encoders are opened without giving this process a real-time priority."""

from __future__ import annotations

import os
import threading
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from toonvid.ffmpeg.opening import open_encoder

needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or not Path("/proc/self/task").is_dir() or os.geteuid() != 0,
    reason="SVT-AV1 changes priorities for root on Linux alone",
)


def svt_av1() -> VideoCodecContext:
    context = av.CodecContext.create("libsvtav1", "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = 128, 96, "yuv420p"
    context.time_base = Fraction(1, 25)
    return context


def policies() -> set[int]:
    """Return the scheduling policies of all threads of this process."""
    return {os.sched_getscheduler(int(thread.name)) for thread in Path("/proc/self/task").iterdir()}


@needs_root
def test_no_thread_gets_a_real_time_priority() -> None:
    assert policies() == {os.SCHED_OTHER}
    context = svt_av1()
    open_encoder(context)
    assert policies() == {os.SCHED_OTHER}
    for at in range(3):
        frame = VideoFrame(128, 96, "yuv420p")
        frame.pts, frame.time_base = at, Fraction(1, 25)
        context.encode(frame)
    assert policies() == {os.SCHED_OTHER}
    assert context.encode(None)


@needs_root
def test_a_priority_that_the_user_has_chosen_is_kept() -> None:
    chosen = []

    def open_in_a_thread() -> None:  # its priority ends with it
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        open_encoder(svt_av1())
        chosen.append(os.sched_getscheduler(0))

    thread = threading.Thread(target=open_in_a_thread)
    thread.start()
    thread.join()
    assert chosen == [os.SCHED_BATCH]
    assert not policies() & {os.SCHED_FIFO, os.SCHED_RR}


@needs_root
def test_priorities_are_taken_back_from_an_encoder_that_does_not_open() -> None:
    context = svt_av1()
    context.options = {"svtav1-params": "lp=2", "preset": "99"}
    with pytest.raises((FFmpegError, ValueError)):
        open_encoder(context)
    assert policies() == {os.SCHED_OTHER}
