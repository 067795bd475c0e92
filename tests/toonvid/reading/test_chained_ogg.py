"""Ogg files that were put together are whole: the headers between them are no damage."""

from __future__ import annotations

from pathlib import Path

# Three frames of 32 x 32, by `ffmpeg -f lavfi -i testsrc=size=32x32:rate=25:duration=0.12
# -bitexact`: the FFmpeg that comes with PyAV decodes Theora and encodes none.
THEORA = Path(__file__).parent / "data" / "theora.ogv"


def test_ogg_files_that_were_put_together_are_whole(tmp_path, toon):
    source = tmp_path / "source.ogv"
    source.write_bytes(2 * THEORA.read_bytes())
    done = toon(source, "target.mkv")
    assert (done.frames, done.damage, done.left_out) == (6, None, None)


def test_another_header_between_them_is_damage(tmp_path, toon):
    whole = THEORA.read_bytes()
    page = bytearray(whole[: 27 + whole[26] + sum(whole[27 : 27 + whole[26]])])
    page[page.index(b"\x80theora") + 30] ^= 1  # in what its header says of the frames
    page[22:26] = bytes(4)
    page[22:26] = ogg_checksum(page).to_bytes(4, "little")
    source = tmp_path / "source.ogv"
    source.write_bytes(whole + bytes(page) + whole[len(page) :])
    assert toon(source, "target.mkv").damage is not None


def ogg_checksum(page: bytes) -> int:
    """Return the CRC-32 of a page (RFC 3533, section 6) whose own checksum is 0."""
    checksum = 0
    for byte in page:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = (checksum << 1 & 0xFFFFFFFF) ^ (0x04C11DB7 if checksum >> 31 else 0)
    return checksum
