"""Join: finished segments become one video, with the source's auxiliary streams beside it.

In: segments on disk, and the source, which is demuxed once more. Out: packets in a muxer. Nothing
is decoded or encoded but audio and text subtitles that the container cannot hold as they are. The
order of all packets follows from the source and the segments alone, so the same segments always
give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from av.packet import Packet
from av.stream import Stream

from toonvid.errors import TargetError
from toonvid.reading.decoder import VideoDecoder
from toonvid.resume.segment_file import Segment, read_head, read_packets, read_times
from toonvid.video import Frame
from toonvid.writing.muxer import Muxer


def join(
    decoder: VideoDecoder,
    muxer: Muxer,
    template: Frame,
    folder: Path,
    segments: Sequence[Segment],
) -> None:
    """Write the packets of all segments, and the source's auxiliary streams beside them.

    Args:
        decoder: Just entered, with auxiliary streams; none of its frames is read.
        muxer: Just entered, of the target and with the decoder's auxiliary streams.
        template: A frame such as the segments' encoders were opened for.
        folder: Holds the segments.
        segments: All of the video, in order.

    Raises:
        TargetError: The disk is full, or a segment was made by another encoder.
    """
    muxer.start(template)
    for segment in segments:
        if read_head(folder / segment.name)[1] != muxer.encoder.extradata:
            raise TargetError(
                f"{folder / segment.name} was made by another encoder: begin anew with --restart"
            )
    packets = _packets(folder, segments)
    packet = next(packets, None)
    for time in decoder.packet_times():
        if time is None:  # an auxiliary packet: written at once, however many come in a row
            muxer.write([])
            continue
        # The video follows as far as the source itself has come. So audio and video lie side by
        # side in the target, and neither has to wait in the muxer for long.
        while packet is not None and (packet.dts or 0) * packet.time_base <= time:
            muxer.write([packet])
            packet = next(packets, None)
    while packet is not None:
        muxer.write([packet])
        packet = next(packets, None)


def _packets(folder: Path, segments: Sequence[Segment]) -> Iterator[Packet[Stream]]:
    """Yield all packets of the video, each with its dts."""
    paths = [folder / segment.name for segment in segments]
    shown = chain.from_iterable(sorted(read_times(path)) for path in paths)
    times = decoding_times(shown, max(segment.depth for segment in segments))
    for packet, dts in zip(chain.from_iterable(map(read_packets, paths)), times, strict=False):
        packet.dts = dts
        yield packet


def decoding_times(shown: Iterator[int], depth: int) -> Iterator[int]:
    """Yield the dts of each packet: strictly rising, none later than the packet's pts.

    Each segment's encoder began anew. Its own dts would reach back over the segment before where
    frames come at uneven times, so all are computed as one encoder would: the dts are the pts in
    the order in which frames are shown, delayed by `depth` packets.

    Args:
        shown: The pts of all frames, rising.
        depth: By how many frames, at most, the order of packets differs from that.
    """
    first = list(islice(shown, depth + 1))
    lead = first[-1] - first[0]
    yield from (time - lead for time in first[:-1])
    yield from chain(first, shown)
