"""The checks of engines, plans and downloaded weights."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.doctor import only
from support.tiny_engines import identity_engine, negative_engine

from toonvid.doctor import files
from toonvid.engine import user_engines


def test_engines_are_compared_with_their_cards(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        folder.mkdir()
    identity_engine(first)
    negative_engine(first)
    negative_engine(second)
    found = only(files.check_engines([first, second]))
    assert found.message == "identity, negative: 2 files, each as its card describes it"
    with (first / "negative.onnx").open("ab") as file:
        file.write(b"more")
    good, broken = files.check_engines([first, second])
    assert good.facts["styles"] == ["identity"]
    assert broken.state == "broken" and "SHA-256 differs" in broken.message
    assert broken.fix == "pip install --force-reinstall toonvid"
    assert only(files.check_engines([tmp_path])).message == "there are none"


def test_a_broken_engine_of_the_user_is_not_fixed_by_reinstalling() -> None:
    user_engines().mkdir(parents=True)
    (user_engines() / "mine.json").write_text("{")
    [broken] = [check for check in files.check_engines() if check.state == "broken"]
    assert "mine.json" in broken.fix and "pip" not in broken.fix


def test_plans_are_counted_and_a_folder_that_others_can_write_to_is_broken(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "toonvid" / "plans"
    found = files.check_plans()
    assert found.message == "there are none" and not folder.exists()
    assert found.facts == {"bytes": 0, "folder": str(folder)}
    folder.mkdir(parents=True, mode=0o700)
    (folder / "ink-f16-0-1280x720.plan").write_bytes(bytes(1_500_000))
    (folder / "ink-f16-0.kernels").write_bytes(bytes(500_000))
    found = files.check_plans()
    assert found.message == f"1, with 2.0 MB in {folder}" and found.facts["bytes"] == 2_000_000
    folder.chmod(0o777)
    found = files.check_plans()
    assert found.state == "broken" and "chmod 700" in found.message + found.fix


def test_compiled_models_are_counted_and_an_open_folder_is_broken(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "toonvid" / "models"
    found = files.check_models()
    assert found.message == "there are none"
    assert found.facts == {"bytes": 0, "folder": str(folder)}
    folder.mkdir(parents=True, mode=0o700)
    (folder / "ink-int8-0-0.blob").write_bytes(bytes(600_000))
    found = files.check_models()
    assert (found.state, found.message) == ("ok", f"1, with 0.6 MB in {folder}")
    folder.chmod(0o777)
    found = files.check_models()
    assert (found.state, found.fix) == ("broken", f"chmod 700 {folder}")


def test_downloaded_weights_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    assert files.check_weights().facts["bytes"] == 0
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "vgg19.pth").write_bytes(bytes(3000))
    assert files.check_weights().facts["bytes"] == 3000
