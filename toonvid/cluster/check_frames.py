"""Check frames: whether a machine would give the same bytes, told by a few frames.

In: an open backend and options. Out: a hash of what engine and encoder make of frames that are
computed. Equal versions do not suffice: another CPU may round otherwise, and the version of an
encoder inside FFmpeg, such as x264, cannot be asked for.
"""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from toonvid.backends import Backend
from toonvid.pipeline import ConvertOptions
from toonvid.resume.eligibility import INEXACT_CODECS
from toonvid.stylizing.stylizer import Stylizer
from toonvid.video import Frame, VideoInfo
from toonvid.writing.encoder import Encoder

_WIDTH, _HEIGHT, _FRAMES = 320, 192, 6
_TIME_BASE = Fraction(1, 25)  # seconds


def check_digest(
    backend: Backend, options: ConvertOptions, target_name: str, encoder_threads: int = 0
) -> str:
    """Return a hash of the packets that this machine makes of the check frames.

    Args:
        backend: Open.
        options: How videos are drawn and encoded.
        target_name: Its suffix names the container.
        encoder_threads: As in `toonvid.writing.encoder.Encoder`.

    Returns:
        Hexadecimal digits; empty for encoders that may give other bytes each time.
    """
    if options.encoding.codec in INEXACT_CODECS:
        return ""
    frames = _frames()
    info = VideoInfo("check", "", _WIDTH, _HEIGHT, _TIME_BASE, frame_rate=1 / _TIME_BASE)
    stylizing = replace(options.stylizing, compare="none")
    encoder = Encoder(Path(target_name), info, options.encoding, threads=encoder_threads)
    encoder.open(frames[0])
    digest = hashlib.sha256(encoder.extradata)
    for cartoon in Stylizer(backend, stylizing).stylize(frames):
        for packet in encoder.encode(cartoon):
            digest.update(bytes(packet))
    for packet in encoder.flush():
        digest.update(bytes(packet))
    return digest.hexdigest()


def cpu_cores() -> int:
    """Return the number of cores that FFmpeg and x264 count on this machine."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _frames() -> list[Frame]:
    """Return frames of moving waves over all levels, with edges."""
    y, x = np.mgrid[0:_HEIGHT, 0:_WIDTH]
    made = []
    for index in range(_FRAMES):
        shift = 3 * index
        channels = (
            (x + shift) * (y + 1) // 40 % 256,
            ((x + shift) // 24 + y // 24) % 2 * 180 + x // 8,
            (x * x + (y + shift) * (y + shift)) // 300 % 256,
        )
        made.append(Frame(np.stack(channels, 2).astype(np.uint8), index, _TIME_BASE, 1))
    return made
