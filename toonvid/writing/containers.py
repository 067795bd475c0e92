"""Which container format and codec a target's suffix stands for, and the options of its muxer.

In: a target's name and the streams of an open container. Out: FFmpeg's names and options. Packets
and frames are not seen here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.error import FFmpegError
from av.format import ContainerFormat
from av.format import Flags as FormatFlags
from av.video.stream import VideoStream

from toonvid.errors import TargetError
from toonvid.video import PIPE, VideoInfo

IMAGE_CODECS = {".jpg": "mjpeg", ".jpeg": "mjpeg", ".png": "png", ".webp": "libwebp"}
"""Suffix of an image -> FFmpeg's name of its encoder."""
VIDEO_CONTAINERS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".ts": "mpegts",
    ".gif": "gif",
}
"""Suffix of a video -> FFmpeg's name of its container format."""
ANIMATION_CONTAINERS = {".png": "apng", ".webp": "webp", ".gif": "gif"}
"""Suffix of an animated image -> FFmpeg's name of its container format."""

# Else libx264. Not libwebp_anim, which FFmpeg lets draw over the frame before without its opacity.
_DEFAULT_CODECS = {"webm": "libvpx-vp9", "gif": "gif", "apng": "apng", "webp": "libwebp"}
_IMAGE_CONTAINER = "image2"
_PIPE_SUFFIX = ".mkv"  # Matroska can be written without seeking back, and holds every stream
_LARGEST_TIMESCALE = 2**31 - 1


@dataclass(frozen=True)
class TargetFormat:
    """Container format and default codec that the suffix of a target stands for."""

    suffix: str
    """In lower case, with its dot."""
    container: str
    """FFmpeg's name of the container format."""
    default_codec: str
    """FFmpeg's name of the video encoder, where none is asked for."""
    is_image: bool
    """Whether the target holds one still image."""

    @property
    def has_global_header(self) -> bool:
        """Whether the container stores a codec's headers once, and not in each key frame."""
        flags = FormatFlags(ContainerFormat(self.container, "w").flags)
        return FormatFlags.global_header in flags


def target_format(target: str, info: VideoInfo | None = None) -> TargetFormat:
    """Look up the format of a target.

    Args:
        target: A file name, or `-` for standard output.
        info: The source: animated images become animated images, and opacity asks for a codec that
            holds it. None for a video without opacity.

    Raises:
        TargetError: toonvid writes no such files, or none that hold an animation.
    """
    suffix = _PIPE_SUFFIX if target == PIPE else Path(target).suffix.lower()
    if info is not None and info.is_animated_image and suffix in IMAGE_CODECS:
        if suffix not in ANIMATION_CONTAINERS:
            raise TargetError(
                f"{info.name} is animated and {target} can hold one image: name"
                f" {', '.join(ANIMATION_CONTAINERS)} or a video"
            )
        container = ANIMATION_CONTAINERS[suffix]
        return TargetFormat(suffix, container, _DEFAULT_CODECS[container], is_image=False)
    if suffix in IMAGE_CODECS:
        return TargetFormat(suffix, _IMAGE_CONTAINER, IMAGE_CODECS[suffix], is_image=True)
    if suffix not in VIDEO_CONTAINERS:
        known = " ".join([*VIDEO_CONTAINERS, *IMAGE_CODECS])
        raise TargetError(f"cannot write {target}: toonvid writes {known}")
    container = VIDEO_CONTAINERS[suffix]
    codec = _DEFAULT_CODECS.get(container, "libx264")
    if container == "mov" and info is not None and info.has_alpha:
        codec = "prores_ks"  # H.264 has no opacity
    return TargetFormat(suffix, container, codec, is_image=False)


def muxer_options(
    container: OutputContainer,
    name: str,
    time_base: Fraction,
    tags: Iterable[str],
    loop_count: int = 0,
) -> dict[str, str]:
    """Return FFmpeg's options for writing a container.

    Args:
        container: With all its streams, its header not written yet.
        name: FFmpeg's name of its format.
        time_base: Time base of the video's frames.
        tags: Names of the metadata that the target takes from its source.
        loop_count: How often an animated image is shown; 0 without end.
    """
    if name == "gif":  # counts repetitions: -1 for none, 0 without end
        return {"loop": str(loop_count - 1 if loop_count != 1 else -1) if loop_count else "0"}
    if name == "apng":
        return {"plays": str(loop_count)}
    if name == "webp":
        return {"loop": str(loop_count)}
    if name in ("mp4", "mov"):
        # Edit lists, which say when a stream starts, count in this scale. FFmpeg's default is
        # milliseconds, which would move a start that falls between two of them.
        scale = math.lcm(
            time_base.denominator,
            *(s.time_base.denominator for s in container.streams if s.time_base),
        )
        options = {"movie_timescale": str(min(scale, _LARGEST_TIMESCALE))}
        if any("." in tag for tag in tags):
            options["movflags"] = "use_metadata_tags"  # of cameras: com.apple.quicktime.…
        return options
    if name == "matroska":
        # By default FFmpeg shifts all streams to begin at 0. The priming samples of audio lie
        # before 0 and would move the video by some milliseconds.
        # Bit-exact: no random stream ids, so that the same work gives the same bytes.
        return {"avoid_negative_ts": "disabled", "fflags": "+bitexact"}
    if name == "webm":
        return {"fflags": "+bitexact"}
    if name == "mpegts":
        return {"mpegts_copyts": "1"}
    return {"update": "1"} if name == _IMAGE_CONTAINER else {}


def drop_unusable_timecode(
    tags: dict[str, str], container: str, frame_rate: Fraction
) -> str | None:
    """Remove a timecode that MP4 and MOV would refuse to write as a stream, in place.

    They count the frames of a second in one byte, and drop frames at NTSC's rates alone.

    Args:
        tags: Metadata of the target or of its video stream.
        container: FFmpeg's name of the target's format.
        frame_rate: Frames per second of the target.

    Returns:
        What was left out, for the user; None when nothing was.
    """
    name = next((tag for tag in tags if tag.lower() == "timecode"), None)
    if name is None or container not in ("mp4", "mov") or _takes_timecode(tags[name], frame_rate):
        return None
    return (
        f"timecode {tags.pop(name)} does not fit {container} at {float(frame_rate):g} frames per"
        " second and is left out"
    )


def _takes_timecode(timecode: str, frame_rate: Fraction) -> bool:
    """Whether a header with this timecode can be written, tried on the null device."""
    try:
        # In MOV, whose code for timecodes is the same, raw video has no demands of its own.
        with av.open(os.devnull, "w", format="mov") as trial:
            stream = trial.add_stream("rawvideo", rate=frame_rate)
            assert isinstance(stream, VideoStream)
            stream.width = stream.height = 16
            stream.pix_fmt = "rgb24"
            stream.metadata["timecode"] = timecode
            trial.start_encoding()
    except (FFmpegError, ValueError):
        return False
    return True


def write_header(container: OutputContainer, suffix: str, codec: str) -> None:
    """Write the header of a container that has all its streams.

    Raises:
        TargetError: The container does not take the codec.
        OSError: The disk is full, or the reader of a pipe went away.
    """
    try:
        container.start_encoding()
    except OSError:
        raise
    except FFmpegError as error:  # FFmpeg's table of what fits where promises more than it keeps
        raise cannot_hold(suffix, codec) from error


def cannot_hold(suffix: str, codec: str) -> TargetError:
    """Return the error for a container that does not take a codec."""
    return TargetError(f"{suffix} cannot hold {codec}; name another --codec")
