"""Measurements on whole photos: how many cartoons look like art, and what they keep of the photo.

A folder of photos and programs go in; figures of the photos themselves, and of what each program
makes of them, come out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from toonvid.video import Pixels
from trainer.data.drawing import draw
from trainer.data.images import UnusableImageError
from trainer.evaluation.art import ArtSources
from trainer.evaluation.cartoon_classifier import (
    CartoonClassifier,
    pool_features,
    pool_usable,
    standard_view,
    train_classifier,
)
from trainer.evaluation.crops import CropFolder
from trainer.evaluation.edits import EDITS
from trainer.evaluation.face_landmarks import FaceCounts, RunNetwork, find_faces
from trainer.evaluation.feature_network import FeatureNetwork
from trainer.evaluation.ink_kept import InkCounts
from trainer.evaluation.programs import Program
from trainer.evaluation.results import ClassifierFigures, WholeFigures

EDITED_PHOTOS = 60
"""Number of photos that the classifier is checked with after each edit."""


@dataclass(frozen=True)
class TrainedClassifier:
    """A classifier, the network whose features it takes, and its test on art."""

    network: FeatureNetwork
    classifier: CartoonClassifier
    held_out_art: int
    """Number of images of art that it was tested with."""
    art_accuracy: float
    """Share of them that it calls art, 0..1."""

    def art_share(self, views: list[Pixels]) -> float:
        """Share of views that are called art; `views` are not empty."""
        return float(self.classifier.is_art(pool_features(self.network, views)).mean())


@dataclass(frozen=True)
class WholePhotos:
    """Measurements on whole photos."""

    photos: int
    """Number of photos that were measured."""
    classified: int
    """Number of these that are large enough for the classifier; 0 without one."""
    figures: list[WholeFigures]
    """Figures of the photos themselves, then of each program."""


@dataclass
class _Measured:
    """What was counted of the photos, or of the cartoons that one program made."""

    ink: InkCounts = field(default_factory=InkCounts)
    faces: FaceCounts = field(default_factory=FaceCounts)
    views: list[Pixels] = field(default_factory=list)

    def figures(self, trained: TrainedClassifier | None) -> WholeFigures:
        return WholeFigures(
            cartoon_share=trained.art_share(self.views) if trained and self.views else None,
            ink_kept=self.ink.kept_share,
            foreign_ink=self.ink.foreign_share,
            faces_found=self.faces.found_share,
            landmarks_moved=self.faces.moved,
        )


def learn_art(
    network: FeatureNetwork, art: ArtSources, on_progress: Callable[[int], None]
) -> TrainedClassifier:
    """Trains the classifier on the art and the photos that are not held out, and tests it.

    Raises:
        TrainingError: None of the art, of the photos or of the held-out art can be used.
    """
    classifier = train_classifier(network, art.art, art.photos, on_progress)
    is_art = classifier.is_art(pool_usable(network, art.held_out, "held-out art"))
    return TrainedClassifier(network, classifier, len(is_art), float(is_art.mean()))


def measure_photos(
    folder: CropFolder,
    programs: Sequence[Program],
    trained: TrainedClassifier | None,
    face_network: RunNetwork | None,
    count: int,
    on_progress: Callable[[int], None],
) -> WholePhotos:
    """Measures whole photos, and what each program makes of them.

    Args:
        folder: The photos.
        programs: May be empty.
        trained: None leaves the share of art out.
        face_network: None leaves faces out.
        count: Largest number of photos.
        on_progress: Called with the number of photos done.

    Raises:
        TrainingError: A picture is missing or has another shape than its photo.
        BackendError: An engine fails.
    """
    measured = [_Measured() for _ in range(1 + len(programs))]
    done = 0
    for done, region in enumerate(folder.whole_images(count), start=1):
        ink = draw(region.pixels).ink
        faces = find_faces(region.pixels, face_network) if face_network else []
        pictures = [region.pixels, *(program.cartoon(region) for program in programs)]
        for one, picture in zip(measured, pictures, strict=True):
            one.ink.add(picture, ink)
            if face_network:
                one.faces.add(picture, faces, face_network)
            if trained and (view := _view(picture)) is not None:
                one.views.append(view)
        on_progress(done)
    return WholePhotos(
        photos=done,
        classified=len(measured[0].views),
        figures=[one.figures(trained) for one in measured],
    )


def check_classifier(
    trained: TrainedClassifier, folder: CropFolder, whole: WholePhotos
) -> ClassifierFigures | None:
    """Measures a classifier on photos that it has not learned from.

    Args:
        trained: The classifier.
        folder: Photos, none of which it has learned from.
        whole: What was measured on these photos.

    Returns:
        None where all photos are too small for it.
    """
    own_share = whole.figures[0].cartoon_share
    if own_share is None:
        return None
    photos = [region.pixels for region in folder.whole_images(EDITED_PHOTOS)]
    edited = {}
    for name, edit in EDITS.items():
        views = [view for photo in photos if (view := _view(edit(photo))) is not None]
        if views:
            edited[name] = trained.art_share(views)
    return ClassifierFigures(
        learned_art=trained.classifier.art,
        learned_photos=trained.classifier.photos,
        held_out_art=trained.held_out_art,
        art_accuracy=trained.art_accuracy,
        tested_photos=whole.classified,
        photo_accuracy=1 - own_share,
        edited_photos=edited,
    )


def _view(picture: Pixels) -> Pixels | None:
    try:
        return standard_view(picture)
    except UnusableImageError:
        return None
