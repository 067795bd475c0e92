"""A training state is whole or not there, and the newest whole one is found."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from toonvid.errors import TrainingError
from trainer.training.state_file import KEPT, TrainingState, load_newest_state, save_state


def state(step: int) -> TrainingState:
    return TrainingState(step, {"weights": torch.full((4,), float(step)), "nested": {"n": step}})


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    save_state(tmp_path, state(12))
    loaded = load_newest_state(tmp_path)
    assert loaded is not None
    assert loaded.step == 12
    assert loaded.values["nested"] == {"n": 12}
    torch.testing.assert_close(loaded.values["weights"], state(12).values["weights"])


def test_an_empty_folder_has_no_state(tmp_path: Path) -> None:
    assert load_newest_state(tmp_path) is None


def test_the_last_few_states_are_kept(tmp_path: Path) -> None:
    for step in (5, 100, 99999, 100_000_000):
        save_state(tmp_path, state(step))
    assert len(list(tmp_path.iterdir())) == KEPT
    loaded = load_newest_state(tmp_path)
    assert loaded is not None
    assert loaded.step == 100_000_000


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_newest_state_falls_back_and_says_so(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    save_state(tmp_path, state(1))
    newest = save_state(tmp_path, state(2))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes({"cut": content[:100], "flipped": content, "empty": b""}[damage])
    loaded = load_newest_state(tmp_path)
    assert loaded is not None
    assert loaded.step == 1
    (message,) = caplog.messages
    assert newest.name in message
    assert "falling back" in message


def test_only_damaged_states_are_an_error(tmp_path: Path) -> None:
    save_state(tmp_path, state(1)).write_bytes(b"nothing")
    with pytest.raises(TrainingError, match=r"every training state in .* is damaged"):
        load_newest_state(tmp_path)


def test_a_full_disk_leaves_the_older_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_state(tmp_path, state(1))

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(TrainingError, match=r"cannot write .*: No space left on device"):
        save_state(tmp_path, state(2))
    assert [path.name for path in tmp_path.iterdir()] == ["state-000000001.pt"]
