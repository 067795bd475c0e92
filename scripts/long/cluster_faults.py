#!/usr/bin/env python3
"""Convert on a cluster of two nodes while parts of it are ended; the targets must stay the same.

    scripts/long/cluster_faults.py --sources ../shared/video --kills 10

Needs the extra `cluster`, and Linux. All sources are converted by plain runs, then on a cluster,
and the bytes are compared. Then the sources named by `--faulty` are converted again and again, with
one kind of fault in each run. Two faults, a full disk and a source that a node does not share, need
the right to mount (root): elsewhere a line says that they were left out. Prints a line for each
run. Exit code 1 if any target differs.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.ray_cluster import kill, ray_cluster, segment_workers  # noqa: E402

SUFFIXES = {".mp4", ".mkv", ".mov"}


def main() -> None:
    options = parse()
    if options.drive:
        drive(options)
        return
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(options, Path(folder))
        trial.plain()
        trial.cluster_run("no fault", trial.sources)
        for name, fault in FAULTS.items():
            if options.only is None or options.only in name:
                fault(trial, name)
    sys.exit(1 if trial.differing else 0)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sources", type=Path, required=True, help="folder of videos")
    parser.add_argument("--faulty", default="car-detection.mp4,nasa_180p_2audio.mp4")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--segment-seconds", type=Fraction, default=Fraction(2))
    parser.add_argument("--only", help="faults whose name contains this")
    parser.add_argument("--drive", help=argparse.SUPPRESS)  # address; files and folder follow
    parser.add_argument("--files", nargs="*", help=argparse.SUPPRESS)
    return parser.parse_args()


class Trial:
    """Plain targets, and runs that are compared with them."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.sources = sorted(p for p in options.sources.iterdir() if p.suffix in SUFFIXES)
        names = options.faulty.split(",")
        self.faulty = [p for p in self.sources if p.name in names]
        self.random = random.Random(options.seed)
        self.differing = 0

    def plain(self) -> None:
        """Convert all sources one after the other, in this process."""
        from toonvid.backends import open_backend
        from toonvid.engine import find_engine
        from toonvid.resume.segmented import convert

        (self.folder / "plain").mkdir()
        began = time.perf_counter()
        frames = 0
        with open_backend(find_engine("ink")) as backend:
            for source in self.sources:
                target = self.folder / "plain" / f"{source.name}.mp4"
                frames += convert(source, target, backend, conversion(self.options)).frames
        self.report("plain", f"{len(self.sources)} sources, {frames} frames", began)

    def cluster_run(
        self,
        name: str,
        sources: list[Path],
        fault: Callable[[Run], None] | None = None,
        environment: dict[str, str] | None = None,
        prepare: Callable[[Any], AbstractContextManager[None]] | None = None,
    ) -> Run:
        """Convert on two nodes while a fault happens, and compare the targets."""
        out = Path(tempfile.mkdtemp(dir=self.folder))
        began = time.perf_counter()
        with ray_cluster(environment=environment) as cluster:
            run = Run(self, cluster, sources, out)
            if prepare is None:
                run.go(fault)
            else:
                with prepare(cluster):
                    run.go(fault)
        same = sum(
            (out / f"{s.name}.mp4").is_file()
            and (out / f"{s.name}.mp4").read_bytes()
            == (self.folder / "plain" / f"{s.name}.mp4").read_bytes()
            for s in sources
        )
        left = len(list(out.glob(".*")))
        self.differing += same < len(sources) or left > 0
        self.report(
            name, f"{same} of {len(sources)} targets are the same bytes, {left} left", began
        )
        for line in run.lines:
            print(f"    {line}", flush=True)
        return run

    def report(self, name: str, found: str, began: float) -> None:
        print(f"{name}: {found}, {time.perf_counter() - began:.1f} s", flush=True)


class Run:
    """One run of the driver, in a process of its own."""

    def __init__(self, trial: Trial, cluster: Any, sources: list[Path], out: Path) -> None:
        self.trial, self.cluster, self.sources, self.out = trial, cluster, sources, out
        self.lines: list[str] = []
        self.made = 0

    def go(self, fault: Callable[[Run], None] | None) -> None:
        self.start()
        if fault is not None:
            fault(self)
        self.process.wait()
        self._reader.join()

    def start(self) -> None:
        """Start the driver, and read what it prints."""
        options = self.trial.options
        self.process = subprocess.Popen(
            [
                *(sys.executable, __file__, "--sources", str(self.out)),
                *("--segment-seconds", str(options.segment_seconds)),
                *("--drive", self.cluster.address),
                *("--files", *map(str, self.sources)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            words = line.split()
            if words[:1] == ["frames"] and words[1].isdigit():
                self.made = int(words[1])
            else:
                self.lines.append(line.rstrip())

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def wait_for_frames(self, frames: int) -> None:
        """Wait until the run has made so many frames, or has ended."""
        while self.is_running and self.made < frames:
            time.sleep(0.05)

    def random_worker(self) -> int | None:
        workers = segment_workers()
        return self.trial.random.choice(workers) if workers else None


def conversion(options: argparse.Namespace) -> Any:
    from toonvid.pipeline import ConvertOptions

    return ConvertOptions(segment_seconds=options.segment_seconds)


def drive(options: argparse.Namespace) -> None:
    """Be the driver: convert files to a folder, and print notes and numbers of frames."""
    from toonvid.backends import open_backend
    from toonvid.cluster.connection import connected
    from toonvid.cluster.driver import ClusterRun
    from toonvid.cluster.status import ClusterStatus
    from toonvid.engine import find_engine

    jobs = [(name, str(options.sources / f"{Path(name).name}.mp4")) for name in options.files]
    jobs = [(source, target) for source, target in jobs if not Path(target).exists()]
    nodes: dict[str, int] = {}

    def note(status: ClusterStatus) -> None:
        nodes.update(status.node_frames)
        print(f"frames {status.frames}", flush=True)

    with open_backend(find_engine("ink")) as backend, connected(options.drive) as ray:
        ClusterRun(
            ray=ray,
            backend=backend,
            options=conversion(options),
            on_done=lambda source, _target, done: None,
            on_failed=lambda source, _target, error: print(f"failed: {error}", flush=True),
            on_note=lambda line: print(line, flush=True),
            on_status=note,
            slow_after_seconds=15.0,
        ).run(jobs)
    print("frames of each node:", ", ".join(f"{name} {n}" for name, n in nodes.items()), flush=True)


def workers_killed(trial: Trial, name: str) -> None:
    """Kill -9 workers at random moments."""

    def fault(run: Run) -> None:
        killed = 0
        run.wait_for_frames(1)
        while run.is_running and killed < trial.options.kills:
            time.sleep(trial.random.uniform(0.5, 6))
            if (worker := run.random_worker()) is not None:
                kill(worker)
                killed += 1
        run.lines.append(f"killed {killed} workers")

    trial.cluster_run(name, trial.faulty, fault)


def driver_killed(trial: Trial, name: str) -> None:
    """Kill -9 the driver three times at random moments, and start it again."""

    def fault(run: Run) -> None:
        for _ in range(3):
            run.wait_for_frames(1)
            time.sleep(trial.random.uniform(0, 10))
            if run.is_running:
                kill(run.process.pid)
                run.process.wait()
                run.made = 0
                run.lines.append("killed the driver")
                run.start()

    trial.cluster_run(name, trial.faulty, fault)


def node_removed(trial: Trial, name: str) -> None:
    """End a node, with its object store and what was finished in it, while it works."""

    def fault(run: Run) -> None:
        run.wait_for_frames(100)
        run.cluster.remove_node(run.cluster.worker_nodes.copy().pop(), allow_graceful=False)

    trial.cluster_run(name, trial.faulty, fault)


def node_slow(trial: Trial, name: str) -> None:
    """Stop a worker for good without ending it."""
    stopped: list[int] = []

    def fault(run: Run) -> None:
        run.wait_for_frames(100)
        if (worker := run.random_worker()) is not None:
            stopped.append(worker)
            os.kill(worker, signal.SIGSTOP)

    trial.cluster_run(name, trial.faulty, fault)
    for worker in stopped:
        kill(worker)


def can_mount() -> bool:
    return subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


@contextmanager
def separate_node(cluster: Any, mounts: str) -> Any:
    """Add a node that sees other file systems than the driver."""
    node = subprocess.Popen(
        [
            *("unshare", "-m", "sh", "-c"),
            f"{mounts} && exec {Path(sys.executable).with_name('ray')} start --block --num-cpus 1"
            f" --address {cluster.address} --object-store-memory {100 * 2**20}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        time.sleep(10)
        yield
    finally:
        os.killpg(node.pid, signal.SIGTERM)
        try:
            node.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(node.pid, signal.SIGKILL)


def source_not_shared(trial: Trial, name: str) -> None:
    """Hide the sources from a node: it gets them through the object store."""
    mounts = f"mount -t tmpfs none {trial.options.sources.absolute()}"
    mount_fault(trial, name, mounts)


def disk_full(trial: Trial, name: str) -> None:
    """Hide the sources, and give the node a disk that does not hold them."""
    cache = trial.folder / "cache"
    cache.mkdir(exist_ok=True)
    mounts = (
        f"mount -t tmpfs none {trial.options.sources.absolute()}"
        f" && mount -t tmpfs -o size=256k none {cache} && export XDG_CACHE_HOME={cache}"
    )
    mount_fault(trial, name, mounts)


def mount_fault(trial: Trial, name: str, mounts: str) -> None:
    if not can_mount():
        print(f"{name}: left out, no right to mount")
        return
    trial.cluster_run(name, trial.faulty, prepare=lambda cluster: separate_node(cluster, mounts))


FAULTS: dict[str, Callable[[Trial, str], None]] = {
    "workers killed": workers_killed,
    "driver killed": driver_killed,
    "node removed": node_removed,
    "slow worker": node_slow,
    "source not shared": source_not_shared,
    "full disk": disk_full,
}

if __name__ == "__main__":
    main()
