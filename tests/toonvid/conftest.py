"""Fixtures of the runtime tests: tiny engines, a short video, and conversions in both ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.error import FFmpegError
from support.tiny_engines import identity_engine, negative_engine

from toonvid import pipeline
from toonvid.backends import Backend, open_backend
from toonvid.bench.demo_scene import write_scene
from toonvid.engine import find_engine
from toonvid.pipeline import Conversion, ConvertOptions
from toonvid.reading.options import DecodeOptions
from toonvid.resume import segmented
from toonvid.stylizing.options import StylizeOptions
from toonvid.writing.options import EncodeOptions

F = Fraction


@pytest.fixture(scope="session", autouse=True)
def tone_tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tone tables of HDR sources are kept for this run of tests, and not in the user's cache."""
    folder = tmp_path_factory.mktemp("tone-tables")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("toonvid.ffmpeg.tone_table.tone_table_folder", lambda: folder)
        yield


@pytest.fixture(scope="session")
def engines_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the styles `identity` and `negative`."""
    folder = tmp_path_factory.mktemp("engines")
    identity_engine(folder)
    negative_engine(folder)
    return folder


@pytest.fixture(scope="session")
def scene_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second of our own scene with sound, 96x64, 12 frames a second."""
    film = tmp_path_factory.mktemp("scene") / "scene.mp4"
    write_scene(film, 96, 64, Fraction(12), 1.0)
    return film


@pytest.fixture(scope="session")
def identity(engines_folder: Path) -> Iterator[Backend]:
    """A backend that gives every frame back as it came."""
    engine = find_engine(str(engines_folder / "identity.onnx"))
    with open_backend(engine, precision="f32") as backend:
        yield backend


def segment_length(source: Path | str) -> Fraction:
    """Return a length that gives about three segments."""
    try:
        with av.open(str(source)) as container:
            return max(F(container.duration or 0, 3 * av.time_base), F(1, 10))
    except (OSError, FFmpegError):
        return F(1, 10)


@pytest.fixture(params=["at-once", "in-segments"])
def toon(
    identity: Backend, tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[..., Conversion]:
    """Converts a clip with the identity engine to a file of the name given, in `tmp_path`.

    Every promise holds for videos written in one go and for those joined of tiny segments.
    """

    def run(
        source: Path | str,
        name: str = "target.mp4",
        decoding: DecodeOptions | None = None,
        encoding: EncodeOptions | None = None,
        stylizing: StylizeOptions | None = None,
    ) -> Conversion:
        target = name if name == "-" else tmp_path / name
        options = ConvertOptions(
            decoding=decoding or DecodeOptions(),
            # With the identity engine, each frame of the target is then that of the source.
            stylizing=stylizing or StylizeOptions(steady=0, quality="normal"),
            encoding=encoding or EncodeOptions(),
            segment_seconds=segment_length(source),
        )
        convert = pipeline.convert if request.param == "at-once" else segmented.convert
        return convert(source, target, identity, options)

    return run


@pytest.fixture
def only_tiny_engines(
    engines_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command line finds no other engines than the tests' own, and has wide lines."""
    monkeypatch.setenv("TOONVID_ENGINES", str(engines_folder))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
