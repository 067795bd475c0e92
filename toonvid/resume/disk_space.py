"""Forecast: how much room a target needs at the least, before anything of it is written.

Once a segment is finished, what it takes tells more: `toonvid.resume.work_folder` judges by that.
"""

from __future__ import annotations

from toonvid.video import VideoInfo
from toonvid.writing.codec import Codec

# Of seven films of 180p to 720p in the style `ink`, each target took 0.8 to 1.9 times its source,
# and 0.069 to 0.185 bits for a pixel.
_LEAST_SHARE = 0.8
_LEAST_BITS_PER_PIXEL = 0.07
_CRF_THAT_HALVES = 6  # x264's rule of thumb: so much more takes half the bits


def least_target_bytes(source_bytes: int, info: VideoInfo, codec: Codec) -> int:
    """The least that a target takes, if its film is like others; 0 when nothing can be told.

    A wrong forecast must not stop a conversion that would fit: the lower of two is taken.

    Args:
        source_bytes: Of the whole source.
        info: Of the part that is asked for.
        codec: Of the target.
    """
    if info.frame_count is None:
        return 0
    bits = _LEAST_BITS_PER_PIXEL * info.width * info.height * info.frame_count
    coarser = max(0, codec.crf_over_default) / _CRF_THAT_HALVES
    return int(min(_LEAST_SHARE * source_bytes, bits / 8) / 2**coarser)
