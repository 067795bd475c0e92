"""Sound: what a camera hears, as packets on the clock of its pictures, kept until it is wanted."""

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

_KEPT_SECONDS = 2  # pictures are shown later than they come


class Sound:
    """Filled by the camera's thread, emptied by a recording's."""

    def __init__(self) -> None:
        self.is_wanted = False
        """Whether somebody takes all of it; else only the last seconds are kept."""
        self._packets: deque[Packet[Stream]] = deque()
        self._lock = threading.Lock()
        self._auxiliary = AuxiliaryStreams()
        self._source_lock = threading.Lock()

    def attach(self, auxiliary: AuxiliaryStreams) -> None:
        """From now on the sound is this source's; none before, and after `AuxiliaryStreams()`."""
        with self._source_lock:
            self._auxiliary = auxiliary

    @contextmanager
    def streams(self) -> Iterator[tuple[Stream, ...]]:
        """Yield the source's streams of sound; they stay open inside the `with`."""
        with self._source_lock:
            yield tuple(s for s in self._auxiliary.streams if s.type == "audio")

    def collect(self, offset: Fraction, now: Fraction) -> None:
        """Take over the packets that have come.

        Args:
            offset: From the source's clock to the camera's, in seconds.
            now: On the camera's clock, in seconds.
        """
        packets = self._auxiliary.packets
        with self._lock:
            while packets:
                packet = packets.popleft()
                if packet.stream.type == "audio" and packet.pts is not None:
                    shift = round(offset / packet.time_base)
                    packet.pts += shift
                    packet.dts = packet.pts if packet.dts is None else packet.dts + shift
                    self._packets.append(packet)
            if not self.is_wanted:
                self._forget(now - _KEPT_SECONDS)

    def take(self) -> list[Packet[Stream]]:
        """The packets since the last call."""
        with self._lock:
            taken = list(self._packets)
            self._packets.clear()
        return taken

    def _forget(self, before: Fraction) -> None:
        packets = self._packets
        while packets and (packets[0].pts or 0) * packets[0].time_base < before:
            packets.popleft()
