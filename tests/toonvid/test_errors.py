"""Passwords of addresses are left out of every error, and of all that is printed."""

from __future__ import annotations

import pytest

from toonvid.errors import CameraError, SourceError, without_secrets

ADDRESSES = {
    "rtsp://me:secret@box/1": "rtsp://box/1",
    "HTTP://me:secret@box:80/1": "HTTP://box:80/1",
    "rtsp://me:sec@ret@box/1": "rtsp://box/1",
    "rtsp://me:sec/ret@box/1": "rtsp://box/1",
    "rtsp://me:s@e/c@ret@box/1": "rtsp://box/1",
    "rtsp://me:12/34@box/1": "rtsp://box/1",
    "rtsp://me:se?cr#et@box/1": "rtsp://box/1",
    "rtsp://me:my secret@box/1": "rtsp://box/1",
    "rtsp://token@box/1": "rtsp://box/1",
    "http://box/v.cgi?user=me&password=secret": "http://box/v.cgi?user=***&password=***",
    "http://box/v#token=secret": "http://box/v#token=***",
    "rtsp://user/with/slash@host": "rtsp://host",
    "rtsp://user/with/slash@host:554/1": "rtsp://host:554/1",
    "rtsp://to/ken@10.0.0.2/1": "rtsp://10.0.0.2/1",
    "rtsp://to@ken/x@[fe80::1]/1": "rtsp://[fe80::1]/1",
    "http://box/v?secret": "http://box/v?***",
    "http://box/v?secret&a=b&more": "http://box/v?***&a=***&***",
    "http://box/v#secret": "http://box/v#***",
}


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("message", ["{}", "cannot open {} (refused): is it on?", "a.mp4 and '{}'"])
def test_passwords_are_left_out(address: str, message: str) -> None:
    shown = message.format(ADDRESSES[address])
    assert without_secrets(message.format(address)) == shown
    assert str(SourceError(message.format(address))) == shown


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://box/1@2",
        "http://box/photo@2x.png",
        "is it 'http://box/1'?",
        "//odd@name.mp4",
        "https://videos.example/@somebody/film.mp4",
        "http://box:8080/film.mp4 cannot be read: write to help@box.example",
        "film?a=b.mp4: no such file",
    ],
)
def test_the_rest_stays_as_it_is(text: str) -> None:
    assert str(CameraError(text)) == text
