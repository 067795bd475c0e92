#!/usr/bin/env python3
"""Convert mutated copies of files: none may crash, hang, print a traceback or lose frames silently.

    scripts/long/fuzz_sources.py FOLDER --count 2000 --seed 1

In: a folder of videos and images. Each copy has some bytes flipped, a piece cut out, moved or
repeated, or its end cut off. A process converts one after the other, and is started anew when it
dies or takes too long. Out: a line for each failure, the copies that failed, and a count of exit
codes. Exit code 1 if there was any failure.

A copy loses frames silently if its conversion ends with exit code 0 although the target has fewer
frames than PyAV decodes from the copy, by more than a handful.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import av

from toonvid.engine import DEFAULT_STYLE

EXPECTED_CODES = {0, 1, 2, 3, 4}
"""Exit codes of `toonvid convert`; any other is a failure."""
HANDFUL = 5  # frames that damaged files may lose without a word: FFmpeg's decoders differ in them
_PATIENCE_SECONDS = 60.0
_SUFFIXES = {".json", ".onnx", ".md"}  # not sources


@dataclass(frozen=True)
class Outcome:
    """What became of one copy."""

    code: int
    messages: str
    """Standard error."""
    frames: int | None
    """Frames of the target; None without a target."""


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Change a file in one of six ways."""
    data = bytearray(content)
    kind = rng.randrange(6)
    size = len(data)
    if kind == 0:  # some bytes, anywhere
        for _ in range(rng.choice((1, 4, 16, 64))):
            data[rng.randrange(size)] = rng.randrange(256)
    elif kind == 1:  # some bits of the header
        for _ in range(rng.choice((1, 4, 16))):
            data[rng.randrange(min(size, 1024))] ^= 1 << rng.randrange(8)
    elif kind == 2:  # the end is missing
        del data[rng.randrange(size) :]
    else:
        start = rng.randrange(size)
        length = rng.randrange(1, max(2, size // 4))
        piece = data[start : start + length]
        if kind == 3:
            del data[start : start + length]
        elif kind == 4:
            data[start:start] = piece
        else:
            del data[start : start + length]
            place = rng.randrange(len(data) + 1)
            data[place:place] = piece
    return bytes(data)


def convert_all(connection: Connection, style: str) -> None:
    """Convert the sources whose paths arrive, in this process; answer each with an `Outcome`."""
    from toonvid import cli

    while True:
        source, target = connection.recv()
        sys.argv = ["toonvid", "convert", source, "-o", target, "-y", "--size", "64p"]
        sys.argv += ["--style", style]
        messages, code = io.StringIO(), -1
        with contextlib.redirect_stderr(messages):
            try:
                cli.main()
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else -1
            except BaseException:  # what a user would see as a traceback
                messages.write(traceback.format_exc())
        connection.send(Outcome(code, messages.getvalue(), count_frames(Path(target))))


def count_frames(path: Path) -> int | None:
    """Frames that PyAV decodes from a file, up to the first error; None if it opens none."""
    frames = 0
    if not path.is_file():
        return None
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                return None
            with contextlib.suppress(av.FFmpegError):
                for _ in container.decode(video=0):
                    frames += 1
    except (av.FFmpegError, ValueError):
        return None
    return frames


class Worker:
    """A process that converts, started anew when it died."""

    def __init__(self, style: str) -> None:
        self._style = style
        self._context = multiprocessing.get_context("spawn")
        self._start()

    def convert(self, source: Path, target: Path) -> Outcome | str:
        """Convert one copy; in words if the process died or took too long."""
        self._pipe.send((str(source), str(target)))
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if self._pipe.poll(0.2):
                with contextlib.suppress(EOFError):
                    outcome: Outcome = self._pipe.recv()
                    return outcome
            if not self._process.is_alive():
                code = self._process.exitcode
                self._start()
                return f"the process died with {code}"
        self.stop()
        self._start()
        return f"no end after {_PATIENCE_SECONDS:.0f} s"

    def stop(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.join()

    def _start(self) -> None:
        self._pipe, other = self._context.Pipe()
        self._process = self._context.Process(
            target=convert_all, args=(other, self._style), daemon=True
        )
        self._process.start()
        other.close()


def find_failure(source: Path, outcome: Outcome | str) -> str | None:
    """Return what is wrong with an outcome, in words; None for nothing."""
    if isinstance(outcome, str):
        return outcome
    if "Traceback" in outcome.messages or outcome.code not in EXPECTED_CODES:
        return f"exit code {outcome.code}: {outcome.messages[-300:]}"
    if outcome.code == 1 and not outcome.messages.strip():
        return "exit code 1 without a message"
    if outcome.code == 0:
        readable = count_frames(source)
        if readable is not None and (outcome.frames or 0) < readable - HANDFUL:
            return f"{outcome.frames} of {readable} frames, exit code 0: {outcome.messages[-200:]}"
    return None


def main() -> None:
    """Mutate, convert, report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--style", default=DEFAULT_STYLE, help="a small engine takes less time")
    parser.add_argument("--keep", type=Path, help="folder for the copies that failed")
    options = parser.parse_args()
    originals = sorted(
        path for path in options.folder.iterdir() if path.is_file() and path.suffix not in _SUFFIXES
    )
    codes: Counter[str] = Counter()
    failures = 0
    worker = Worker(options.style)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.count):
            original = originals[number % len(originals)]
            rng = random.Random(f"{options.seed} {number}")
            source = Path(folder) / f"{number:05d}_{original.name}"
            source.write_bytes(mutate(original.read_bytes(), rng))
            target = Path(folder) / f"{number:05d}.mkv"
            outcome = worker.convert(source, target)
            codes["failed" if isinstance(outcome, str) else f"exit {outcome.code}"] += 1
            if failure := find_failure(source, outcome):
                failures += 1
                print(f"{source.name}: {failure}", flush=True)
                if options.keep:
                    options.keep.mkdir(parents=True, exist_ok=True)
                    shutil.copy(source, options.keep)
            for left in Path(folder).iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            if number % 100 == 99:
                print(f"{number + 1} files, {failures} failures, {dict(codes)}", flush=True)
    worker.stop()
    print(f"{options.count} files, {failures} failures, {dict(codes)}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
