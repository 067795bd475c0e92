"""The null pipeline: a video decoded and encoded again in its own pixel format, without a cartoon.

In: a video in yuv420p. Out: a `WorkTime`: what the pipeline could reach if a cartoon took no time.
Packets, codec, preset and quality are those of the pipeline, audio is copied, and the same three
threads are used; frames are not converted to RGB.
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

_DEPTH = 4  # frames in each queue, as in `toonvid.pipeline`


def run_null_pipeline(video: Path, target: Path) -> WorkTime:
    """Time the null pipeline.

    Args:
        video: Video in yuv420p.
        target: File to write; it is replaced if it exists.
    """
    return time_work(lambda: _transcode(video, target))


def _transcode(video: Path, target: Path) -> int:
    frames = 0
    with av.open(str(video)) as source, av.open(str(target), "w") as sink:
        video_stream = source.streams.video[0]
        encoder = sink.add_stream(
            "libx264", rate=video_stream.average_rate, options=Codec("libx264").options()
        )
        assert isinstance(encoder, VideoStream)
        encoder.width, encoder.height, encoder.pix_fmt = (
            video_stream.width,
            video_stream.height,
            "yuv420p",
        )
        assert video_stream.time_base is not None
        encoder.codec_context.time_base = encoder.time_base = video_stream.time_base
        audio_streams = {s.index: sink.add_stream_from_template(s) for s in source.streams.audio}
        with (
            closing(prefetch(_decode(source, video_stream), _DEPTH)) as decoded,
            closing(prefetch(_pass_on(decoded), _DEPTH)) as items,
        ):
            for item in items:
                if isinstance(item, VideoFrame):
                    item.time_base = video_stream.time_base  # PyAV leaves it out of the last frames
                    item.pict_type = PictureType.NONE  # else x264 keeps the source's frame types
                    sink.mux(encoder.encode(item))
                    frames += 1
                elif item.stream_index in audio_streams:
                    item.stream = audio_streams[item.stream_index]
                    sink.mux(item)
        sink.mux(encoder.encode(None))
    return frames


def _decode(
    source: InputContainer, video_stream: VideoStream
) -> Iterator[VideoFrame | Packet[Stream]]:
    """Yield decoded frames of the video, and the packets of all other streams."""
    video_stream.thread_type = "AUTO"
    for packet in source.demux():
        if packet.dts is None:
            continue  # marks the end of the source; the decoder is flushed below
        if packet.stream_index == video_stream.index:
            yield from video_stream.decode(packet)
        else:
            yield packet
    yield from video_stream.decode(None)


def _pass_on(
    items: Iterable[VideoFrame | Packet[Stream]],
) -> Iterator[VideoFrame | Packet[Stream]]:
    """Pass items on: the thread that would make the cartoons."""
    yield from items
