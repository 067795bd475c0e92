"""Leading frames: those before the first key frame of a source, which decoders leave out.

In: the packets and the decoded frames of a video, from its beginning. Out: how many frames are
missing. A recording that begins between two key frames has such frames, and so has one that begins
with an open group of pictures. They depend on a frame that the source does not have.
"""

from __future__ import annotations

from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame


class LeadingFrames:
    """Counts the leading frames of one video that were not decoded."""

    def __init__(self, is_whole: bool) -> None:
        """Begin.

        Args:
            is_whole: Whether the video is read from its beginning, and all of its frames are
                decoded. If not, nothing is counted.
        """
        self._is_on = is_whole
        self._key_pts: int | None = None
        self._missing: set[int] = set()  # pts

    @property
    def lost(self) -> int:
        """Number of leading frames that were not decoded. Known at the end."""
        return 0 if self._key_pts is None else len(self._missing)

    def note_packet(self, packet: Packet[Stream]) -> None:
        """Note the next packet, before it is decoded."""
        if not self._is_on or packet.pts is None or packet.is_discard:
            return
        if self._key_pts is None and packet.is_keyframe:
            self._key_pts = packet.pts
        elif self._key_pts is None or packet.pts < self._key_pts:
            self._missing.add(packet.pts)

    def note_frame(self, frame: VideoFrame) -> None:
        """Note a decoded frame, with the pts of its packet."""
        if self._missing and frame.pts is not None:
            self._missing.discard(frame.pts)
