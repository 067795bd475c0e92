"""Art is shared evenly between hands, and what is held out is never learned from."""

from __future__ import annotations

from pathlib import Path

import pytest

from toonvid.errors import TrainingError
from trainer.evaluation import art
from trainer.evaluation.art import find_art


@pytest.fixture
def folders(tmp_path: Path) -> tuple[list[Path], list[Path]]:
    """Two hands of 20 and 5 images, and two folders of photos."""
    for name, count in (("pepper", 20), ("wiehan", 5), ("open", 30), ("more", 30)):
        (tmp_path / name).mkdir()
        for number in range(count):
            (tmp_path / name / f"{number:02}.jpg").touch()
    return [tmp_path / "pepper", tmp_path / "wiehan"], [tmp_path / "open", tmp_path / "more"]


def names(paths: tuple[Path, ...]) -> list[str]:
    return [f"{path.parent.name}/{path.stem}" for path in paths]


def test_the_last_fifth_of_each_folder_is_held_out(
    folders: tuple[list[Path], list[Path]],
) -> None:
    found = find_art(*folders, [], seed=1)
    assert sorted(names(found.held_out)) == [*(f"pepper/{n}" for n in range(16, 20)), "wiehan/04"]
    assert len(found.art) == 20 and not set(found.art) & set(found.held_out)


def test_patterns_say_what_is_held_out(folders: tuple[list[Path], list[Path]]) -> None:
    found = find_art(*folders, ["pepper/0*", "wiehan/01.jpg"], seed=1)
    assert len(found.held_out) == 11
    assert all(name.startswith(("pepper/0", "wiehan/01")) for name in names(found.held_out))
    assert len(found.art) == 14


def test_a_small_folder_leaves_its_share_to_the_others_and_photos_are_as_many(
    folders: tuple[list[Path], list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(art, "LEARNED_IMAGES", 14)
    found = find_art(*folders, [], seed=1)
    hands = [path.parent.name for path in found.art]
    assert (hands.count("wiehan"), hands.count("pepper")) == (4, 10)
    photos = [path.parent.name for path in found.photos]
    assert (photos.count("open"), photos.count("more")) == (7, 7)


def test_the_seed_decides_which_images(
    folders: tuple[list[Path], list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(art, "LEARNED_IMAGES", 8)
    assert find_art(*folders, [], seed=1) == find_art(*folders, [], seed=1)
    assert find_art(*folders, [], seed=1) != find_art(*folders, [], seed=2)


@pytest.mark.parametrize(("pattern", "missing"), [("*", "learn from"), ("none/*", "test with")])
def test_no_art_left_is_refused(
    folders: tuple[list[Path], list[Path]], pattern: str, missing: str
) -> None:
    with pytest.raises(TrainingError, match=f"no art is left to {missing}: see --held-out"):
        find_art(*folders, [pattern], seed=1)
