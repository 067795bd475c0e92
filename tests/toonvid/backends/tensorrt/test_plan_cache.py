"""The cache of plans: a plan is native code, so only one that was built here is loaded."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from toonvid.backends.tensorrt.plan_cache import PlanCache, PlanKey, plan_folder
from toonvid.errors import BackendError

KEY = PlanKey(
    style="ink",
    engine_sha256="0" * 64,
    precision="f16",
    library="tensorrt_rtx 1.7.1",
    target="8.0+",
    smallest=(4, 4),
    size=(1280, 720),
    largest=(4096, 4096),
)
OTHERS = {
    "engine_sha256": "1" * 64,
    "precision": "f32",
    "library": "tensorrt_rtx 1.7.2",
    "target": "7.5",
    "smallest": (8, 8),
    "largest": (2048, 2048),
}
PLAN = b"native\ncode"

posix = pytest.mark.skipif(sys.platform == "win32", reason="about POSIX permissions")


@pytest.fixture
def cache(tmp_path) -> PlanCache:
    return PlanCache(tmp_path / "plans")


def store(cache: PlanCache, key: PlanKey = KEY, plan: bytes = PLAN) -> Path:
    path = cache.store(key, plan)
    assert path is not None
    return path


def test_a_stored_plan_is_found(cache):
    path = store(cache)
    assert cache.find(KEY) == (PLAN, path)
    assert list(cache.folder.iterdir()) == [path]


@pytest.mark.parametrize("field", OTHERS)
def test_a_plan_of_another_key_is_not_found(field, cache):
    store(cache)
    other = replace(KEY, **{field: OTHERS[field]})
    assert cache.find(other) is None
    # The header counts, not the file name: a renamed file is not found either.
    (cache.folder / KEY.file_name).replace(cache.folder / other.file_name)
    assert cache.find(other) is None


def test_the_newest_plan_is_found_unless_the_size_must_be_exact(cache):
    large = replace(KEY, size=(1920, 1080))
    os.utime(store(cache), (1, 1))
    path = store(cache, large, b"large")
    assert cache.find(KEY) == (b"large", path)
    assert cache.find(KEY, exact_size=True) == (PLAN, cache.folder / KEY.file_name)
    assert cache.find(replace(KEY, size=(640, 360)), exact_size=True) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: content[:-1] + b"E",
        lambda content: content.replace(b"toonvid plan 1", b"toonvid plan 0"),
        lambda content: content.split(b"\n", 1)[1],
        lambda content: b"[]\n" + content,
        lambda content: b"",
        lambda content: b"\xff\xfe" + content,
    ],
)
def test_a_damaged_plan_is_not_found_and_can_be_stored_again(damage, cache):
    path = store(cache)
    path.write_bytes(damage(path.read_bytes()))
    assert cache.find(KEY) is None
    store(cache)
    assert cache.find(KEY) == (PLAN, path)


@posix
def test_a_folder_that_others_can_write_to_is_refused(tmp_path):
    folder = tmp_path / "plans"
    PlanCache(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    for mode in (0o770, 0o702):
        folder.chmod(mode)
        with pytest.raises(BackendError, match=r"others can write to .* chmod 700") as refused:
            PlanCache(folder)
        assert "\n" not in str(refused.value)


@posix
@pytest.mark.skipif(os.name != "nt" and os.geteuid() != 0, reason="gives a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path):
    PlanCache(tmp_path / "plans")
    os.chown(tmp_path / "plans", 12345, 12345)
    with pytest.raises(BackendError, match="others can write to"):
        PlanCache(tmp_path / "plans")


@posix
def test_a_plan_that_others_can_write_to_is_skipped(cache, caplog):
    path = store(cache)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o666)
    assert cache.find(KEY) is None
    assert "is skipped: others can write to it" in caplog.text


@posix
def test_a_symbolic_link_is_not_followed(cache, tmp_path):
    path = store(cache)
    path.replace(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert cache.find(KEY) is None


def test_a_file_in_place_of_the_folder_disables_the_cache(tmp_path):
    (tmp_path / "plans").write_text("")
    cache = PlanCache(tmp_path / "plans")  # it cannot be created, which is no error
    assert cache.find(KEY) is None
    assert cache.store(KEY, PLAN) is None


def test_kernels_are_stored_for_one_gpu_and_checked(cache):
    assert cache.find_kernels(KEY, "RTX 4090, driver 1") is None
    path = cache.store_kernels(KEY, "RTX 4090, driver 1", b"kernels")
    assert path is not None
    assert cache.find_kernels(KEY, "RTX 4090, driver 1") == b"kernels"
    assert cache.find_kernels(KEY, "RTX 4090, driver 2") is None
    assert cache.find_kernels(replace(KEY, library="tensorrt_rtx 2"), "RTX 4090, driver 1") is None
    path.write_bytes(path.read_bytes()[:-1])
    assert cache.find_kernels(KEY, "RTX 4090, driver 1") is None
    assert cache.find(KEY) is None  # kernels are no plan


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="about XDG_CACHE_HOME")
def test_the_folder_of_plans_follows_xdg_cache_home(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert plan_folder() == tmp_path / "toonvid" / "plans"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert plan_folder() == tmp_path / ".cache" / "toonvid" / "plans"


@posix
@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_not_a_file_is_skipped(kind, cache):
    """Opening a pipe would wait for its other end, and a folder cannot be read."""
    path = cache.folder / KEY.file_name
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    assert cache.find(KEY) is None
    older = store(cache, replace(KEY, size=(640, 360)))
    assert cache.find(KEY) == (PLAN, older)
