"""Which container and codec a target's suffix means, and what its muxer is told: no frames yet."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

from av.container import OutputContainer
from av.error import FFmpegError

from toonvid.errors import TargetError

PICTURE_CODECS = {".jpg": "mjpeg", ".jpeg": "mjpeg", ".png": "png", ".webp": "libwebp"}
FILM_CONTAINERS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".ts": "mpegts",
    ".gif": "gif",
}

_DEFAULT_CODECS = {"webm": "libvpx-vp9", "gif": "gif"}  # else libx264
_PICTURE_CONTAINER = "image2"
_LARGEST_TIMESCALE = 2**31 - 1


def choose_container(target: str, suffix: str) -> str:
    """FFmpeg's name of the container that goes by a suffix.

    Args:
        target: What to call it in a message.
        suffix: In small letters, with its dot.

    Raises:
        TargetError: There is none.
    """
    name = _PICTURE_CONTAINER if suffix in PICTURE_CODECS else FILM_CONTAINERS.get(suffix)
    if name is None:
        known = " ".join([*FILM_CONTAINERS, *PICTURE_CODECS])
        raise TargetError(f"cannot write {target}: toonvid writes {known}")
    return name


def default_codec(suffix: str) -> str:
    """FFmpeg's name of the encoder for a suffix, where none is asked for."""
    if suffix in PICTURE_CODECS:
        return PICTURE_CODECS[suffix]
    return _DEFAULT_CODECS.get(FILM_CONTAINERS[suffix], "libx264")


def muxer_options(
    container: OutputContainer, name: str, time_base: Fraction, tags: Iterable[str]
) -> dict[str, str]:
    """What a muxer is told.

    Args:
        container: With all its streams, its header not written yet.
        name: FFmpeg's name of its format.
        time_base: Of the film's frames.
        tags: Names of the metadata that the target takes from its source.
    """
    if name in ("mp4", "mov"):
        # Edit lists count in this scale. With FFmpeg's milliseconds a start that is not zero
        # moves.
        scale = math.lcm(
            time_base.denominator,
            *(s.time_base.denominator for s in container.streams if s.time_base),
        )
        options = {"movie_timescale": str(min(scale, _LARGEST_TIMESCALE))}
        if any("." in tag for tag in tags):
            options["movflags"] = "use_metadata_tags"  # what cameras say: com.apple.quicktime.…
        return options
    if name == "matroska":
        # An encoder's delay before time 0 would else move the whole film by some milliseconds.
        # Bit-exact: no random numbers, so that the same work gives the same bytes.
        return {"avoid_negative_ts": "disabled", "fflags": "+bitexact"}
    if name == "webm":
        return {"fflags": "+bitexact"}
    if name == "mpegts":
        return {"mpegts_copyts": "1"}
    return {"update": "1"} if name == _PICTURE_CONTAINER else {}


def write_header(container: OutputContainer, suffix: str, codec: str) -> None:
    """Begin a target whose streams are all there.

    Raises:
        TargetError: The container does not take the codec.
        OSError: The disk is full, or the reader went away.
    """
    try:
        container.start_encoding()
    except OSError:
        raise
    except FFmpegError as error:  # its table of what fits where promises more than it keeps
        raise unfit(suffix, codec) from error


def unfit(suffix: str, codec: str) -> TargetError:
    """The error for a container that does not take a codec."""
    return TargetError(f"{suffix} cannot hold {codec}; name another --codec")
