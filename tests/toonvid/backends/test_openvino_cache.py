"""Compiled models are kept for the next start, and taken only if they are what was stored."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.tiny_engines import controlled_cartoon, controlled_engine, negative_engine

from toonvid.backends import open_backend, openvino_cache, openvino_model
from toonvid.backends.openvino_cache import ModelCache, ModelKey, model_folder
from toonvid.engine import Engine
from toonvid.errors import BackendError, EngineError
from toonvid.video import Pixels

KEY = ModelKey(
    style="ink",
    card_sha256="0" * 64,
    precision="int8",
    library="2026.4.1",
    device="A CPU",
    config={"PERFORMANCE_HINT": "LATENCY"},
    shape=(1, 8, 8, 3),
)
OTHERS = {
    "card_sha256": "1" * 64,
    "precision": "f32",
    "library": "2026.5.0",
    "device": "Another CPU",
    "config": {"PERFORMANCE_HINT": "THROUGHPUT"},
    "shape": (1, 8, 16, 3),
}
FRAMES = np.random.default_rng(1).integers(0, 256, (1, 8, 16, 3), np.uint8)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of compiled models, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return model_folder()


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return negative_engine(tmp_path / "engines")


def cartoon_of(engine: Engine, frames: Pixels = FRAMES) -> Pixels:
    with open_backend(engine, "openvino", precision="f32") as backend:
        return backend.run(frames)


def compile_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything fail that needs the engine's graph."""

    def refuse(*_: object) -> None:
        raise AssertionError("the graph was read")

    monkeypatch.setattr(openvino_model, "move_bytes", refuse)


def test_the_next_start_compiles_nothing_and_draws_the_same(
    engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cartoon_of(engine)
    assert len(list(folder.iterdir())) == 1
    compile_nothing(monkeypatch)
    assert np.array_equal(cartoon_of(engine), first)
    assert np.array_equal(first, 255 - FRAMES)


def test_kept_models_have_their_controls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = controlled_engine(tmp_path / "engines")
    cartoon_of(engine)
    compile_nothing(monkeypatch)
    with open_backend(engine, "openvino", precision="f32") as backend:
        for ink in (0.0, 0.5):
            found = backend.run(FRAMES, {"ink": ink})
            assert np.array_equal(found, controlled_cartoon(FRAMES, ink=ink))


def test_another_size_is_compiled_and_only_the_first_is_kept(engine: Engine, folder: Path) -> None:
    for side in (8, 24):
        with open_backend(engine, "openvino", precision="f32") as backend:
            for height in (side, 2 * side):
                frames = np.full((1, height, side, 3), 7, np.uint8)
                assert np.array_equal(backend.run(frames), 255 - frames)
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("damage", ["a weight", "its end", "all of it"])
def test_a_damaged_file_is_not_used_and_written_anew(
    damage: str, engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = cartoon_of(engine)
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    white, gray = np.float32(255).tobytes(), np.float32(100).tobytes()
    assert white in whole
    changed = whole.replace(white, gray)  # OpenVINO would take it, and draw 100 - frame
    file.write_bytes({"a weight": changed, "its end": whole[:-9], "all of it": b""}[damage])
    assert np.array_equal(cartoon_of(engine), expected)
    compile_nothing(monkeypatch)
    assert np.array_equal(cartoon_of(engine), expected)


def test_what_openvino_does_not_take_is_compiled_anew(
    engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ModelCache, "find", lambda *_: b"of another version")
    assert np.array_equal(cartoon_of(engine), 255 - FRAMES)
    assert len(list(folder.iterdir())) == 1


def test_an_engine_whose_file_was_changed_is_still_refused(engine: Engine) -> None:
    cartoon_of(engine)
    path = engine.folder / "negative.onnx"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(EngineError, match="SHA-256 differs"):
        cartoon_of(engine)


def test_nothing_is_kept_of_a_run_that_fails(engine: Engine, folder: Path) -> None:
    backend = open_backend(engine, "openvino", precision="f32")
    with pytest.raises(KeyboardInterrupt), backend:
        backend.run(FRAMES)
        raise KeyboardInterrupt
    assert not list(folder.iterdir())


@pytest.mark.parametrize("field", OTHERS)
def test_a_model_of_another_key_is_not_found(field: str) -> None:
    cache = ModelCache()
    cache.store(KEY, b"exported\nmodel")
    assert cache.find(KEY) == b"exported\nmodel"
    other = replace(KEY, **{field: OTHERS[field]})
    assert cache.find(other) is None
    assert cache.knows(other) == (field in ("config", "shape"))


def test_the_oldest_files_are_removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_cache, "_MOST_FILES", 3)
    cache = ModelCache()
    keys = [replace(KEY, shape=(1, 8, side, 3)) for side in range(8, 13)]
    for key in keys:
        cache.store(key, b"exported")
    assert [cache.find(key) is not None for key in keys] == [False, False, True, True, True]
    assert len(list(folder.iterdir())) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="about POSIX permissions")
def test_a_folder_that_others_can_write_to_is_not_used(
    engine: Engine, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cartoon_of(engine)
    (file,) = folder.iterdir()
    file.unlink()
    folder.chmod(0o777)
    assert np.array_equal(cartoon_of(engine), 255 - FRAMES)
    assert not list(folder.iterdir())
    assert f"others can write to {folder}" in caplog.text


def test_without_the_folder_nothing_is_kept(engine: Engine, folder: Path) -> None:
    folder.parent.parent.mkdir()
    folder.parent.write_bytes(b"")  # a file where a folder belongs
    assert np.array_equal(cartoon_of(engine), 255 - FRAMES)


def test_a_backend_gets_ready_for_the_frames_that_follow(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_backend(engine, "openvino", precision="f32") as backend:
        backend.prepare(FRAMES.shape)
        assert [c.tolist() for c in backend.stream([FRAMES] * 3)] == [(255 - FRAMES).tolist()] * 3
        compile_nothing_more(monkeypatch)
        assert [c.tolist() for c in backend.stream([FRAMES] * 2)] == [(255 - FRAMES).tolist()] * 2


def test_what_fails_while_it_gets_ready_is_raised_with_the_first_frame(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_backend(engine, "openvino", precision="f32") as backend:
        compile_nothing_more(monkeypatch)
        backend.prepare(FRAMES.shape)
        with pytest.raises(BackendError, match="out of memory"):
            list(backend.stream([FRAMES] * 2))


def compile_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(openvino_model.OpenVINOModel, "compile", fail)
