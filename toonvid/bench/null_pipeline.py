"""The null pipeline: a film decoded and encoded again in its own pixels, with nothing between.

What the best pipeline could reach if a cartoon cost nothing: the same packets, codec, preset and
quality, sound copied, the same three threads, and no conversion to RGB.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from toonvid.bench.work_time import WorkTime, time_work
from toonvid.prefetch import prefetch
from toonvid.writing.codec import Codec

_DEPTH = 4  # as in `toonvid.pipeline`


def run_null_pipeline(film: Path, target: Path) -> WorkTime:
    """Time the null pipeline.

    Args:
        film: Its pictures in yuv420p.
        target: Replaced if it is there.
    """
    return time_work(lambda: _copy(film, target))


def _copy(film: Path, target: Path) -> int:
    frames = 0
    with av.open(str(film)) as source, av.open(str(target), "w") as sink:
        pictures = source.streams.video[0]
        encoder = sink.add_stream(
            "libx264", rate=pictures.average_rate, options=Codec("libx264").options()
        )
        assert isinstance(encoder, VideoStream)
        encoder.width, encoder.height, encoder.pix_fmt = pictures.width, pictures.height, "yuv420p"
        assert pictures.time_base is not None
        encoder.codec_context.time_base = encoder.time_base = pictures.time_base
        sounds = {s.index: sink.add_stream_from_template(s) for s in source.streams.audio}
        with (
            closing(prefetch(_decoded(source, pictures), _DEPTH)) as decoded,
            closing(prefetch(_unchanged(decoded), _DEPTH)) as items,
        ):
            for item in items:
                if isinstance(item, VideoFrame):
                    item.time_base = pictures.time_base  # PyAV gives none to the last frames
                    item.pict_type = PictureType.NONE  # else x264 repeats the source's choices
                    sink.mux(encoder.encode(item))
                    frames += 1
                elif item.stream_index in sounds:
                    item.stream = sounds[item.stream_index]
                    sink.mux(item)
        sink.mux(encoder.encode(None))
    return frames


def _decoded(
    source: InputContainer, pictures: VideoStream
) -> Iterator[VideoFrame | Packet[Stream]]:
    """Pictures as the decoder gives them, all else as packets."""
    pictures.thread_type = "AUTO"
    for packet in source.demux():
        if packet.dts is None:
            continue  # the end mark; the decoder is flushed by name
        if packet.stream_index == pictures.index:
            yield from pictures.decode(packet)
        else:
            yield packet
    yield from pictures.decode(None)


def _unchanged(
    items: Iterable[VideoFrame | Packet[Stream]],
) -> Iterator[VideoFrame | Packet[Stream]]:
    """Where the cartoons would be made."""
    yield from items
