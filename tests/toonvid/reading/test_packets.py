"""Streams that begin in mid-file do not end the reading of the others."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from support.clips import Clip, Tone, decoded

from toonvid.reading.packets import read_packets


class BeginsAnother:
    """A container in which a stream begins after some packets, as PyAV reports it."""

    def __init__(self, container: Any, after: int) -> None:
        self._container, self._after, self.calls = container, after, 0

    def demux(self, *streams: Any) -> Iterator[Any]:
        self.calls += 1
        for number, packet in enumerate(self._container.demux(*streams)):
            yield packet
            if self.calls == 1 and number + 1 == self._after:
                raise IndexError("list index out of range")


def test_reading_goes_on_behind_the_packet_of_a_new_stream(tmp_path: Path) -> None:
    clip = Clip(audio=(Tone(),)).write(tmp_path / "clip.mkv")
    with av.open(str(clip)) as container:
        wanted = [packet.dts for packet in container.demux(container.streams.video[0])]
    with av.open(str(clip)) as container:
        changing = BeginsAnother(container, after=3)
        packets = read_packets(changing, container.streams.video[0])  # type: ignore[arg-type]
        assert [packet.dts for packet in packets] == wanted
    assert changing.calls == 2


def test_an_end_without_end_is_left(tmp_path: Path) -> None:
    class AlwaysAnother:
        def demux(self, *_: Any) -> Iterator[Any]:
            raise IndexError
            yield

    assert list(read_packets(AlwaysAnother())) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["target.mp4", "target.mkv"])
def test_audio_that_begins_in_a_later_part_of_a_transport_stream(
    name: str, tmp_path: Path, toon: Any
) -> None:
    silent = Clip().write(tmp_path / "silent.ts").read_bytes()
    sounding = Clip(audio=(Tone(seconds=Fraction(1)),)).write(tmp_path / "sounding.ts").read_bytes()
    source = tmp_path / "both.ts"
    source.write_bytes(20 * silent + sounding)
    target = toon(source, name).target
    assert len(list(decoded(target))) == 21 * 6
