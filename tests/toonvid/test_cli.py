"""The command line: arguments in, one clear line and an exit code out."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from support.run_toonvid import START_SECONDS, killed_at_end, run_here, start_subprocess
from support.scripted_feed import repeat
from support.tiny_engines import controlled_cartoon, controlled_engine

import toonvid
from toonvid.bench.demo_scene import write_scene

pytestmark = pytest.mark.usefixtures("only_tiny_engines")


def frames_of(video: Path) -> list[np.ndarray]:
    with av.open(video) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


Capsys = pytest.CaptureFixture[str]


def test_version_and_help(capsys: Capsys) -> None:
    assert run_here(capsys, "--version").out == f"toonvid {toonvid.__version__}\n"
    helped = run_here(capsys, "--help")
    assert helped.code == 0
    for command in ("convert", "demo", "styles", "bench", "build"):
        assert command in helped.out
    for command in ("prepare", "train", "export", "evaluate"):
        assert command in helped.out


def test_convert_writes_beside_the_source_and_says_so(
    scene_video: Path, tmp_path: Path, capsys: Capsys
) -> None:
    video = tmp_path / "my 'video'.mp4"
    video.write_bytes(scene_video.read_bytes())
    ended = run_here(capsys, "convert", video, "--style", "negative")
    target = tmp_path / "my 'video'.toon.mp4"
    assert ended.code == 0
    assert f"Wrote {target}: 12 frames in" in ended.err
    assert "was the slowest" in ended.err
    assert ended.out == ""
    before, after = frames_of(video)[0].astype(int), frames_of(target)[0].astype(int)
    assert np.abs(255 - before - after).mean() < 6


def test_steady_holds_what_the_source_does_not_change(tmp_path: Path, capsys: Capsys) -> None:
    source = tmp_path / "noise.mkv"
    noise = np.random.default_rng(1)
    with av.open(source, "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr0"
        for _ in range(6):
            pixels = noise.integers(120, 125, (48, 64, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    changes = {}
    for steady in ("0", "1"):
        target = tmp_path / f"{steady}.mkv"
        codec = ("--style", "identity", "--codec", "ffv1")
        ended = run_here(capsys, "convert", source, *codec, "--steady", steady, "-o", target)
        assert ended.code == 0, ended.err
        changes[steady] = np.abs(np.diff(np.stack(frames_of(target)).astype(int), axis=0)).mean()
    assert changes["1"] < 0.5 * changes["0"]


def test_controls_change_the_cartoon(scene_video: Path, tmp_path: Path, capsys: Capsys) -> None:
    engine = controlled_engine(tmp_path / "engines").card_path
    means = []
    for number, options in enumerate(([], ["--ink", "0.5"], ["--ink", "0", "--tones", "12"])):
        target = tmp_path / f"{number}.mp4"
        ended = run_here(capsys, "convert", scene_video, "--style", engine, "-o", target, *options)
        assert ended.code == 0, ended.err
        means.append(frames_of(target)[0].mean())
    source = frames_of(scene_video)[0]
    for mean, values in zip(means, ({}, {"ink": 0.5}, {"ink": 0, "tones": 12}), strict=True):
        assert mean == pytest.approx(controlled_cartoon(source, **values).mean(), abs=3)
    assert means[0] > means[1] + 10


@pytest.mark.parametrize("command", ["convert", "live"])
@pytest.mark.parametrize(
    ("style", "options", "line"),
    [
        ("negative", ["--ink", "1"], "style negative has no control ink (it has none)"),
        (
            "mine",
            ["--saturation", "1"],
            "style controlled has no control saturation (it has ink, tones)",
        ),
        ("mine", ["--tones", "13"], "tones 13 is outside the range of style controlled: 2 to 12"),
        ("mine", ["--ink", "-0.1"], "ink -0.1 is outside the range of style controlled: 0 to 2"),
    ],
)
def test_controls_that_the_style_does_not_have_are_refused_in_one_line(
    command: str,
    style: str,
    options: list[str],
    line: str,
    scene_video: Path,
    tmp_path: Path,
    capsys: Capsys,
) -> None:
    if style == "mine":
        style = str(controlled_engine(tmp_path / "engines").card_path)
    arguments = [command, scene_video, scene_video, "--style", style, *options]
    if command == "live":
        arguments[1:3] = [scene_video, "--headless"]
    ended = run_here(capsys, *arguments)
    assert ended.code == 2
    assert " ".join(ended.err.split()) == f"toonvid: {line}"


def test_quiet_prints_nothing_and_json_prints_the_result(
    scene_video: Path, tmp_path: Path, capsys: Capsys
) -> None:
    options = ("--style", "negative", "-o", tmp_path / "a.mp4", "--overwrite")
    assert run_here(capsys, "convert", scene_video, *options, "-q").err == ""
    printed = json.loads(run_here(capsys, "convert", scene_video, *options, "-q", "--json").out)
    assert printed["frames"] == 12
    assert printed["damage"] is None
    assert set(printed["stage_seconds"]) == {"decode", "stylize", "encode"}
    assert set(printed) == {
        *("source", "target", "frames", "video_seconds", "seconds", "stage_seconds", "notices"),
        "left_out",
        *("damage", "first_frame_seconds", "resumed_frames", "slowest_stage"),
    }


def test_options_reach_their_stages(scene_video: Path, tmp_path: Path, capsys: Capsys) -> None:
    target = tmp_path / "a.mkv"
    run_here(
        capsys,
        *("convert", scene_video, "-o", target, "--style", "negative"),
        *("--start", "0:00:00.25", "--end", "0.75", "--size", "32p", "--compare", "vertical"),
        *("--codec", "mpeg4", "--no-audio", "--strength", "0.5"),
    )
    with av.open(target) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert container.streams.video[0].codec_context.name == "mpeg4"
        frames = list(container.decode(video=0))
    assert len(frames) == 6
    assert (frames[0].width, frames[0].height) == (48, 64)
    lower = frames[0].to_ndarray(format="rgb24")[32:]
    assert lower.mean() == pytest.approx(127, abs=6)


def test_one_bad_source_does_not_stop_the_rest(
    scene_video: Path, tmp_path: Path, capsys: Capsys
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_text("this is no video")
    out = tmp_path / "out"
    out.mkdir()
    ended = run_here(
        capsys, "convert", bad, tmp_path / "gone.mp4", scene_video, "-o", out, "--style", "negative"
    )
    assert ended.code == 1
    assert f"{bad} is not a readable video or image" in ended.err
    assert "gone.mp4: no such file" in ended.err
    assert "2 of 3 sources were not converted" in ended.err
    assert [path.name for path in out.iterdir()] == ["scene.toon.mp4"]


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["--style", "nobody"], 1, "no style named 'nobody'; there are: glitch, identity,"),
        (["--device", "TOASTER"], 3, "finds no device 'TOASTER'"),
        (["--precision", "int8"], 1, "style negative has no int8 engine (it has f32)"),
        (["-o", "film.txt"], 1, "cannot write film.txt: toonvid writes .mp4"),
        (["--codec", "h1000"], 1, "no video codec 'h1000'"),
        (["--size", "huge"], 2, "'huge' is not a size"),
        (["--start", "5", "--end", "4"], 2, "the end lies before the start"),
        (["--strength", "2"], 2, "--strength"),
        (["--steady", "1.5"], 2, "--steady"),
        (["--compare", "diagonal"], 2, "--compare"),
        (["-o", "-", "--json"], 2, "standard output holds the video already"),
        (["--nonsense"], 2, "--nonsense"),
        (["--start", "9"], 1, "nothing to write"),
        (["--size", "100000p", "--upscale"], 1, "would have more than 134217728 pixels"),
        (["--style", 300 * "o"], 1, "no style named 'ooo"),
        (["-o", f"{300 * 'o'}.mp4"], 1, "o.mp4: File name too long"),
    ],
)
def test_wrong_arguments_give_one_line_and_an_exit_code(
    scene_video: Path,
    tmp_path: Path,
    capsys: Capsys,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    line: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    style = [] if "--style" in arguments else ["--style", "negative"]
    target = [] if "-o" in arguments else ["-o", "a.mp4"]
    ended = run_here(capsys, "convert", scene_video, *style, *target, *arguments)
    assert ended.code == code
    assert line in " ".join(ended.err.split())
    assert "Traceback" not in ended.err
    assert list(tmp_path.iterdir()) == []


def test_damaged_source_ends_with_4(tmp_path: Path, capsys: Capsys) -> None:
    whole = tmp_path / "whole.mkv"
    write_scene(whole, 32, 32, Fraction(4), 4.0)
    cut = tmp_path / "cut.mkv"
    data = whole.read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    ended = run_here(capsys, "convert", cut, "-o", tmp_path / "a.mkv", "--style", "identity")
    assert ended.code == 4
    assert "is damaged" in ended.err
    assert 0 < len(frames_of(tmp_path / "a.mkv")) < 16


def test_videos_go_through_pipes(scene_video: Path, tmp_path: Path, engines_folder: Path) -> None:
    with scene_video.open("rb") as source, (tmp_path / "a.mkv").open("wb") as target:
        # mp4 cannot be read from a pipe without seeking when its index is last; Matroska can.
        first = start_subprocess("convert", scene_video, "-o", "-", "--style", "identity", "-q",
                                 stdin=source.fileno(), stdout=subprocess.PIPE)  # fmt: skip
        second = start_subprocess("convert", "-", "-o", "-", "--style", "negative", "-q",
                                  stdin=first.stdout.fileno(), stdout=target.fileno())  # fmt: skip
        with killed_at_end(first), killed_at_end(second):
            first.stdout.close()
            assert (second.wait(START_SECONDS), first.wait(START_SECONDS)) == (0, 0)
    assert len(frames_of(tmp_path / "a.mkv")) == 12


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_cleanly(
    scene_video: Path, tmp_path: Path, capsys: Capsys, number: signal.Signals
) -> None:
    video = tmp_path / "video.mkv"
    run_here(capsys, "convert", scene_video, "-o", video, "--style", "identity")
    folder = tmp_path / "targets"
    folder.mkdir()
    running = start_subprocess(
        *("convert", "-", "-o", folder / "a.mkv", "--style", "identity"),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert running.stdin is not None
    with killed_at_end(running):
        running.stdin.write(video.read_bytes()[:-100])  # then the source stalls in mid-conversion
        running.stdin.flush()
        for _ in repeat("the target was not begun", seconds=START_SECONDS):
            if (folder / ".a.mkv.part" / "target.mkv").exists():
                break
            assert running.poll() is None
            time.sleep(0.01)
        running.send_signal(number)
        _, printed = running.communicate(timeout=START_SECONDS)
    assert running.returncode == 128 + number
    assert b"stopped; nothing was left half-written" in printed
    assert list(folder.iterdir()) == []


def test_demo_needs_no_source(tmp_path: Path, capsys: Capsys) -> None:
    target = tmp_path / "demo.mp4"
    ended = run_here(capsys, "demo", "-o", target, "--seconds", "0.2", "--style", "negative")
    assert ended.code == 0
    assert len(frames_of(target)) == 5
    assert run_here(capsys, "demo", "-o", target, "--style", "negative").code == 1


def test_bench_prints_a_table_or_json(capsys: Capsys) -> None:
    options = ("--style", "negative", "--seconds", "0.2", "--rounds", "1", "--quick")
    table = run_here(capsys, "bench", *options, "--size", "64x48", "--size", "36p").out
    for word in ("decode alone", "null pipeline", "64x48", "64x36", "openvino on CPU"):
        assert word in table
    assert "slowest" in table or "cores are busy" in table
    found = json.loads(run_here(capsys, "bench", *options, "--size", "64x48,36p", "--json").out)
    assert (found["style"], found["still_picture_seconds"]) == ("negative", None)
    assert [(size["width"], size["height"]) for size in found["sizes"]] == [(64, 48), (64, 36)]
    assert all(size["pipeline"] > 0 for size in found["sizes"])


def test_bench_measures_a_new_process_too(capsys: Capsys, scene_video: Path) -> None:
    options = ("--style", "negative", "--size", "32p", "--rounds", "1", "--seconds", "0.5")
    found = json.loads(run_here(capsys, "bench", scene_video, *options, "--json").out)
    [size] = found["sizes"]
    assert (size["width"], size["height"], size["frames"]) == (48, 32, 6)
    assert found["still_picture_seconds"] > 0
    assert found["still_picture_kept_seconds"] > 0
    assert size["cold_first_frame_seconds"] > size["warm_first_frame_seconds"] > 0
    assert size["kept_first_frame_seconds"] > size["warm_first_frame_seconds"]
    assert isinstance(size["late_frames"], int)


def test_bench_compares_by_turns(capsys: Capsys) -> None:
    options = ("--style", "negative", "--size", "32x32", "--seconds", "0.1", "--rounds", "2")
    found = run_here(capsys, "bench", *options, "--compare-with", "identity,at-once=1", "--json")
    assert len(json.loads(found.out)["first"]) == 2
    assert "negative runs at" in run_here(capsys, "bench", *options, "--compare-with", "").out


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--compare-with", "ink,speed=2"), "'speed=2' is not a setting"),
        (("--compare-with", "ink,precision=f99"), "'precision=f99' is not a setting"),
        (("--cores", "0"), "write numbers from 1 to"),
        (("--size", "720p,wide"), "'wide' is not a size"),
        (("nowhere.mp4",), "does not exist"),
    ],
)
def test_bench_refuses_wrong_arguments(
    option: tuple[str, ...], message: str, capsys: Capsys
) -> None:
    ended = run_here(capsys, "bench", "--style", "negative", *option)
    assert ended.code == 2
    assert message in " ".join(ended.err.replace("│", " ").split())


def test_styles_lists_shows_and_verifies(capsys: Capsys) -> None:
    assert "negative" in run_here(capsys, "styles").out
    assert "For tests." in run_here(capsys, "styles", "show", "negative").out
    assert "negative: f32 good" in run_here(capsys, "styles", "verify", "negative").out


def test_styles_show_lists_the_controls(tmp_path: Path, capsys: Capsys) -> None:
    shown = run_here(capsys, "styles", "show", controlled_engine(tmp_path).card_path).out
    assert "control: --ink from 0 to 2, default 1\n" in shown
    assert "control: --tones from 2 to 12, default 4\n" in shown
    assert "control" not in run_here(capsys, "styles", "show", "negative").out


def test_verify_names_a_changed_engine(
    engines_folder: Path, tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("negative.json", "negative.onnx"):
        (tmp_path / name).write_bytes((engines_folder / name).read_bytes())
    with (tmp_path / "negative.onnx").open("ab") as engine:
        engine.write(b"\0")
    monkeypatch.setenv("TOONVID_ENGINES", str(tmp_path))
    ended = run_here(capsys, "styles", "verify")
    assert ended.code == 1
    assert "is not the file its card describes" in ended.out


def test_added_style_is_found_by_name(
    engines_folder: Path, scene_video: Path, tmp_path: Path, capsys: Capsys, monkeypatch
) -> None:
    monkeypatch.setenv("TOONVID_ENGINES", "")
    assert run_here(capsys, "styles", "show", "negative").code == 1
    path = engines_folder / "negative.onnx"
    assert run_here(capsys, "styles", "add", path).code == 0
    assert run_here(capsys, "styles", "add", path).code == 1
    assert run_here(capsys, "styles", "add", path, "-y").code == 0
    target = tmp_path / "a.mp4"
    assert run_here(capsys, "convert", scene_video, "-o", target, "--style", "negative").code == 0


def test_try_draws_every_style_on_one_sheet(
    scene_video: Path, tmp_path: Path, capsys: Capsys
) -> None:
    sheet = tmp_path / "sheet.png"
    ended = run_here(capsys, "styles", "try", scene_video, "--at", "0.5", "-o", sheet)
    assert ended.code == 0
    assert "the source, glitch, identity," in ended.out
    [image] = frames_of(sheet)
    assert image.shape[0] == 64 * 3 + 8 * 2  # the source, two styles of the tests, six that ship
    assert (image[0, :3] == 0).all() and (image[0, 104:107] == 0).all()  # corners of labels
    # Drawn larger and reduced again, as images are: the finest detail is softer.
    source, drawn = image[24:64, :96].astype(int), image[24:64, 208:304]  # below the labels
    assert np.abs(source - drawn).mean() <= 0.1 * np.abs(source - (255 - drawn)).mean()
    assert run_here(capsys, "styles", "try", scene_video, "--at", "9", "-o", sheet).code == 1


@pytest.mark.parametrize("missing", ["cv2", "torch"])
def test_runtime_works_where_a_library_cannot_load(
    scene_video: Path, tmp_path: Path, missing: str
) -> None:
    lines = f"""
import sys
sys.modules[{missing!r}] = None
from toonvid.cli import main
for arguments in (
    ["convert", {str(scene_video)!r}, "-o", "a.mp4", "--style", "negative", "-q"],
    ["demo", "-o", "b.mp4", "--seconds", "0.1", "--style", "negative"],
    ["bench", "--style", "negative", "--size", "32x32", "--seconds", "0.1", "--rounds", "1",
     "--quick"],
    ["styles"],
    ["styles", "try", {str(scene_video)!r}, "-o", "c.png"],
):
    sys.argv = ["toonvid", *arguments]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, (arguments, ended.code)
"""
    done = subprocess.run(
        [sys.executable, "-c", lines], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} >= {"a.mp4", "b.mp4", "c.png"}


def test_help_loads_nothing_heavy() -> None:
    lines = """
import sys
import toonvid.cli
heavy = {"numpy", "av", "cv2", "openvino", "torch", "onnx"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", lines], check=True, timeout=300)


def test_status_prints_how_far_a_conversion_is(
    scene_video: Path, tmp_path: Path, capsys: Capsys
) -> None:
    target = tmp_path / "a.mp4"
    nothing = run_here(capsys, "convert", "--status", target)
    assert (nothing.code, nothing.out) == (1, f"{target}: no conversion to it is known\n")
    stop_after_two_segments(scene_video, target)
    printed = run_here(capsys, "convert", "--status", target)
    assert printed.code == 0
    assert printed.out == (
        f"{target}: 0:00 of 0:01 finished, 6 frames in 2 segments\n"
        "no process is working on it; resume with\n  toonvid convert this\n"
    )
    state = json.loads(run_here(capsys, "convert", "--status", target, "--json").out)
    assert (state["frames"], state["segments"], state["process"]) == (6, 2, None)
    assert (state["finished"], state["whole_seconds"]) == (False, 1.0)
    assert state["video_seconds"] == 0.5
    assert state["command"] == "toonvid convert this"
    run_here(capsys, "convert", scene_video, "-o", target, "--style", "negative", "--restart")
    assert run_here(capsys, "convert", "--status", target).out == f"{target}: finished\n"


def stop_after_two_segments(source: Path, target: Path) -> None:
    """Stop a conversion after two segments of three frames."""
    from toonvid import ConvertOptions, convert, find_engine, open_backend

    class Stopped(Exception):
        pass

    def stop(progress: object) -> None:
        if getattr(progress, "frames", 0) >= 7:
            raise Stopped

    with open_backend(find_engine("negative")) as backend, pytest.raises(Stopped):
        options = ConvertOptions(command="toonvid convert this", segment_seconds=Fraction(1, 4))
        convert(source, target, backend, options, on_progress=stop)


def test_other_options_end_with_2_and_restart_begins_again(
    scene_video: Path, tmp_path: Path, capsys: Capsys
) -> None:
    target = tmp_path / "a.mp4"
    stop_after_two_segments(scene_video, target)
    options = ("convert", scene_video, "-o", target, "--style", "negative", "--crf", "30")
    refused = run_here(capsys, *options)
    assert refused.code == 2
    assert "--crf was None, is 30" in refused.err
    assert "begin anew with --restart; nothing was deleted" in refused.err
    assert run_here(capsys, *options, "--restart").code == 0
    assert len(frames_of(target)) == 12


def test_a_note_says_once_that_a_conversion_cannot_be_resumed(
    scene_video: Path, tmp_path: Path, capsys: Capsys
) -> None:
    options = ("--style", "negative", "-o")
    ended = run_here(capsys, "convert", scene_video, *options, tmp_path / "a.gif")
    line = "note: this conversion cannot be resumed: the frames of a .gif depend on each"
    assert ended.err.count(line) == ended.err.count("be resumed:") == 1
    for target in ("a.mp4", "a.mkv"):
        ended = run_here(capsys, "convert", scene_video, *options, tmp_path / target)
        assert "be resumed" not in ended.err
    ended = run_here(capsys, "convert", "none.mp4", *options, tmp_path / "b.gif")
    assert "be resumed" not in ended.err


def test_convert_needs_a_source(capsys: Capsys) -> None:
    ended = run_here(capsys, "convert")
    assert ended.code == 2
    assert "SOURCE" in ended.err
