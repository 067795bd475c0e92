"""Two nodes on this machine make the bytes of a plain run, whatever ends meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.clips import Clip, Tone
from support.ray_cluster import kill, ray_cluster, segment_workers
from support.run_toonvid import killed_at_end
from support.scripted_feed import repeat

from toonvid.backends import Backend
from toonvid.cluster import connection
from toonvid.cluster.connection import connected
from toonvid.cluster.driver import ClusterRun
from toonvid.cluster.segment_task import make_segments
from toonvid.cluster.source_copy import read_chunk
from toonvid.cluster.status import ClusterStatus
from toonvid.errors import ClusterError, ToonvidError
from toonvid.pipeline import Conversion, ConvertOptions
from toonvid.resume import segmented
from toonvid.resume.job_state import read_job_state

pytest.importorskip("ray", reason="the extra 'cluster' (Ray) is not installed")
pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]

OPTIONS = ConvertOptions(segment_seconds=Fraction(1))


@pytest.fixture(scope="module")
def cluster(engines_folder: Path) -> Iterator[Any]:
    with ray_cluster(environment={"TOONVID_ENGINES": str(engines_folder)}) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A video of 20 segments, one of two, and one that cannot be sought."""
    folder = tmp_path_factory.mktemp("videos")
    noise = np.random.default_rng(0).integers(0, 256, (40, 240, 320, 3), np.uint8)
    long = Clip([noise[n % 40] for n in range(500)], options={"g": "40"}, audio=(Tone(),))
    short = Clip([noise[n] for n in range(30)])
    return [
        long.write(folder / "long.mp4"),
        short.write(folder / "short.mkv"),
        short.write(folder / "stream.ts"),
    ]


@pytest.fixture(scope="module")
def plain(videos: list[Path], identity: Backend, tmp_path_factory) -> dict[str, bytes]:
    """Name of a video -> bytes of its target on one machine."""
    folder = tmp_path_factory.mktemp("plain")
    for video in videos:
        segmented.convert(video, folder / f"{video.stem}.mp4", identity, OPTIONS)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Watch:
    """Collects what a run reports, and does something once some segments are finished."""

    def __init__(self, after_frames: int = 0, act: Any = None) -> None:
        self.done: dict[str, Conversion] = {}
        self.failed: dict[str, ToonvidError] = {}
        self.notes: list[str] = []
        self.status: ClusterStatus | None = None
        self._after_frames, self._act = after_frames, act

    def see(self, status: ClusterStatus) -> None:
        self.status = status
        if self._act is not None and status.frames >= self._after_frames:
            self._act, act = None, self._act
            act()


def run(
    cluster: Any, videos: list[Path], folder: Path, backend: Backend, watch: Watch, **values: Any
) -> None:
    with connected(cluster.address) as ray:
        ClusterRun(
            ray=ray,
            backend=backend,
            options=OPTIONS,
            on_done=lambda source, _, done: watch.done.update({Path(source).name: done}),
            on_failed=lambda source, _, error: watch.failed.update({Path(source).name: error}),
            on_note=watch.notes.append,
            on_status=watch.see,
            **values,
        ).run([(str(video), str(folder / f"{video.stem}.mp4")) for video in videos])


def targets(folder: Path) -> dict[str, bytes]:
    assert not list(folder.glob(".*")), "nothing is left beside a target"
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_many_sources_are_one_job_and_give_the_bytes_of_plain_runs(
    cluster, videos, plain, identity, tmp_path
):
    watch = Watch()
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"not a video")
    folder = tmp_path / "out"
    run(cluster, [bad, *videos], folder, identity, watch)
    assert targets(folder) == plain
    assert {name: done.frames for name, done in watch.done.items()} == {
        "long.mp4": 500,
        "short.mkv": 30,
        "stream.ts": 30,
    }
    assert list(watch.failed) == ["bad.mp4"]
    assert watch.notes == []
    assert watch.status is not None
    assert watch.status.frames == 560
    assert sum(watch.status.node_frames.values()) == 560
    assert min(watch.status.node_frames.values()) > 0, "both nodes have worked"


def test_a_source_that_is_lost_is_given_up_and_the_others_go_on(
    cluster, videos, plain, identity, tmp_path
):
    lost = Path(shutil.copy(videos[0], tmp_path / "lost.mp4"))
    watch = Watch(after_frames=50, act=lost.unlink)
    folder = tmp_path / "out"
    run(cluster, [lost, videos[1]], folder, identity, watch)
    assert (folder / "short.mp4").read_bytes() == plain["short.mp4"]
    assert list(watch.failed) == ["lost.mp4"]
    said = str(watch.failed["lost.mp4"])
    assert "every node has failed with it, at last: No such file or directory" in said
    assert "\n" not in said
    assert not any("is left out" in note for note in watch.notes)


def test_killed_workers_cost_their_segment_and_nothing_else(
    cluster, videos, plain, identity, tmp_path, capfd
):
    def kill_all() -> None:
        workers = segment_workers()
        assert workers
        for process_id in workers:
            kill(process_id)

    watch = Watch(after_frames=100, act=kill_all)
    run(cluster, videos[:1], tmp_path, identity, watch)
    assert targets(tmp_path) == {"long.mp4": plain["long.mp4"]}
    assert any("is made again" in note for note in watch.notes)
    time.sleep(2)  # Ray would say more, to standard output
    assert "raylet" not in capfd.readouterr().out
    assert watch.done["long.mp4"].frames == 500


def test_a_node_that_is_removed_is_named_and_its_segments_are_made_by_others(
    cluster, videos, plain, identity, tmp_path
):
    node = cluster.add_node(num_cpus=2, object_store_memory=100 * 2**20)
    watch = Watch(after_frames=75, act=lambda: cluster.remove_node(node, allow_graceful=False))
    run(cluster, videos[:1], tmp_path, identity, watch)
    assert targets(tmp_path) == {"long.mp4": plain["long.mp4"]}
    assert any("is gone" in note for note in watch.notes)


DRIVER = """
import sys
from fractions import Fraction
from pathlib import Path
from toonvid.backends import open_backend
from toonvid.cluster.connection import connected
from toonvid.cluster.driver import ClusterRun
from toonvid.engine import find_engine
from toonvid.pipeline import ConvertOptions
address, source, target = sys.argv[1:]
with open_backend(find_engine("identity"), precision="f32") as backend:
    with connected(address) as ray:
        nothing = lambda *_: None
        options = ConvertOptions(segment_seconds=Fraction(1))
        ClusterRun(ray, backend, options, nothing, nothing).run([(source, target)])
"""


def test_a_driver_that_is_killed_and_started_again_goes_on(
    cluster, videos, plain, identity, tmp_path
):
    target = tmp_path / "long.mp4"
    arguments = [cluster.address, str(videos[0]), str(target)]
    with killed_at_end(subprocess.Popen([sys.executable, "-c", DRIVER, *arguments])) as driver:
        for _ in repeat("too few segments were finished"):
            if (state := read_job_state(target)) is not None and state.segments >= 3:
                break
            assert driver.poll() is None
            time.sleep(0.05)
    state = read_job_state(target)
    assert state is not None
    assert state.process_id is None
    watch = Watch()
    run(cluster, videos[:1], tmp_path, identity, watch)
    assert targets(tmp_path) == {"long.mp4": plain["long.mp4"]}
    assert watch.done["long.mp4"].resumed_frames >= 75


def test_a_slow_segment_is_given_to_another_node_too(cluster, videos, plain, identity, tmp_path):
    stopped: list[int] = []

    def stop_one() -> None:
        stopped.extend(segment_workers()[:1])
        for process_id in stopped:
            os.kill(process_id, signal.SIGSTOP)

    watch = Watch(after_frames=100, act=stop_one)
    try:
        run(cluster, videos[:1], tmp_path, identity, watch, slow_after_seconds=3.0)
    finally:
        for process_id in stopped:
            kill(process_id)
    assert stopped
    assert targets(tmp_path) == {"long.mp4": plain["long.mp4"]}
    assert any("is slow with segment" in note for note in watch.notes)


class LosingRay:
    """Ray, in whose object store one result is lost."""

    def __init__(self, ray: Any) -> None:
        self._ray, self.lost = ray, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ray, name)

    def get(self, reference: Any, **values: Any) -> Any:
        if not self.lost:
            self.lost += 1
            raise self._ray.exceptions.ObjectLostError(reference.hex(), None, "")
        return self._ray.get(reference, **values)


def test_a_result_that_is_lost_in_the_object_store_is_made_again(
    cluster, videos, plain, identity, tmp_path
):
    watch = Watch()
    with connected(cluster.address) as ray:
        losing = LosingRay(ray)
        ClusterRun(
            ray=losing,  # type: ignore[arg-type]
            backend=identity,
            options=OPTIONS,
            on_done=lambda *_: None,
            on_failed=lambda _source, _target, error: pytest.fail(str(error)),
            on_note=watch.notes.append,
        ).run([(str(videos[1]), str(tmp_path / "short.mp4"))])
    assert losing.lost == 1
    assert targets(tmp_path) == {"short.mp4": plain["short.mp4"]}
    assert any("ObjectLostError" in note for note in watch.notes)


def test_chunks_come_from_the_node_that_has_the_file(cluster, tmp_path):
    (tmp_path / "file").write_bytes(b"0123456789")
    with connected(cluster.address) as ray:
        read = ray.remote(read_chunk)
        assert ray.get(read.remote(str(tmp_path / "file"), 4, 3)) == b"456"
        # By its name: no code crosses.
        assert len(ray.cloudpickle.dumps(make_segments)) < 200


def test_where_nothing_listens_there_is_one_line():
    with (
        pytest.raises(ClusterError, match="no cluster can be reached") as caught,
        connected("127.0.0.1:1"),
    ):
        pass
    assert "\n" not in str(caught.value)


def test_where_something_else_listens_there_is_one_line(monkeypatch):
    monkeypatch.setattr(connection, "_ANSWER_SECONDS", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with (
            pytest.raises(ClusterError, match="what listens there is no head node") as caught,
            connected(address),
        ):
            pass
    assert "\n" not in str(caught.value)


def test_the_doctor_finds_the_cluster(cluster, monkeypatch):
    from toonvid.doctor.cluster import check_cluster

    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    (check,) = check_cluster()
    assert check.state == "ok"
    assert check.message.endswith("a cluster of 2 nodes with 2 cores")


def test_the_command_converts_on_a_cluster(cluster, videos, plain, tmp_path, engines_folder):
    """The command makes one segment of the video, so its bytes differ from those of several."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "toonvid", "convert", str(videos[1])),
            *("-o", str(tmp_path / "out.mp4"), "--cluster", cluster.address, "--json"),
            *("--style", str(engines_folder / "identity.onnx"), "--precision", "f32"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["frames"] == 30
    assert "Wrote" in done.stderr


def test_ctrl_c_ends_the_command_as_on_one_machine(cluster, videos, tmp_path, engines_folder):
    command = subprocess.Popen(
        [
            *(sys.executable, "-m", "toonvid", "convert", str(videos[0])),
            *("-o", str(tmp_path / "out.mp4"), "--cluster", cluster.address),
            *("--style", str(engines_folder / "identity.onnx"), "--precision", "f32"),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    with killed_at_end(command):
        for _ in repeat("no worker was started"):
            if segment_workers():
                break
            assert command.poll() is None
            time.sleep(0.05)
        for process_id in segment_workers():  # so that the run is in the middle of waiting
            os.kill(process_id, signal.SIGSTOP)
        command.send_signal(signal.SIGINT)
        _, said = command.communicate(timeout=120)
    assert command.returncode == 130
    assert "Traceback" not in said
