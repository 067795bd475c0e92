"""Frames check their arrays; times are exact."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from av.packet import Packet
from av.stream import Stream

from toonvid.errors import SourceError
from toonvid.video import Frame, PacketQueue, seconds

F = Fraction
PIXELS = np.zeros((4, 6, 3), np.uint8)


def test_seconds_are_exact():
    assert seconds(1001, F(1, 24000)) == F(1001, 24000)
    assert Frame(PIXELS, 3, F(1, 7)).seconds == F(3, 7)


@pytest.mark.parametrize(
    "pixels", [PIXELS.astype(np.float32), PIXELS[:, :, 0], np.zeros((4, 6, 4), np.uint8)]
)
def test_pixels_of_another_shape_or_dtype_are_refused(pixels):
    with pytest.raises(ValueError, match=r"self\.pixels"):
        Frame(pixels, 0, F(1))


def test_alpha_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"self\.alpha"):
        Frame(PIXELS, 0, F(1), alpha=np.zeros((6, 4), np.uint8))


def packet(size: int) -> Packet[Stream]:
    return Packet(bytes(size))


def test_a_packet_queue_hands_all_packets_over_in_order_once() -> None:
    queue = PacketQueue()
    packets = [packet(size) for size in (1, 0, 3)]
    for each in packets:
        queue.put(each)
    assert len(queue) == 3
    assert queue.take() == packets
    assert queue.take() == [] and len(queue) == 0


def test_a_packet_queue_refuses_more_bytes_than_its_limit_and_names_the_source() -> None:
    queue = PacketQueue("video.mkv", limit_bytes=2**20)
    queue.put(packet(2**20 - 600))
    with pytest.raises(SourceError, match=r"video\.mkv has more than 1 MiB of audio and subtitles"):
        queue.put(packet(100))
    queue.take()
    queue.put(packet(100))
    assert len(queue) == 1


def test_a_packet_queue_counts_what_packets_take_beside_their_content() -> None:
    queue = PacketQueue(limit_bytes=2**20)
    with pytest.raises(SourceError):
        for _ in range(2**20 // 100):
            queue.put(packet(1))


def test_a_packet_queue_that_discards_holds_nothing() -> None:
    queue = PacketQueue(limit_bytes=1000)
    queue.put(packet(10))
    queue.discard()
    for _ in range(10):
        queue.put(packet(900))
    assert queue.take() == [] and len(queue) == 0
