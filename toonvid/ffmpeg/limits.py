"""What FFmpeg may open when it opens a file: this file alone.

Out: options for `av.open`. Addresses have limits of their own (`toonvid.reading.container`).
"""

from __future__ import annotations

import av

# Formats whose content names other files or addresses. They are rejected in files: a downloaded
# "video" could otherwise read private files or contact a server. Where the user typed an address, a
# playlist may lead to other addresses.
_PLAYLISTS = {
    *("hls", "dash", "webm_dash_manifest", "concat", "imf", "sdp", "rtsp", "rtp", "sap", "vobsub"),
    *("lavfi", "ipmovie"),
}


def local_limits() -> dict[str, str]:
    """Return FFmpeg's options for opening `file:NAME`, so that it opens nothing but this file.

    Without a pattern, no character of a name selects a series of images.
    """
    return {
        "pattern_type": "none",
        "format_whitelist": _formats(),
        "protocol_whitelist": "file",
    }


def _formats() -> str:
    """Return FFmpeg's names of the formats whose content names no other file."""
    return ",".join(sorted(av.formats_available - _PLAYLISTS))
