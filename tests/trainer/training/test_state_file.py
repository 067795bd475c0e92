"""A training state exists complete or not at all, and the newest undamaged one is found."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import pytest
import torch

from toonvid.errors import TrainingError
from trainer.training.state_file import (
    STATES_KEPT,
    SavedState,
    load_newest_state,
    load_state,
    save_state,
)


def state(step: int) -> SavedState:
    return SavedState(step, {"weights": torch.full((4,), float(step)), "nested": {"n": step}})


def test_a_state_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    save_state(tmp_path, state(12))
    loaded = load_newest_state(tmp_path)
    assert loaded is not None
    assert loaded.step == 12
    assert loaded.values["nested"] == {"n": 12}
    torch.testing.assert_close(loaded.values["weights"], state(12).values["weights"])


def test_an_empty_folder_has_no_state(tmp_path: Path) -> None:
    assert load_newest_state(tmp_path) is None


def test_the_newest_states_are_kept(tmp_path: Path) -> None:
    for step in (5, 100, 99999, 100_000_000):
        save_state(tmp_path, state(step))
    assert len(list(tmp_path.iterdir())) == STATES_KEPT
    loaded = load_newest_state(tmp_path)
    assert loaded is not None
    assert loaded.step == 100_000_000


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_newest_state_is_skipped_with_a_warning(
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


def test_a_folder_of_only_damaged_states_is_an_error(tmp_path: Path) -> None:
    save_state(tmp_path, state(1)).write_bytes(b"nothing")
    with pytest.raises(TrainingError, match=r"every training state in .* is damaged"):
        load_newest_state(tmp_path)


def test_a_full_disk_keeps_the_older_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_state(tmp_path, state(1))

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(TrainingError, match=r"cannot write .*: No space left on device"):
        save_state(tmp_path, state(2))
    assert [path.name for path in tmp_path.iterdir()] == ["state-000000001.pt"]


def test_names_of_earlier_versions_are_translated(tmp_path: Path) -> None:
    weight = torch.ones(3, 2, 1, 1)
    values = {
        "generator": {
            "network": {"gain.colour.weight": weight},
            "scaler": {},
            "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": []},
        },
        "mean": {"n_averaged": torch.tensor(4), "module.gain.colour.weight": 2 * weight},
        "memory": {"micro_batch": 2, "gradient_checkpointing": 0},
        "retreats": 1,
        "random": torch.get_rng_state(),
    }
    buffer = io.BytesIO()
    torch.save({"step": 4, "values": values}, buffer)
    content = buffer.getvalue()
    path = tmp_path / "state-000000004.pt"
    path.write_bytes(hashlib.sha256(content).digest() + content)

    loaded = load_state(path)
    assert loaded.step == 4
    assert loaded.values.keys() == {"generator", "ema", "memory", "rollbacks", "random"}
    assert loaded.values["rollbacks"] == 1
    assert torch.equal(loaded.values["generator"]["network"]["gain.color.weight"], weight)
    assert torch.equal(loaded.values["ema"]["module.gain.color.weight"], 2 * weight)
    assert loaded.values["ema"]["n_averaged"] == 4
    assert loaded.values["generator"]["optimizer"]["state"][0]["step"] == 1


def write_state(path: Path, value: object) -> None:
    """Write any value with the right SHA-256 before it, as somebody could who means harm."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    content = buffer.getvalue() if value is not None else b"\x80\x02this is no pickle."
    path.write_bytes(hashlib.sha256(content).digest() + content)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [1, 2],
        {},
        {"step": 1},
        {"step": 1, "values": 5},
        {"step": "many", "values": {}},
        {"step": -1, "values": {}},
        {"step": 1.5, "values": {}},
    ],
)
def test_a_whole_state_with_other_contents_is_skipped_and_named(
    value: object, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_state(tmp_path, state(1))
    newest = tmp_path / "state-000000002.pt"
    write_state(newest, value)
    loaded = load_newest_state(tmp_path)
    assert loaded is not None and loaded.step == 1
    assert len(caplog.messages) == 1 and str(newest) in caplog.messages[0]
    with pytest.raises(TrainingError, match="is not a whole training state"):
        load_state(newest)


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_not_a_file_is_no_state(kind: str, tmp_path: Path) -> None:
    save_state(tmp_path, state(1))
    newest = tmp_path / "state-000000002.pt"
    newest.mkdir() if kind == "folder" else os.mkfifo(newest)
    loaded = load_newest_state(tmp_path)
    assert loaded is not None and loaded.step == 1
