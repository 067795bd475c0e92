"""`toonvid build`: the plans that it writes and the lines that it prints. Plans are not run."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path

import pytest
from rich.console import Console
from support.run_toonvid import run_here
from support.tiny_engines import negative_engine, write_engine

from toonvid.backends import choice
from toonvid.backends.tensorrt import library
from toonvid.backends.tensorrt import plan as plans
from toonvid.commands.build import build_where_possible
from toonvid.ffmpeg.nvidia import Gpu, NvidiaInfo

Capsys = pytest.CaptureFixture[str]

with_tensorrt = pytest.mark.skipif(
    find_spec("tensorrt_rtx") is None or find_spec("tensorrt") is not None,
    reason="needs TensorRT-RTX, and no other TensorRT",
)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path, engines_folder) -> Path:
    monkeypatch.setenv("TOONVID_ENGINES", str(engines_folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(plans, "find_nvidia", lambda: NvidiaInfo(problem="there is no GPU"))
    return tmp_path / "cache" / "toonvid" / "plans"


@pytest.fixture
def no_tensorrt(monkeypatch):
    library.load_tensorrt.cache_clear()
    for module in (library, choice):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    yield
    library.load_tensorrt.cache_clear()


@with_tensorrt
def test_plans_of_a_style_are_written_and_listed(cache, capsys: Capsys):
    ended = run_here(capsys, "build", "negative", "--size", "1080p")
    assert (ended.code, ended.err) == (0, "")
    paths = sorted(cache.iterdir())
    assert len(paths) == 2
    lines = ended.out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "Wrote negative f32 for RTX 30 and newer, 1920x1080",
        "Wrote negative f32 for RTX 20 and GTX 16, 1920x1080",
    ]
    for path in paths:
        assert str(path) in ended.out
    again = run_here(capsys, "build", "negative", "--size", "1920x1080")
    assert again.out.count("Already built negative f32 for RTX") == 2


@with_tensorrt
def test_all_styles_are_built_when_none_is_named(cache, capsys: Capsys, engines_folder):
    ended = run_here(capsys, "build")
    assert ended.code == 0
    for style in (
        "identity f32",
        "negative f32",
        "glitch f16",
        "ink f16",
        "manga f16",
        "pepper f16",
        "poster f16",
        "storybook f16",
    ):
        assert f"Wrote {style} for RTX 30 and newer, 1280x720: " in ended.out


@with_tensorrt
def test_a_plan_that_cannot_be_kept_is_reported(monkeypatch, tmp_path, capsys: Capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    ended = run_here(capsys, "build", "negative")
    assert ended.code == 0
    assert "Built negative f32 for RTX 30 and newer, 1280x720: " in ended.out
    assert "but could not keep it" in ended.out


def test_without_tensorrt_one_line_says_how_to_install_it(no_tensorrt, capsys: Capsys):
    ended = run_here(capsys, "build", "negative")
    assert ended.code == 3
    line = "toonvid: TensorRT is not installed: pip install 'toonvid[tensorrt]'"
    assert ended.err.strip() == line


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["nobody"], 1, "no style named 'nobody'"),
        (["--size", "huge"], 2, "'huge' is not a size"),
        pytest.param(
            ["negative", "--size", "5000x2000"],
            1,
            "frames up to 4096 x 4096, not 5000 x 2000",
            marks=with_tensorrt,
        ),
    ],
)
def test_wrong_arguments_give_one_line_and_an_exit_code(arguments, code, line, capsys: Capsys):
    ended = run_here(capsys, "build", *arguments)
    assert ended.code == code
    assert line in " ".join(ended.err.split())
    assert "Traceback" not in ended.err


@with_tensorrt
def test_tensorrt_that_is_too_new_for_a_card_is_printed_for(monkeypatch, capsys: Capsys):
    old = NvidiaInfo((Gpu(0, "NVIDIA GeForce GTX 1060", (6, 1), 6 * 2**30),), 12040)
    monkeypatch.setattr(plans, "find_nvidia", lambda: old)
    ended = run_here(capsys, "build", "negative")
    assert ended.code == 3
    assert "GTX 1060 is too old for TensorRT" in ended.err


# At the end of `toonvid train` and `toonvid export`.


def printed_for(engine) -> str:
    screen = io.StringIO()
    build_where_possible(engine, Console(file=screen))
    return screen.getvalue()


@with_tensorrt
def test_a_new_engine_gets_its_plans(tmp_path, cache):
    assert printed_for(negative_engine(tmp_path)).count("Wrote negative f32 for RTX") == 2
    assert len(list(cache.iterdir())) == 2


@with_tensorrt
def test_an_engine_that_tensorrt_refuses_is_reported_and_no_failure(tmp_path):
    from onnx import helper

    nodes = [helper.make_node("Cartoonize", ["frame"], ["cartoon"])]
    line = printed_for(write_engine(tmp_path, "strange", nodes))
    assert line.startswith("No plan for TensorRT: TensorRT cannot read strange: Cartoonize")


def test_without_tensorrt_nothing_is_printed(no_tensorrt, tmp_path):
    assert printed_for(negative_engine(tmp_path)) == ""
