"""Pictures of another program are found by the photo's name and cut like the photo."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from support.drawn_images import draw_discs, write_image

from toonvid.errors import TrainingError
from trainer.evaluation.crops import CropFolder, Region
from trainer.evaluation.programs import PictureProgram, find_pictures


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two photos that are larger than a region, and one that has no picture."""
    (tmp_path / "photos").mkdir()
    for seed in range(3):
        write_image(tmp_path / "photos" / f"{seed}.png", draw_discs(600, 800, seed))
    return tmp_path / "photos"


def regions(photos: Path, program: PictureProgram) -> list[Region]:
    return list(CropFolder(photos, "photos", 6, 1, is_wanted=program.has).regions())


def test_equal_pictures_give_equal_regions_by_pattern_and_by_folder(
    photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "made").mkdir()
    for seed in range(2):
        write_image(tmp_path / "made" / f"{seed}.png", draw_discs(600, 800, seed))
        write_image(tmp_path / f"{seed}_other.png", draw_discs(600, 800, seed))
    for text in (f"other={tmp_path}/made", f"other={tmp_path}/*_other.png"):
        program = find_pictures(text, photos)
        found = regions(photos, program)
        assert {region.path.stem for region in found} == {"0", "1"}
        for region in found:
            assert np.array_equal(program.cartoon(region), region.pixels)


def test_a_picture_of_another_size_shows_the_same_place(photos: Path, tmp_path: Path) -> None:
    for seed in range(2):
        half = cv2.resize(draw_discs(600, 800, seed), (400, 300), interpolation=cv2.INTER_AREA)
        write_image(tmp_path / f"{seed}_other.png", half)
    program = find_pictures(f"other={tmp_path}/*_other.png", photos)
    for region in regions(photos, program):
        assert np.abs(program.cartoon(region).astype(int) - region.pixels).mean() < 6


def test_a_picture_of_another_shape_is_refused_in_one_line(photos: Path, tmp_path: Path) -> None:
    for seed in range(2):
        write_image(tmp_path / f"{seed}_other.png", draw_discs(300, 300, seed))
    program = find_pictures(f"other={tmp_path}/*_other.png", photos)
    with pytest.raises(TrainingError, match=r"0_other\.png is 300 x 300, another shape than"):
        for region in regions(photos, program):
            program.cartoon(region)


def test_too_few_pictures_are_refused_in_one_line(photos: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "0_other.png", draw_discs(600, 800, 0))
    program = find_pictures(f"other={tmp_path}/*_other.png", photos)
    with pytest.raises(TrainingError, match="two photos, and every program has pictures of 1 in"):
        regions(photos, program)


@pytest.mark.parametrize("text", ["made", "=made/*", "other="])
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(TrainingError, match="--pictures takes NAME=PATH"):
        find_pictures(text, Path())


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nowhere is neither a folder of pictures nor a path"):
        find_pictures(f"other={tmp_path}/nowhere", tmp_path)


def test_pictures_are_found_by_the_path_of_their_photo_then_by_its_name(tmp_path: Path) -> None:
    photos, made = tmp_path / "photos", tmp_path / "made"
    for folder in ("a", "b", "c"):
        (photos / folder).mkdir(parents=True)
        write_image(photos / folder / "01.png", draw_discs(60, 80, 1))
    write_image(photos / "c" / "02.png", draw_discs(60, 80, 1))
    for picture in ("a/01.jpg", "b/01.JPG", "02.Png", "a/01_other.jpg", "b/01_other.jpg"):
        (made / picture).parent.mkdir(parents=True, exist_ok=True)
        (made / picture).touch()
    in_folder = find_pictures(f"other={made}", photos).pictures
    assert {
        photo.relative_to(photos).as_posix(): picture.relative_to(made).as_posix()
        for photo, picture in in_folder.items()
    } == {"a/01.png": "a/01.jpg", "b/01.png": "b/01.JPG", "c/02.png": "02.Png"}
    by_pattern = find_pictures(f"other={made}/*_other.jpg", photos).pictures
    assert by_pattern[photos / "b" / "01.png"] == made / "b" / "01_other.jpg"


def test_a_picture_of_two_photos_is_refused(tmp_path: Path) -> None:
    photos, made = tmp_path / "photos", tmp_path / "made"
    for folder in (photos / "a", photos / "b", made):
        folder.mkdir(parents=True)
        write_image(folder / "01.png", draw_discs(60, 80, 1))
    for text in (f"other={made}", f"other={made}/*.png"):
        with pytest.raises(
            TrainingError, match=r"made/01\.png would be the picture of .*a/01\.png"
        ):
            find_pictures(text, photos)


def test_a_picture_that_cannot_be_read_is_named(photos: Path, tmp_path: Path) -> None:
    for seed in range(2):
        (tmp_path / f"{seed}_other.png").write_text("torn")
    program = find_pictures(f"other={tmp_path}/*_other.png", photos)
    with pytest.raises(TrainingError, match=r"/0_other\.png: not a readable image"):
        program.cartoon(regions(photos, program)[0])
