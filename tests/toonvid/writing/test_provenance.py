"""toonvid knows its own targets again, and takes nothing else for one."""

from __future__ import annotations

import pytest
from support.clips import Clip, flat_frame, image_file

from toonvid.writing.provenance import has_provenance_tag, tag_image


@pytest.mark.parametrize("codec", ["png", "mjpeg", "libwebp"])
def test_a_marked_picture_is_known_and_an_unmarked_one_is_not(codec, tmp_path):
    path = tmp_path / "picture"
    path.write_bytes(image_file(flat_frame((9, 99, 199)), codec))
    assert not has_provenance_tag(path)
    tag_image(path, "ink")
    assert has_provenance_tag(path)


def test_what_is_no_picture_is_left_as_it_is(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_bytes(b"toon")
    tag_image(path, "ink")
    assert path.read_bytes() == b"toon"
    assert not has_provenance_tag(path)


def test_a_film_of_another_handler_is_not_taken_for_a_target(tmp_path):
    for name in ("VideoHandler", "toonvidish", "a toonvid"):
        film = Clip(video_metadata={"handler_name": name}).write(tmp_path / "film.mp4")
        assert not has_provenance_tag(film)


def test_what_cannot_be_read_is_no_target(tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    for path in (tmp_path, tmp_path / "missing.mp4", tmp_path / "empty.mp4"):
        assert not has_provenance_tag(path)
