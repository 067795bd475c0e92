"""A file that was cut off is told by its header, and a whole one is never taken for one."""

from __future__ import annotations

import pytest
from PIL import Image
from support.clips import Clip, Tone, moving_frames

from toonvid.reading.decoder import VideoDecoder
from toonvid.reading.file_end import missing_bytes

CLIP = Clip(
    moving_frames(40),
    options={"bf": "3", "b_strategy": "0"},
    audio=(Tone("aac"),),
    muxing={"movflags": "faststart"},  # else the index is at the end, and nothing can be read
)
KINDS = {
    "mp4": CLIP,
    "mov": CLIP,
    "mkv": Clip(moving_frames(40), options={"bf": "3", "b_strategy": "0"}, audio=(Tone("aac"),)),
    "avi": Clip(moving_frames(40), codec="mpeg4", audio=(Tone("libmp3lame"),)),
    "webm": Clip(moving_frames(40), codec="libvpx-vp9", audio=(Tone("libopus"),)),
}


@pytest.mark.parametrize("suffix", KINDS)
def test_the_bytes_that_a_file_lacks_are_counted(suffix, tmp_path):
    path = KINDS[suffix].write(tmp_path / f"video.{suffix}")
    whole = path.read_bytes()
    assert missing_bytes(path) == 0
    cut = len(whole) - 2000
    path.write_bytes(whole[:cut])
    assert missing_bytes(path) == 2000


@pytest.mark.parametrize("flags", ["frag_keyframe", "frag_keyframe+empty_moov+default_base_moof"])
def test_fragmented_and_live_files_are_whole(flags, tmp_path):
    clip = Clip(moving_frames(40), options={"g": "5"}, muxing={"movflags": flags})
    assert missing_bytes(clip.write(tmp_path / "video.mp4")) == 0
    live = Clip(moving_frames(40), muxing={"live": "1"}).write(tmp_path / "video.mkv")
    assert missing_bytes(live) == 0
    live.write_bytes(live.read_bytes()[:-2000])
    assert missing_bytes(live) == 0  # a live stream has no length


def test_something_behind_the_end_or_no_video_at_all_lacks_nothing(tmp_path):
    path = CLIP.write(tmp_path / "video.mp4")
    path.write_bytes(path.read_bytes() + b"\xff" * 3000)
    assert missing_bytes(path) == 0
    for content in (b"", b"RIFF", b"\x1a\x45\xdf\xa3\x18\x53\x80\x67", b"\0\0\0\1ftyp"):
        path.write_bytes(content)
        assert missing_bytes(path) == 0


@pytest.mark.parametrize("progressive", [False, True])
def test_a_photo_that_was_cut_off_is_damaged_in_spite_of_its_whole_preview(progressive, tmp_path):
    noise = Image.effect_noise((96, 72), 80).convert("RGB")
    noise.resize((16, 12)).save(tmp_path / "preview.jpg")
    exif = Image.Exif()
    exif[0x9286] = (tmp_path / "preview.jpg").read_bytes()
    path = tmp_path / "photo.jpg"
    noise.save(path, exif=exif, progressive=progressive)
    whole = path.read_bytes()
    assert whole.count(b"\xff\xd9") == 2
    for length, damage in ((len(whole), None), (len(whole) * 2 // 3, "its end is missing")):
        path.write_bytes(whole[:length])
        with VideoDecoder(path) as decoder:
            assert len(list(decoder.frames())) == 1
            assert decoder.damage and damage in decoder.damage if damage else not decoder.damage
