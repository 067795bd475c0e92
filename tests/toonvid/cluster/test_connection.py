"""Without Ray, or without a cluster, there is one line."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.clips import Clip
from support.run_toonvid import run_here

from toonvid.cluster import connection
from toonvid.cluster.connection import connected
from toonvid.doctor import cluster as doctor
from toonvid.errors import ClusterError


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)


@pytest.mark.usefixtures("no_ray")
def test_without_ray_the_command_says_what_to_install(tmp_path: Path, capsys):
    source = Clip().write(tmp_path / "video.mp4")
    ended = run_here(capsys, "convert", str(source), "--cluster", "local", "-q")
    assert ended.code == 3
    assert "--cluster needs Ray: pip install 'toonvid[cluster]'" in ended.err
    assert list(tmp_path.iterdir()) == [source]


def test_rays_client_is_refused():
    with (
        pytest.raises(ClusterError, match=r"is not supported.*ray start --address") as caught,
        connected("ray://head:10001"),
    ):
        pass
    assert "\n" not in str(caught.value)


@pytest.fixture
def listener() -> Iterator[str]:
    """Address of something that listens and is no head node."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_an_address_is_refused_if_ray_gets_no_answer_there(listener, monkeypatch):
    monkeypatch.setattr(connection, "load_ray", lambda: None)
    monkeypatch.setattr(connection, "_ASK", "import sys; sys.exit(int(sys.argv[3]))")
    with (
        pytest.raises(ClusterError, match="what listens there is no head node") as caught,
        connected(listener),
    ):
        pass
    assert "\n" not in str(caught.value)


def test_the_doctor_says_that_ray_is_not_installed(monkeypatch):
    monkeypatch.setattr(doctor, "is_ray_installed", lambda: False)
    (check,) = doctor.check_cluster()
    assert (check.state, check.message) == ("missing", "not installed")
    assert "toonvid[cluster]" in check.fix
