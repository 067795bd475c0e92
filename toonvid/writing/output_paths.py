"""Which target belongs to which source: folders, templates, and names chosen for a user."""

from __future__ import annotations

import string
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from toonvid.errors import SourceError, TargetError
from toonvid.video import PIPE
from toonvid.writing.containers import IMAGE_CODECS, VIDEO_CONTAINERS
from toonvid.writing.provenance import has_provenance_tag

# What a folder run takes for a film or a picture; a file named by a user may end in anything.
VIDEO_SUFFIXES = {
    *VIDEO_CONTAINERS,
    *(".mpg", ".mpeg", ".m2ts", ".mts", ".wmv", ".flv", ".3gp", ".ogv", ".vob", ".y4m"),
}
IMAGE_SUFFIXES = {*IMAGE_CODECS, ".bmp", ".tif", ".tiff", ".avif", ".jp2", ".ppm", ".tga"}
# Containers that keep all that a film has; sources in any other become mp4, or mkv from webm,
# whose audio fits mp4 in few players.
_KEPT_SUFFIXES = {".mp4", ".m4v", ".mov", ".mkv", *IMAGE_CODECS}
_CHANGED_SUFFIXES = {".webm": ".mkv"}
_TEMPLATE_FIELDS = ("stem", "style", "ext")


@dataclass(frozen=True)
class PlannedConversion:
    """One source and the target that it becomes."""

    source: str
    target: str


def plan_targets(sources: list[str], output: str | None, style: str) -> list[PlannedConversion]:
    """Find the sources in folders and name a target for each.

    Args:
        sources: Files, folders, URLs, or `-`.
        output: A file, a folder (it exists, or ends in a slash), a template with `{stem}`,
            `{style}` and `{ext}`, `-`, or None for `movie.toon.mp4` beside each source.
        style: Of the engine.

    Raises:
        SourceError: A folder has no films or pictures of its own.
        TargetError: Two sources would share a target, a source would be its own, or the template
            has an unknown field.
    """
    found = [pair for source in sources for pair in _expanded(source)]
    jobs = [
        PlannedConversion(s, _target(s, inside, output, style, len(found))) for s, inside in found
    ]
    taken: dict[Path, str] = {}
    for job in jobs:
        if job.target == PIPE:
            continue
        place = Path(job.target).absolute()
        if place in taken:
            raise TargetError(f"{taken[place]} and {job.source} would both be written to {place}")
        taken[place] = job.source
        if job.source != PIPE and place.exists() and _same_file(place, job.source):
            raise TargetError(f"{job.source} would be written over itself; name another target")
    return jobs


def _expanded(source: str) -> list[tuple[str, Path]]:
    """The films and pictures in a source, each with its folder inside of it."""
    if source == PIPE or not Path(source).is_dir():
        return [(source, Path())]
    root = Path(source)
    candidates = sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in VIDEO_SUFFIXES | IMAGE_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
        and path.is_file()
    )
    own = [path for path in candidates if not has_provenance_tag(path)]
    if not own:
        written = f" but toonvid's own ({len(candidates)})" if candidates else ""
        raise SourceError(f"{source}: no films or pictures in this folder{written}")
    return [(str(path), path.parent.relative_to(root)) for path in own]


def _target(source: str, inside: Path, output: str | None, style: str, count: int) -> str:
    name = _name(source)
    stem, suffix = name.stem, name.suffix.lower()
    ext = suffix if suffix in _KEPT_SUFFIXES else _CHANGED_SUFFIXES.get(suffix, _fallback(suffix))
    default = f"{stem}.toon{ext}"
    if output is None:
        if source == PIPE or "://" in source:
            raise TargetError(f"say with -o where {source} is to be written")
        return str(Path(source).with_name(default))
    if output == PIPE:
        if count > 1:
            raise TargetError("standard output holds one film, not several")
        return PIPE
    if "{" in output:
        return _filled(output, {"stem": stem, "style": style, "ext": ext})
    if output.endswith(("/", "\\")) or Path(output).is_dir():
        return str(Path(output) / inside / default)
    if count > 1:
        raise TargetError(f"{count} sources do not fit the one target {output}; name a folder")
    return output


def _name(source: str) -> PurePosixPath | Path:
    if source == PIPE:
        return PurePosixPath("stdin")
    if "://" in source:
        return PurePosixPath(unquote(urlsplit(source).path) or "stream")
    return Path(source)


def _fallback(suffix: str) -> str:
    return ".png" if suffix in IMAGE_SUFFIXES else ".mp4"


def _filled(template: str, values: dict[str, str]) -> str:
    try:
        fields = [
            field for _, field, _, _ in string.Formatter().parse(template) if field is not None
        ]
        unknown = [field for field in fields if field not in values]
        if not unknown:
            return template.format_map(values)
    except ValueError:
        unknown = ["{"]
    known = " ".join(f"{{{field}}}" for field in _TEMPLATE_FIELDS)
    raise TargetError(f"-o {template}: {unknown[0]!r} is not a field; there are {known}")


def _same_file(place: Path, source: str) -> bool:
    return Path(source).exists() and place.samefile(source)
