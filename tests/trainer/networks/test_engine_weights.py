"""The generator of an engine is the one that it was exported from."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from toonvid.engine import Engine, EngineCard, find_engine
from toonvid.errors import EngineError, TrainingError
from trainer.exporting.export import to_onnx
from trainer.networks.cel import CelGenerator
from trainer.networks.engine_weights import read_generator
from trainer.networks.lite import LiteGenerator


def written(folder: Path, generator: torch.nn.Module) -> Engine:
    content = to_onnx(generator.eval())
    (folder / "tiny.onnx").write_bytes(content)
    hashes = {"tiny.onnx": hashlib.sha256(content).hexdigest()}
    card = EngineCard("tiny", "Tiny", "", hashes, 0, 0, license="MIT")
    return Engine(card, folder)


@pytest.mark.parametrize(("blocks", "mix"), [(1, False), (2, True), (3, False)])
def test_the_generator_is_the_one_that_was_exported(blocks, mix, tmp_path) -> None:
    torch.manual_seed(blocks)
    exported = CelGenerator(8, blocks, mix=mix)
    read = read_generator(written(tmp_path, exported))
    photos = torch.rand(1, 3, 16, 24) * 2 - 1
    with torch.no_grad():
        wanted, layers = exported.layers(photos), read.layers(photos)
    for got, expected in zip(layers, wanted, strict=True):
        torch.testing.assert_close(got, expected)
    assert not read.training


def test_a_shipped_style_is_read() -> None:
    card = find_engine("ink").card
    read = read_generator(find_engine("ink"))
    assert sum(parameter.numel() for parameter in read.parameters()) == card.parameters


def test_another_kind_of_generator_is_refused(tmp_path) -> None:
    engine = written(tmp_path, LiteGenerator(width=8, blocks=1))
    with pytest.raises(TrainingError, match="style tiny has another generator than cel"):
        read_generator(engine)


def test_a_changed_file_is_refused(tmp_path) -> None:
    engine = written(tmp_path, CelGenerator(8, 1))
    (tmp_path / "tiny.onnx").write_bytes(b"something else")
    with pytest.raises(EngineError, match="is not the file its card describes"):
        read_generator(engine)
