"""Which target belongs to which source.

What a user typed goes in: sources, which may be folders, and an output, which may be a file, a
folder or a template. A list of files to convert comes out, each with its target. No file is
written here.
"""

from __future__ import annotations

import string
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from toonvid.errors import SourceError, TargetError
from toonvid.files import is_same_file
from toonvid.video import PIPE
from toonvid.writing.containers import IMAGE_CODECS, VIDEO_CONTAINERS
from toonvid.writing.provenance import has_provenance_tag

# Files in a folder are chosen by these suffixes, because opening every file would take too long.
# A file that a user names may have any suffix.
VIDEO_SUFFIXES = {
    *VIDEO_CONTAINERS,
    *(".mpg", ".mpeg", ".m2ts", ".mts", ".wmv", ".flv", ".3gp", ".ogv", ".vob", ".y4m"),
    *(".avi", ".dv", ".mxf", ".asf", ".m2v", ".3g2", ".nut", ".3gpp", ".f4v", ".qt", ".mk3d"),
    *(".m2t", ".trp", ".mod", ".tod", ".vro", ".mpe", ".mpv", ".m1v", ".mp2v", ".wtv", ".gxf"),
    *(".ogm", ".divx", ".rm", ".rmvb", ".amv", ".insv", ".lrv", ".ivf", ".obu", ".mjpeg", ".mjpg"),
    *(".h264", ".264", ".avc", ".h265", ".265", ".hevc"),
}
IMAGE_SUFFIXES = {
    *IMAGE_CODECS,
    *(".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif", ".jp2", ".ppm", ".tga"),
    *(".apng", ".jfif", ".jpe", ".pgm", ".pnm", ".pbm", ".pam", ".hif", ".mpo", ".j2k", ".jxl"),
    *(
        ".exr",
        ".psd",
        ".qoi",
        ".hdr",
        ".dds",
        ".pcx",
        ".sgi",
        ".dpx",
        ".ico",
        ".xbm",
        ".xwd",
        ".ras",
    ),
}
# Containers that can hold every stream of their sources. All others become mp4, but webm and Ogg
# become mkv: few players take their Opus and Vorbis audio in mp4.
_KEPT_SUFFIXES = {".mp4", ".m4v", ".mov", ".mkv", ".gif", *IMAGE_CODECS}
_CHANGED_SUFFIXES = {
    **dict.fromkeys((".webm", ".ogv", ".ogg", ".ogm", ".mk3d"), ".mkv"),
    # Photos stay photos: a PNG of one is ten times as large.
    **dict.fromkeys((".heic", ".heif", ".hif", ".jfif", ".jpe", ".mpo"), ".jpg"),
    ".avif": ".webp",  # holds opacity and animations too
}
# First bytes of images, by which those are known that have another suffix or none.
_IMAGE_HEADS = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG\r\n": ".png",
    b"GIF8": ".gif",
    b"II*\0": ".png",
    b"MM\0*": ".png",
}
_TEMPLATE_FIELDS = ("stem", "style", "ext")


@dataclass(frozen=True)
class PlannedConversion:
    """One source and its target."""

    source: str
    """A path, an address, or `-` for standard input."""
    target: str
    """A path, or `-` for standard output."""


def plan_targets(sources: list[str], output: str | None, style: str) -> list[PlannedConversion]:
    """Finds the sources in folders and names a target for each.

    Args:
        sources: Files, folders, URLs, or `-`.
        output: A file, a folder (it exists, ends in a slash, or has no suffix and is for several
            sources), a template with `{stem}`,
            `{style}` and `{ext}`, `-`, or None for `movie.toon.mp4` beside each source.
        style: Name of the style, for templates.

    Returns:
        The sources in the order given, those of a folder in order of their names.

    Raises:
        SourceError: A folder has no videos or images but toonvid's own targets.
        TargetError: Two sources would be written to one target, a source would be its own target,
            or the template has an unknown field.
    """
    found = [pair for source in sources for pair in _files_of(source)]
    planned = [
        PlannedConversion(
            source=source,
            target=_name_target(source, inside, output, style, len(found)),
        )
        for source, inside in found
    ]
    if output is None or "{" not in output:
        planned = _told_apart(planned)
    _refuse_collisions(planned)
    return planned


def _told_apart(planned: list[PlannedConversion]) -> list[PlannedConversion]:
    """Give sources that would share a target's name theirs with the source's own suffix.

    Telephones keep `IMG_1.HEIC` and `IMG_1.JPG` side by side: the first then becomes
    `IMG_1.HEIC.toon.jpg`. A source whose suffix the target has too keeps the plain name.
    """
    counts = Counter(each.target for each in planned)
    return [
        each
        if counts[each.target] == 1
        or each.target == PIPE
        or Path(each.source).suffix.lower() == Path(each.target).suffix
        else PlannedConversion(
            each.source,
            str(
                Path(each.target).with_name(
                    f"{_source_name(each.source).name}.toon{Path(each.target).suffix}"
                )
            ),
        )
        for each in planned
    ]


def _refuse_collisions(planned: list[PlannedConversion]) -> None:
    sources: dict[Path, str] = {}
    for each in planned:
        if each.target == PIPE:
            continue
        target = Path(each.target).absolute()
        if target in sources:
            raise TargetError(
                f"{sources[target]} and {each.source} would both be written to {target}"
            )
        sources[target] = each.source
        if each.source != PIPE and is_same_file(target, each.source):
            raise TargetError(f"{each.source} would be written over itself; name another target")


def _files_of(source: str) -> list[tuple[str, Path]]:
    """The videos and images of a source, each with its folder relative to the source."""
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
        raise SourceError(f"{source}: no videos or images in this folder{written}")
    return [(str(path), path.parent.relative_to(root)) for path in own]


def _name_target(source: str, inside: Path, output: str | None, style: str, count: int) -> str:
    """Names the target of one source.

    Args:
        source: A path, an address, or `-`.
        inside: Folder of the source inside the folder that was named, which the output mirrors.
        output: As in `plan_targets`.
        style: Name of the style.
        count: Number of all sources.
    """
    name = _source_name(source)
    stem, ext = name.stem, _suffix_by_content(source) or _target_suffix(name.suffix.lower())
    default = f"{stem}.toon{ext}"
    if output is None:
        if source == PIPE or "://" in source:
            raise TargetError(f"say with -o where {source} is to be written")
        return str(Path(source).with_name(default))
    if output == PIPE:
        if count > 1:
            raise TargetError("standard output holds one video, not several")
        return PIPE
    if "{" in output:
        return _fill_template(output, {"stem": stem, "style": style, "ext": ext})
    if output.endswith(("/", "\\")) or Path(output).is_dir():
        return str(Path(output) / inside / default)
    if count > 1:
        if not Path(output).suffix and not Path(output).exists():  # a folder that is yet to be made
            return str(Path(output) / inside / default)
        raise TargetError(
            f"{count} sources do not fit the one target {output}; for a folder write {output}/"
        )
    return output


def _source_name(source: str) -> PurePosixPath | Path:
    """The path that a target's name is made from."""
    if source == PIPE:
        return PurePosixPath("stdin")
    if "://" in source:
        return PurePosixPath(unquote(urlsplit(source).path) or "stream")
    return Path(source)


def _suffix_by_content(source: str) -> str | None:
    """The suffix of an image's target where its own suffix does not tell that it is one."""
    path = Path(source)
    if path.suffix.lower() in VIDEO_SUFFIXES | IMAGE_SUFFIXES or not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            head = file.read(max(map(len, _IMAGE_HEADS)))
    except OSError:  # reading it will say why
        return None
    return next((to for magic, to in _IMAGE_HEADS.items() if head.startswith(magic)), None)


def _target_suffix(suffix: str) -> str:
    """The suffix of a target from its source's, both with a dot and in lower case."""
    if suffix in _KEPT_SUFFIXES:
        return suffix
    return _CHANGED_SUFFIXES.get(suffix, ".png" if suffix in IMAGE_SUFFIXES else ".mp4")


def _fill_template(template: str, values: dict[str, str]) -> str:
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
