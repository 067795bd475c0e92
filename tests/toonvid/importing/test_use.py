"""An imported style is used as any other: convert, live, styles try, Python, plans."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
import onnx
import pytest
from onnx import helper
from support.cartoonizers import BUILDERS
from support.run_toonvid import run_here
from support.small_networks import constant, network, save

from toonvid.backends import open_backend
from toonvid.backends.tensorrt import plan as plans
from toonvid.bench.demo_scene import draw_scene
from toonvid.engine import find_engine
from toonvid.ffmpeg.nvidia import NvidiaInfo
from toonvid.importing import calibration

Capsys = pytest.CaptureFixture[str]

with_tensorrt = pytest.mark.skipif(
    find_spec("tensorrt_rtx") is None or find_spec("tensorrt") is not None,
    reason="needs TensorRT-RTX, and no other TensorRT",
)


@pytest.fixture
def hayao(tmp_path: Path, capsys: Capsys) -> str:
    """The stand-in of AnimeGANv2, added."""
    path = save(BUILDERS["animeganv2"](11), tmp_path / "hayao.onnx")
    assert run_here(capsys, "styles", "add", path, "--as", "animeganv2").code == 0
    return "hayao"


@pytest.mark.parametrize(
    "options", [(), ("--steady", "0"), ("--strength", "0.5"), ("--keep-color", "--size", "32p")]
)
def test_clips_are_converted(options, hayao, scene_video, tmp_path, capsys: Capsys):
    target = tmp_path / "t.mp4"
    ended = run_here(capsys, "convert", scene_video, "-o", target, "--style", hayao, *options)
    assert ended.code == 0, ended.err
    with av.open(str(target)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert len(container.streams.audio) == 1
    assert len(frames) == 12
    assert frames[0].shape == ((32, 48, 3) if "--size" in options else (64, 96, 3))
    assert frames[0].std() > 10


def test_the_license_is_printed_with_v(hayao, scene_video, tmp_path, capsys: Capsys):
    command = ("convert", scene_video, "-o", tmp_path / "t.mp4", "--style", hayao)
    line = f"License of style {hayao}: not stated (imported: hayao.onnx, SHA-256 "
    assert line not in run_here(capsys, *command).err
    assert line in run_here(capsys, *command, "-v", "-y").err
    live = ("live", scene_video, "--headless", "--style", hayao, "--seconds", "0.5")
    assert line in run_here(capsys, *live, "-v").err
    assert line not in run_here(capsys, *live).err


def test_it_is_on_the_sheet_of_all_styles(hayao, scene_video, tmp_path, capsys: Capsys):
    ended = run_here(capsys, "styles", "try", scene_video, "-o", tmp_path / "all.png")
    assert ended.code == 0, ended.err
    assert f", {hayao}, " in ended.out


def test_slow_networks_say_which_size_helps(hayao, capsys: Capsys):
    from toonvid.commands.import_report import describe_rate
    from toonvid.importing.import_style import ImportedStyle

    engine = find_engine(hayao)
    slow = describe_rate(ImportedStyle(engine, 20.0, 256 * 256, is_fixed_size=False))
    assert "about 1.4 frames per second at 1280x720 here" in slow
    assert slow.endswith("That is slow: --size 240p makes it about 12.8.")
    fast = describe_rate(ImportedStyle(engine, 200.0, 256 * 256, is_fixed_size=False))
    assert fast.endswith("about 14.2 frames per second at 1280x720 here, without the rest.")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Eight images, and a file that is none."""
    folder = tmp_path / "images"
    folder.mkdir()
    for at in range(8):
        frame = av.VideoFrame.from_ndarray(draw_scene(72, 48, at * 2.0), format="rgb24")
        with av.open(str(folder / f"{at}.png"), "w") as container:
            stream = container.add_stream("png", rate=1)
            stream.width, stream.height, stream.pix_fmt = 72, 48, "rgb24"
            container.mux([*stream.encode(frame), *stream.encode()])
    (folder / "notes.txt").write_text("no image")
    return folder


def smoothing() -> onnx.ModelProto:
    """Two convolutions that make a soft negative, which eight bits hold well."""
    mean = np.zeros((3, 3, 3, 3))
    for channel in range(3):
        mean[channel, channel] = 1 / 9
    nodes = [
        helper.make_node("Conv", ["x", "mean"], ["soft"], "first", pads=[1] * 4),
        helper.make_node("Conv", ["soft", "turn"], ["y"], "last", pads=[1] * 4),
    ]
    return network(nodes, [constant("mean", mean), constant("turn", -mean)])


def test_int8_is_made_with_images(images, tmp_path, capsys: Capsys):
    path = save(smoothing(), tmp_path / "soft.onnx")
    options = ("--order", "rgb", "--range", "-1..1", "--calibration", images)
    ended = run_here(capsys, "styles", "add", path, *options)
    assert (ended.code, ended.err) == (0, "")
    engine = find_engine("soft")
    assert engine.card.precisions == ("f32", "f16", "int8")
    assert engine.card.metrics["int8_psnr_db"] >= 35
    frame = draw_scene(64, 48, 1.0)[None]
    with (
        open_backend(engine, "openvino", precision="int8") as rough,
        open_backend(engine, "openvino", precision="f32") as exact,
    ):
        apart = np.abs(rough.run(frame).astype(int) - exact.run(frame))
    assert 0 < apart.mean() < 3
    (images / "0.png").unlink()
    few = run_here(capsys, "styles", "add", path, *options, "-y")
    assert few.code == 1
    assert "has 7 images that can be read; int8 needs 8" in few.err


def test_int8_that_is_far_from_float32_is_left_out(images, tmp_path, monkeypatch, capsys: Capsys):
    monkeypatch.setattr(calibration, "MIN_PSNR_DB", 97.0)
    path = save(smoothing(), tmp_path / "soft.onnx")
    options = ("--order", "rgb", "--range", "-1..1", "--calibration", images)
    ended = run_here(capsys, "styles", "add", path, *options)
    assert ended.code == 0
    assert "note: int8 is left out: its PSNR against f32 is " in ended.err
    assert find_engine("soft").card.precisions == ("f32", "f16")


def test_an_engine_with_its_card_is_copied_as_before(hayao, styles_folder, capsys: Capsys):
    there = styles_folder / "hayao.onnx"
    ended = run_here(capsys, "styles", "add", there, "-y")
    assert (ended.code, ended.out) == (0, f"Added hayao to {styles_folder}\n")
    described = run_here(capsys, "styles", "add", there, "-y", "--license", "MIT")
    assert described.code == 2
    assert "has a card of toonvid, and is copied as it is" in described.err
    assert find_engine("hayao").card.license == "not stated"


def test_another_json_beside_the_file_is_no_card(tmp_path, capsys: Capsys):
    path = save(BUILDERS["whitebox"](13), tmp_path / "w.onnx")
    (tmp_path / "w.json").write_text('{"architecture": "unet"}')
    assert "is not an engine card" in run_here(capsys, "styles", "add", path).err
    assert run_here(capsys, "styles", "add", path, "--as", "whitebox").code == 0


@with_tensorrt
@pytest.mark.parametrize("family", BUILDERS)
def test_plans_are_built(family, tmp_path, monkeypatch, capsys: Capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(plans, "find_nvidia", lambda: NvidiaInfo(problem="there is no GPU"))
    path = save(BUILDERS[family](9), tmp_path / f"{family}.onnx")
    assert run_here(capsys, "styles", "add", path, "--as", family).code == 0
    ended = run_here(capsys, "build", family)
    assert ended.code == 0, ended.err
    assert ended.out.count(f"Wrote {family} f16 for RTX") == 2


def test_an_image_is_drawn_from_python(hayao):
    import toonvid

    image = draw_scene(50, 40, 1.0)
    cartoon = toonvid.stylize(image, style=hayao)
    assert cartoon.shape == image.shape
    assert np.abs(cartoon.astype(int) - image).mean() > 10
