"""Lost audio: what a source has of an audio stream that its target cannot hold.

In: packets that are left out. Out: a line that says how much is lost. Which packets are left out is
decided in `toonvid.writing.remux`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from av.packet import Packet
from av.stream import Stream


@dataclass
class LostAudio:
    """Packets of one audio stream that are left out."""

    name: str
    """Of the stream, in messages."""
    share: str = "all "
    """Word before the duration; empty for a part of the stream."""
    packets: int = 0
    """Number of packets that were left out."""
    begin: Fraction | None = None
    """Time of the first packet, in seconds; None before it."""
    end: Fraction = Fraction(0)
    """End of the last packet, in seconds."""

    def add(self, packet: Packet[Stream]) -> None:
        """Count a packet."""
        self.packets += 1
        time = packet.pts if packet.pts is not None else packet.dts
        if time is not None:
            unit = packet.time_base
            self.begin = time * unit if self.begin is None else self.begin
            self.end = max(self.end, (time + (packet.duration or 0)) * unit)

    def line(self) -> str:
        """Describe what is lost."""
        seconds = float(self.end - (self.begin or 0))
        return f"{self.share}{seconds:.1f} s of {self.name}"


def adts_format(packet: Packet[Stream]) -> bytes | None:
    """Return profile, sampling rate and channels of an AAC packet with its own header, else None.

    As the bits of the header that hold them, MPEG-4 part 3, 1.A.3.2.
    """
    head = bytes(memoryview(packet)[:4])
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return None
    return bytes((head[2] & 0xFD, head[3] & 0xC0))
