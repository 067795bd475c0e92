"""Packets of a container, as PyAV reads them, but also where a stream begins in mid-file.

In: an open container and the streams that are wanted. Out: their packets. What is damaged is
counted in `toonvid.reading.demuxer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

BEGUN_LATE = "streams that begin in mid-file are left out"
"""What `toonvid.reading.demuxer` says of them, with their number behind it."""
_MAX_NEW_STREAMS = 64  # in one file; a damaged transport stream seems to begin some


def read_packets(
    container: InputContainer, *streams: Stream, on_new_stream: Callable[[], None] = lambda: None
) -> Iterator[Packet[Stream]]:
    """Yield the packets of some streams, from the present position.

    FFmpeg adds a stream to a container when its first packet is read, which in a transport stream
    can be anywhere. PyAV 18 has the list of wanted streams from before, and raises an `IndexError`
    for such a packet. It is left out, as all packets of streams that are not wanted.

    Args:
        container: Open, at the position from which to read.
        streams: The wanted ones.
        on_new_stream: Called for each stream that begins.

    Raises:
        FFmpegError: A packet cannot be read. The container can be read on.
    """
    for _ in range(_MAX_NEW_STREAMS):
        try:
            yield from container.demux(*streams)
        except IndexError:
            on_new_stream()
            continue
        return
