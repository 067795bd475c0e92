"""The shipped engines match their cards, and each draws cartoons of its own kind."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from toonvid.backends import open_backend
from toonvid.engine import Engine, read_engine, shipped_engines
from toonvid.video import Pixels

STYLES = sorted(card.stem for card in shipped_engines().glob("*.json"))

LITE_FILE_BYTES = 4_000_000


@pytest.fixture(params=STYLES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return read_engine(shipped_engines() / f"{request.param}.json")


def run(engine: Engine, image: Pixels) -> Pixels:
    with open_backend(engine, precision="f32") as backend:
        return backend.run(image[None])[0]


def lightness(image: Pixels) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float64)


def flat_share(image: Pixels) -> float:
    """Share of 7x7 patches whose lightness has a standard deviation under 3 levels."""
    gray = lightness(image)
    mean, mean_of_squares = cv2.blur(gray, (7, 7)), cv2.blur(gray**2, (7, 7))
    return float((mean_of_squares - mean**2 < 3**2)[3:-3, 3:-3].mean())


@pytest.fixture
def ink() -> Engine:
    return read_engine(shipped_engines() / "ink.json")


@pytest.fixture
def pepper() -> Engine:
    return read_engine(shipped_engines() / "pepper.json")


def draw_grays() -> Pixels:
    """Five bars from dark gray on the left to light gray on the right, each wide enough to be an
    area of its own."""
    levels = np.linspace(20, 235, 5).astype(np.uint8).repeat(96)
    return np.tile(levels[None, :, None], (160, 1, 3))


def test_all_styles_are_shipped() -> None:
    assert STYLES == ["glitch", "ink", "manga", "pepper", "poster", "storybook"]


def test_every_file_is_the_one_its_card_describes(engine: Engine) -> None:
    assert set(engine.card.precisions) >= {"f32", "f16"}
    for precision in engine.card.precisions:
        path = engine.path(precision)  # checks the hash, and that it needs no other file
        assert path.stat().st_size < LITE_FILE_BYTES


def test_every_card_names_its_training_data(engine: Engine) -> None:
    assert engine.card.trained_on
    for source in engine.card.trained_on:
        assert source.license != "not stated"
        assert source.images > 0
    assert engine.card.recipe
    assert engine.card.source_commit
    assert engine.card.metrics["levels_apart_f32"] <= engine.card.tolerance["f32"] == 1


def test_texture_becomes_flat(engine: Engine) -> None:
    random = np.random.default_rng(0)
    texture = cv2.GaussianBlur(random.normal(0, 15, (160, 160, 1)), (0, 0), 0.8)[..., None]
    photo = np.clip(np.add((120, 150, 180), texture), 0, 255).astype(np.uint8)
    assert flat_share(photo) < 0.1
    assert flat_share(run(engine, photo)) > flat_share(photo) + 0.5


def test_ink_draws_dark_lines_at_edges(ink: Engine) -> None:
    photo = np.full((160, 160, 3), (90, 140, 110), np.uint8)
    cv2.circle(photo, (80, 80), 45, (190, 200, 170), thickness=-1, lineType=cv2.LINE_AA)
    photo = cv2.GaussianBlur(photo, (0, 0), 0.8)
    before, after = lightness(photo), lightness(run(ink, photo))
    distance = np.hypot(*(np.indices(before.shape) - 80)) - 45
    near, outside = np.abs(distance) < 5, (distance > 12) & (distance < 25)
    assert before[near].min() > before[outside].mean() - 3  # the photo has no line
    rows = [after[80, 80 + 40 : 80 + 52], after[80, 80 - 52 : 80 - 40], after[28:40, 80]]
    for row in rows:
        assert row.min() < after[outside].mean() - 25


def test_ink_keeps_gray_gray(ink: Engine) -> None:
    cartoon = run(ink, draw_grays()).astype(int)
    assert np.ptp(cartoon, axis=2)[8:-8, 8:-8].max() < 20


def test_pepper_makes_light_warmer_and_shadow_cooler(pepper: Engine) -> None:
    cartoon = run(pepper, draw_grays()).astype(int)
    warmth = (cartoon[..., 0] - cartoon[..., 2])[8:-8]  # red over blue
    assert warmth[:, -40:-8].mean() > 4
    assert warmth[:, 8:40].mean() < -4


def test_light_stays_light_and_dark_stays_dark(engine: Engine) -> None:
    grays = draw_grays()
    drawn, given = (
        lightness(image)[8:-8, 8:-8].mean(axis=0) for image in (run(engine, grays), grays)
    )
    assert np.corrcoef(drawn, given)[0, 1] > 0.85
    assert drawn[:16].mean() < 105  # storybook's shadows are that light
    assert drawn[-16:].mean() > 200
