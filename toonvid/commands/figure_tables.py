"""How the figures of an evaluation are shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias

from rich.box import SIMPLE_HEAD
from rich.table import Table

if TYPE_CHECKING:
    from trainer.evaluation.fid_kid import KernelDistance
    from trainer.evaluation.results import Evaluation

_TO_CARTOONS, _SHARE, _TO_PHOTOS = "  to the cartoons", "  share of the photos'", "  to the photos"

_Row: TypeAlias = tuple[str, list[str], str, str]
"""Name of a figure, its value for each engine, for the photos and for the cartoons."""


def picture_table(evaluation: Evaluation) -> Table:
    """What was seen on crops: a column for each engine, then the photos and the cartoons."""
    photos, cartoons = evaluation.photos, evaluation.cartoons
    table = Table(
        title=f"{photos.crops:,} crops of {photos.pictures:,} photos,"
        f" {cartoons.crops:,} of {cartoons.pictures:,} cartoons",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("")
    for heading in (*(engine.style for engine in evaluation.engines), "photos", "cartoons"):
        table.add_column(heading, justify="right")
    for rows in (_distances, _likenesses, _surfaces):
        for name, values, of_photos, of_cartoons in rows(evaluation):
            table.add_row(name, *values, of_photos, of_cartoons)
        table.add_section()
    return table


def film_table(evaluation: Evaluation) -> Table:
    """Warping errors: a row for each film."""
    table = Table(
        title="Warping error (root mean square, levels) and its ratio to the source's",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("film")
    for heading in ("frames", "source", *(engine.style for engine in evaluation.engines)):
        table.add_column(heading, justify="right")
    for film in evaluation.films:
        cells = [
            f"{error:.2f}" if ratio is None else f"{error:.2f} ({ratio:.2f}x)"
            for error, ratio in zip(film.cartoons, film.ratios, strict=True)
        ]
        table.add_row(film.film, str(film.frames), f"{film.source:.2f}", *cells)
    return table


def legend(evaluation: Evaluation) -> str:
    """What the figures do not say themselves."""
    line = (
        f"Distances compare only with others through {evaluation.feature_net}, over as many crops"
        " of the same pictures; ± is the standard error."
    )
    if evaluation.unrelated_similarity is None:
        return line
    unrelated = f"{evaluation.unrelated_similarity:.3f}"
    return f"{line} The content similarity of photos of different things is {unrelated}."


def _distances(evaluation: Evaluation) -> Iterator[_Row]:
    engines, own, net = evaluation.engines, evaluation.photos_to_cartoons, evaluation.feature_net
    yield f"KID x 1000 ({net})", ["" for _ in engines], "", ""
    kernels = [_kernel(engine.to_cartoons.kernel) for engine in engines]
    yield _TO_CARTOONS, kernels, _kernel(own.kernel), ""
    yield _SHARE, [_percent(engine.kernel_share) for engine in engines], _percent(1), ""
    kernels = [_kernel(engine.to_photos.kernel) for engine in engines]
    yield _TO_PHOTOS, kernels, "", _kernel(own.kernel)
    yield f"Frechet distance ({net})", ["" for _ in engines], "", ""
    frechets = [f"{engine.to_cartoons.frechet:.1f}" for engine in engines]
    yield _TO_CARTOONS, frechets, f"{own.frechet:.1f}", ""
    yield _SHARE, [_percent(engine.frechet_share) for engine in engines], _percent(1), ""
    frechets = [f"{engine.to_photos.frechet:.1f}" for engine in engines]
    yield _TO_PHOTOS, frechets, "", f"{own.frechet:.1f}"


def _likenesses(evaluation: Evaluation) -> Iterator[_Row]:
    engines = evaluation.engines
    similarities = [f"{engine.content_similarity:.3f}" for engine in engines]
    yield f"content similarity ({evaluation.feature_net})", similarities, "", ""
    changes = [
        f"{engine.change:.1f}" + (" [red]equals its input[/]" if engine.equals_input else "")
        for engine in engines
    ]
    yield "change of the photo (levels)", changes, "", ""


def _surfaces(evaluation: Evaluation) -> Iterator[_Row]:
    surfaces = [engine.surface for engine in evaluation.engines]
    surfaces += [evaluation.photos.surface, evaluation.cartoons.surface]
    *flat, photos, cartoons = [_percent(surface.flat_patch_share) for surface in surfaces]
    yield "flat-patch share", flat, photos, cartoons
    *sharp, photos, cartoons = [f"{surface.line_sharpness:.1f}" for surface in surfaces]
    yield "line sharpness (levels a pixel)", sharp, photos, cartoons


def _kernel(distance: KernelDistance) -> str:
    spread = "" if distance.spread is None else f" ± {1000 * distance.spread:.1f}"
    return f"{1000 * distance.value:.1f}{spread}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"
