"""Audio packets of a camera, on the clock of its frames, kept until a recording takes them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING

from toonvid.video import AuxiliaryStreams

if TYPE_CHECKING:
    from av.packet import Packet
    from av.stream import Stream

# Frames are shown later than they arrive, so a recording needs audio from before its first frame.
_KEPT_SECONDS = 2


class AudioBuffer:
    """Filled by the camera's thread and emptied by a recording's thread."""

    def __init__(self) -> None:
        self.keeps_everything = False
        """Whether all packets are kept until they are taken, as while a recording runs. False, the
        default, keeps the last two seconds."""
        self._packets: deque[Packet[Stream]] = deque()
        self._lock = threading.Lock()
        self._auxiliary = AuxiliaryStreams()
        # A lock of its own: a recording may hold the streams open while packets are collected.
        self._source_lock = threading.Lock()

    def attach(self, auxiliary: AuxiliaryStreams) -> None:
        """Collect the audio of this source from now on; `AuxiliaryStreams()` for no audio."""
        with self._source_lock:
            self._auxiliary = auxiliary

    @contextmanager
    def streams(self) -> Iterator[tuple[Stream, ...]]:
        """Yield the audio streams of the source, which stay open inside the `with`."""
        with self._source_lock:
            yield tuple(s for s in self._auxiliary.streams if s.type == "audio")

    def collect(self, offset: Fraction, now: Fraction) -> None:
        """Take over the packets that the source has read.

        Args:
            offset: From the source's clock to the camera's, in seconds.
            now: Time on the camera's clock, in seconds.
        """
        with self._lock:
            for packet in self._auxiliary.packets.take():
                if packet.stream.type == "audio" and packet.pts is not None:
                    shift = round(offset / packet.time_base)
                    packet.pts += shift
                    packet.dts = packet.pts if packet.dts is None else packet.dts + shift
                    self._packets.append(packet)
            if not self.keeps_everything:
                self._drop_before(now - _KEPT_SECONDS)

    def take(self) -> list[Packet[Stream]]:
        """Remove and return all packets, the oldest first; their pts is on the camera's clock."""
        with self._lock:
            taken = list(self._packets)
            self._packets.clear()
        return taken

    def _drop_before(self, limit: Fraction) -> None:
        packets = self._packets
        while packets and (packets[0].pts or 0) * packets[0].time_base < limit:
            packets.popleft()
