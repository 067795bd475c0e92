"""Tables of `toonvid evaluate`: figures of images, then a table of videos for each engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import TYPE_CHECKING, TypeAlias

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from toonvid.commands.messages import count, print_json, say, table_console

if TYPE_CHECKING:
    from trainer.evaluation.paint import PaintFigures
    from trainer.evaluation.results import Distance, Evaluation
    from trainer.evaluation.warping_error import CartoonVideo

_TO_CARTOONS, _SHARE, _TO_PHOTOS = "  to the cartoons", "  share of the photos'", "  to the photos"

_Row: TypeAlias = tuple[str, Sequence[str | Text], str, str]
"""Name of a figure, its value for each engine, for the photos and for the cartoons."""


def print_evaluation(console: Console, evaluation: Evaluation) -> None:
    """Print the figures, with what they may be compared with, and what was left out."""
    console.print(_image_table(evaluation))
    if evaluation.videos:
        for index in range(len(evaluation.videos[0].plain)):
            console.print(_video_table(evaluation, index))
    for line in _notes(evaluation):
        console.print(line, style="dim")


def print_skipped(console: Console, evaluation: Evaluation) -> None:
    """Count the images that could not be used; the trainer has logged why, one by one."""
    for kind, found in (("photos", evaluation.photos), ("cartoons", evaluation.cartoons)):
        if found and found.skipped:
            say(console, f"Skipped {len(found.skipped)} of the {kind}.", "yellow")


def _image_table(evaluation: Evaluation) -> Table:
    """Lay out the figures of images: a column for each engine, then photos and cartoons."""
    photos, cartoons = evaluation.photos, evaluation.cartoons
    title = f"{photos.crops:,} crops of {photos.images:,} photos"
    if cartoons:
        title += f", {cartoons.crops:,} of {cartoons.images:,} cartoons"
    title += f"; {evaluation.whole_photos:,} whole photos"
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    headings = [*(engine.style for engine in evaluation.engines), "photos"]
    for heading in [*headings, "cartoons"] if cartoons else headings:
        table.add_column(heading, justify="right")
    for rows in (_whole_rows, _surface_rows, _distance_rows, _content_rows):
        for name, values, of_photos, of_cartoons in rows(evaluation):
            table.add_row(name, *values, of_photos, *([of_cartoons] if cartoons else []))
        table.add_section()
    return table


def _whole_rows(evaluation: Evaluation) -> Iterator[_Row]:
    whole = [*(engine.whole for engine in evaluation.engines), evaluation.photos_whole]
    classifier = evaluation.classifier
    if classifier:
        *shares, own = [_percent(each.cartoon_share) for each in whole]
        yield "cartoon share", shares, own, _percent(classifier.art_accuracy)
    *kept, own = [_percent(each.ink_kept) for each in whole]
    yield "ink kept of the drawing", kept, own, ""
    *foreign, own = [_percent(each.foreign_ink) for each in whole]
    yield "lines that the drawing has not", foreign, own, ""
    if evaluation.photos_whole.faces_found is not None:
        *found, own = [_percent(each.faces_found) for each in whole]
        yield "faces found", found, own, ""
        *moved, own = [_percent(each.landmarks_moved) for each in whole]
        yield "face landmarks moved (of the eyes' distance)", moved, own, ""


def _surface_rows(evaluation: Evaluation) -> Iterator[_Row]:
    changes = [
        Text(f"{engine.change:.1f}").append(" equals its input" * engine.equals_input, style="red")
        for engine in evaluation.engines
    ]
    yield "change of the photo (levels)", changes, "", ""
    surfaces = [*(engine.surface for engine in evaluation.engines), evaluation.photos.surface]
    of_cartoons = evaluation.cartoons and evaluation.cartoons.surface
    for name, figures, of_art in (
        (
            "tone steps",
            [_percent(surface.tone_steps) for surface in surfaces],
            of_cartoons and _percent(of_cartoons.tone_steps),
        ),
        (
            "flat-patch share",
            [_percent(surface.flat_patch_share) for surface in surfaces],
            of_cartoons and _percent(of_cartoons.flat_patch_share),
        ),
        (
            "line sharpness (levels per pixel)",
            [f"{surface.line_sharpness:.1f}" for surface in surfaces],
            of_cartoons and f"{of_cartoons.line_sharpness:.1f}",
        ),
    ):
        *values, of_photos = figures
        yield name, values, of_photos, of_art or ""


def _distance_rows(evaluation: Evaluation) -> Iterator[_Row]:
    engines, own, net = evaluation.engines, evaluation.photos_to_cartoons, evaluation.feature_net
    if own is None:
        return
    yield f"KID x 1000 ({net})", ["" for _ in engines], "", ""
    kernels = [_kernel(engine.to_cartoons) for engine in engines]
    yield _TO_CARTOONS, kernels, _kernel(own), ""
    yield _SHARE, [_percent(engine.kernel_share) for engine in engines], _percent(1), ""
    kernels = [_kernel(engine.to_photos) for engine in engines]
    yield _TO_PHOTOS, kernels, "", _kernel(own)
    yield f"Frechet distance ({net})", ["" for _ in engines], "", ""
    frechets = [_frechet(engine.to_cartoons) for engine in engines]
    yield _TO_CARTOONS, frechets, _frechet(own), ""
    yield _SHARE, [_percent(engine.frechet_share) for engine in engines], _percent(1), ""
    frechets = [_frechet(engine.to_photos) for engine in engines]
    yield _TO_PHOTOS, frechets, "", _frechet(own)


def _content_rows(evaluation: Evaluation) -> Iterator[_Row]:
    if evaluation.feature_net is None:
        return
    similarities = [_number(engine.content_similarity, 3) for engine in evaluation.engines]
    yield f"content similarity ({evaluation.feature_net})", similarities, "", ""


def _video_table(evaluation: Evaluation, index: int) -> Table:
    """Lay out the figures of one engine on videos: a row for each video, then the mean change."""
    table = Table(
        title=f"{evaluation.engines[index].style}: warping error over the source's",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("video")
    for heading in ("frames", "source", "steady 0", f"steady {evaluation.options.steady:g}"):
        table.add_column(heading, justify="right")
    for heading in ("gain", "over gain", "change"):
        table.add_column(heading, justify="right")
    for video in evaluation.videos:
        cells = _video_cells(video.plain[index], video.steady[index])
        table.add_row(video.video, str(video.frames), f"{video.source:.2f}", *cells)
    table.add_section()
    change = fmean(video.steady[index].change for video in evaluation.videos)
    table.add_row("mean", "", "", "", "", "", "", f"{change:.1f}")
    return table


def _video_cells(plain: CartoonVideo, steady: CartoonVideo) -> tuple[str, ...]:
    """Format what stands in the columns after the source's error."""
    return (
        _number(plain.ratio, 2),
        _number(steady.ratio, 2),
        _number(steady.gradient_gain, 2),
        _number(steady.ratio_per_gain, 2),
        f"{steady.change:.1f}",
    )


def _notes(evaluation: Evaluation) -> Iterator[str]:
    """Say what the figures may be compared with, how good the classifier is, what is missing."""
    if classifier := evaluation.classifier:
        edited = ", ".join(
            f"{name} {100 * share:.0f} %" for name, share in classifier.edited_photos.items()
        )
        yield (
            f"Cartoon share: a linear classifier on {evaluation.feature_net}, which learned from"
            f" {classifier.learned_art:,} images of art and {classifier.learned_photos:,} photos."
            f" It is right on {100 * classifier.art_accuracy:.1f} % of"
            f" {classifier.held_out_art:,} held-out images of art and"
            f" {100 * classifier.photo_accuracy:.1f} % of {classifier.tested_photos:,} photos."
            f" Edited photos that it calls art: {edited or 'none is large enough'}."
        )
    if evaluation.videos:
        yield (
            "Videos: warping error of the source (root mean square, levels); the cartoon's over it,"
            " with and without the stage against flicker; with it, the gain in gradient, the ratio"
            " over this gain, and the change in levels."
        )
    if evaluation.photos_to_cartoons:
        line = (
            f"Distances compare only with others through {evaluation.feature_net}, over as many"
            " crops of the same images; ± is the standard error."
        )
        if evaluation.unrelated_similarity is not None:
            unrelated = f"{evaluation.unrelated_similarity:.3f}"
            line += f" The content similarity of photos of different things is {unrelated}."
        yield line
    for each in evaluation.left_out:
        yield f"Left out: {each}."


def _kernel(distance: Distance | None) -> str:
    if distance is None:
        return ""
    kernel = distance.kernel
    spread = "" if kernel.spread is None else f" ± {1000 * kernel.spread:.1f}"
    return f"{1000 * kernel.value:.1f}{spread}"


def _frechet(distance: Distance | None) -> str:
    return "" if distance is None else f"{distance.frechet:.1f}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def print_paint(figures: Sequence[PaintFigures], as_json: bool) -> None:
    """Print how colorful painted line art is, against the art: a line, or a JSON object, each."""
    for found in figures:
        if as_json:
            shares = {"share": found.share, "variety_share": found.variety_share}
            print_json({**asdict(found), **shares})
            continue
        say(
            table_console(),
            f"{found.engine}: chroma {found.chroma:.1f}, {found.share:.0%} of the art's"
            f" {found.art_chroma:.1f}; variety {found.variety:.1f}, {found.variety_share:.0%} of"
            f" the art's {found.art_variety:.1f} ({count(found.pictures, 'picture')})",
        )
