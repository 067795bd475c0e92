"""What is no cartoon is refused in one line which says why, and nothing is kept."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper
from support.run_toonvid import run_here
from support.small_networks import (
    constant,
    constant_cartoon,
    first_channel_doubled,
    inverting,
    network,
    save,
)

from toonvid.backends import open_backend
from toonvid.backends.cartoon_check import (
    find_difference,
    find_flaw,
    sample_for,
    sample_frame,
)
from toonvid.engine import find_engine
from toonvid.importing import check, import_style

Capsys = pytest.CaptureFixture[str]
CHOICES = ("--order", "rgb", "--range", "-1..1")


@pytest.mark.parametrize(
    ("name", "model", "reason"),
    [
        ("black", constant_cartoon(-1), "its cartoon is black"),
        ("gray", constant_cartoon(0.2), "its cartoon is one color"),
        ("white", constant_cartoon(9), "its cartoon is one color"),
        ("nan", constant_cartoon(np.nan), "it gives NaN or infinite values"),
        ("infinite", constant_cartoon(np.inf), "it gives NaN or infinite values"),
        (
            "same",
            network([helper.make_node("Identity", ["x"], ["y"])]),
            "its cartoon is equal to the input",
        ),
    ],
)
def test_what_is_no_cartoon_is_refused(name, model, reason, tmp_path, styles_folder, capsys):
    path = save(model, tmp_path / f"{name}.onnx")
    ended = run_here(capsys, "styles", "add", path, *CHOICES)
    assert ended.code == 1
    assert f"{path} is not kept: {reason}" in ended.err
    assert len(ended.err.strip().splitlines()) == 1
    assert not styles_folder.exists()


def test_an_older_style_stays_when_its_replacement_is_refused(tmp_path, styles_folder, capsys):
    good = save(inverting(), tmp_path / "mine.onnx")
    assert run_here(capsys, "styles", "add", good, *CHOICES).code == 0
    before = {path.name: path.read_bytes() for path in styles_folder.iterdir()}
    save(constant_cartoon(-1), good)
    assert run_here(capsys, "styles", "add", good, *CHOICES).code == 1  # it exists
    assert run_here(capsys, "styles", "add", good, *CHOICES, "-y").code == 1  # it is black
    assert {path.name: path.read_bytes() for path in styles_folder.iterdir()} == before


def test_float16_that_overflows_is_left_out_and_said(tmp_path, capsys: Capsys):
    # 1e5 is beyond float16; in float32 the two factors cancel out.
    nodes = [
        helper.make_node("Mul", ["x", "large"], ["beyond"]),
        helper.make_node("Mul", ["beyond", "small"], ["back"]),
        helper.make_node("Neg", ["back"], ["y"]),
    ]
    model = network(nodes, [constant("large", 3e5), constant("small", 1 / 3e5)])
    ended = run_here(capsys, "styles", "add", save(model, tmp_path / "o.onnx"), *CHOICES)
    assert ended.code == 0
    assert "note: f16 is left out: its cartoon is " in ended.err
    card = find_engine("o").card
    assert card.precisions == ("f32",)
    assert "levels_apart_f16" not in card.metrics


def test_a_precision_that_openvino_gets_wrong_is_not_used(tmp_path, monkeypatch, capsys: Capsys):
    run = check._Trial._run

    def wrong(self, engine, backend, precision):
        cartoons = run(self, engine, backend, "f32" if precision == "bf16" else precision)
        return cartoons * 0 if precision == "bf16" else cartoons

    monkeypatch.setattr(check._Trial, "_run", wrong)
    path = save(inverting(), tmp_path / "b.onnx")
    ended = run_here(capsys, "styles", "add", path, *CHOICES)
    assert ended.code == 0
    assert "note: bf16 on openvino is left out: its cartoon is black" in ended.err
    engine = find_engine("b")
    assert "bf16" in engine.card.unfit
    with open_backend(engine, "openvino") as backend:
        assert backend.precision == "f32"
        assert "bf16" in backend.reason
    asked = ("--style", "b", "--backend", "openvino", "--precision", "bf16")
    refused = run_here(capsys, "convert", "a.mp4", *asked)
    assert refused.code == 3
    assert "is not for bf16; ask for f32" in refused.err


def test_a_backend_far_from_float32_refuses_the_style(tmp_path, monkeypatch, capsys: Capsys):
    run = check._Trial._run

    def wrong(self, engine, backend, precision):
        cartoons = run(self, engine, backend, precision)
        return cartoons // 2 if backend == "onnxruntime" else cartoons

    monkeypatch.setattr(check._Trial, "_run", wrong)
    path = save(inverting(), tmp_path / "b.onnx")
    ended = run_here(capsys, "styles", "add", path, *CHOICES)
    assert ended.code == 1
    assert "b is not kept: on onnxruntime its cartoon is far from f32 (by " in ended.err


def test_flaws_have_names():
    frame = sample_frame(40, 60)[None]
    assert find_flaw(frame, np.zeros_like(frame)) == "black"
    assert find_flaw(frame, np.full_like(frame, 70)) == "one color"
    assert find_flaw(frame, frame) == "equal to the input"
    assert find_flaw(frame, 255 - frame) is None


def test_differences_count_only_what_float32_has_not():
    frame = sample_frame(40, 60)[None]
    black = np.zeros_like(frame)
    assert find_difference(frame, black, black) is None
    assert find_difference(frame, black, 255 - frame) == "black"
    assert find_difference(frame, frame, 255 - frame) == "equal to the input"
    assert find_difference(frame, 255 - frame, 255 - frame) is None
    far = find_difference(frame, 255 - frame, 255 - frame // 2)
    assert far is not None
    assert far.startswith("far from f32 (by ")
    assert find_difference(frame, frame[:, :20], frame) == "1x20x60x3 instead of 1x40x60x3"


@pytest.mark.parametrize("multiple_of", [1, 32, 48])
def test_the_checked_frame_has_sides_that_the_engine_takes(multiple_of):
    _, height, width, _ = sample_for(multiple_of).shape
    assert height % multiple_of == width % multiple_of == 0
    assert width > height >= 256


def test_order_changes_the_cartoon(tmp_path, capsys: Capsys):
    path = save(first_channel_doubled(), tmp_path / "o.onnx")
    frame = sample_frame(16, 16)[None]
    cartoons = []
    for order in ("rgb", "bgr"):
        options = ("--order", order, "--range", "-1..1", "--name", order)
        assert run_here(capsys, "styles", "add", path, *options).code == 0
        with open_backend(find_engine(order), "openvino", precision="f32") as backend:
            cartoons.append(backend.run(frame))
    wanted = np.clip(2 * (frame.astype(int) - 127.5) + 127.5, 0, 255)
    for cartoon, channel in zip(cartoons, (0, 2), strict=True):
        assert np.abs(cartoon[..., channel] - wanted[..., channel]).max() <= 1
        assert np.abs(cartoon[..., 2 - channel] - (255.0 - frame[..., 2 - channel])).max() <= 1


def test_float16_that_cannot_be_made_is_left_out(tmp_path, monkeypatch, capsys: Capsys):
    def fail(engine):
        raise RuntimeError("shapes\ndo not fit")

    monkeypatch.setattr(import_style, "to_float16", fail)
    path = save(inverting(), tmp_path / "n.onnx")
    ended = run_here(capsys, "styles", "add", path, *CHOICES)
    assert ended.code == 0
    assert "note: f16 is left out: it cannot be made (shapes)" in ended.err
    assert find_engine("n").card.precisions == ("f32",)


def test_a_network_that_cannot_be_wrapped_is_refused(tmp_path, monkeypatch, capsys: Capsys):
    def fail(**_):
        raise ValueError("no")

    monkeypatch.setattr(import_style, "wrap", fail)
    path = save(inverting(), tmp_path / "n.onnx")
    ended = run_here(capsys, "styles", "add", path, *CHOICES)
    assert ended.code == 1
    assert "is not kept: toonvid's nodes cannot be put around it: no" in ended.err
