"""toonvid recognizes its own targets, and nothing else."""

from __future__ import annotations

import pytest
from support.clips import Clip, flat_frame, image_file

from toonvid.writing.provenance import has_provenance_tag, tag_image


@pytest.mark.parametrize("codec", ["png", "mjpeg", "libwebp"])
def test_an_image_is_recognized_once_it_is_tagged(codec, tmp_path):
    path = tmp_path / "image"
    path.write_bytes(image_file(flat_frame((9, 99, 199)), codec))
    assert not has_provenance_tag(path)
    tag_image(path, "ink")
    assert has_provenance_tag(path)


def test_a_file_that_is_no_image_is_not_changed(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_bytes(b"toon")
    tag_image(path, "ink")
    assert path.read_bytes() == b"toon"
    assert not has_provenance_tag(path)


def test_a_video_with_another_handler_name_is_not_recognized(tmp_path):
    for name in ("VideoHandler", "toonvidish", "a toonvid"):
        video = Clip(video_metadata={"handler_name": name}).write(tmp_path / "video.mp4")
        assert not has_provenance_tag(video)


def test_files_that_cannot_be_read_have_no_tag(tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    for path in (tmp_path, tmp_path / "missing.mp4", tmp_path / "empty.mp4"):
        assert not has_provenance_tag(path)


@pytest.mark.parametrize("codec", ["png", "mjpeg", "libwebp"])
def test_a_job_recognizes_its_own_image_only(codec, tmp_path):
    path = tmp_path / "image"
    path.write_bytes(image_file(flat_frame((9, 99, 199)), codec))
    tag_image(path, "ink", "0123456789abcdef")
    assert has_provenance_tag(path)
    assert has_provenance_tag(path, "0123456789abcdef")
    assert not has_provenance_tag(path, "fedcba9876543210")


def test_the_search_for_a_tag_opens_no_other_file(tmp_path):
    """A list of files is no video of its own: FFmpeg would open what it names."""
    tagged = Clip(video_metadata={"handler_name": "toonvid style=ink"}).write(
        tmp_path / "tagged.mp4"
    )
    assert has_provenance_tag(tagged)
    listed = tmp_path / "list.mp4"
    listed.write_text("ffconcat version 1.0\nfile tagged.mp4\n")
    assert not has_provenance_tag(listed)
