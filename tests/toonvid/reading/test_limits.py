"""Limits on sources: they cannot open other files, fill the memory or block without end."""

from __future__ import annotations

import functools
import http.server
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.clips import Clip, image_file, moving_frames
from support.damaged import BOMBS

from toonvid.errors import SourceError
from toonvid.reading.decoder import VideoDecoder
from toonvid.reading.options import DecodeOptions


def playlist(folder, kind: str, other) -> Path:
    """Write a file of one of the formats that name other files."""
    lines = {
        "m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n",
        "ffconcat": f"ffconcat version 1.0\nfile '{other}'\n",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        "mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"'
        ' mediaPresentationDuration="PT1S"><Period><AdaptationSet contentType="video">'
        f'<Representation id="1" bandwidth="1"><BaseURL>{other}</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>",
    }
    path = folder / f"list.{kind}"
    path.write_text(lines[kind])
    return path


@pytest.mark.parametrize("kind", ["m3u8", "ffconcat", "sdp", "mpd"])
def test_a_file_that_names_other_files_opens_none(kind, tmp_path):
    Clip(container="mpegts").write(tmp_path / "other.ts")
    for other in ("other.ts", "list." + kind, "http://127.0.0.1:9/other.ts"):
        source = playlist(tmp_path, kind, other)
        with pytest.raises(SourceError, match="is not a readable video or image"):
            open_and_close(source)


def open_and_close(source, **limits) -> None:
    with VideoDecoder(source, DecodeOptions(**limits)):
        pass


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "png", "jpg", "webp"])
def test_too_large_frames_are_refused_before_they_are_decoded(suffix, tmp_path):
    source = tmp_path / f"source.{suffix}"
    codec = {"png": "png", "jpg": "mjpeg", "webp": "libwebp"}.get(suffix)
    if codec:
        source.write_bytes(image_file(moving_frames(1)[0], codec))
    else:
        Clip(moving_frames(1)).write(source)
    open_and_close(source, max_pixels=64 * 48)
    with pytest.raises(SourceError, match=r"has frames of 64 x 48, more than 3071 pixels; --max"):
        open_and_close(source, max_pixels=64 * 48 - 1)


@pytest.mark.parametrize("trap", BOMBS)
def test_images_that_claim_a_huge_size_are_refused_with_that_size(trap, tmp_path):
    source = tmp_path / trap
    source.write_bytes(BOMBS[trap])
    with pytest.raises(SourceError, match=r"has frames of \d+ x \d+, more than \d+ pixels; --max"):
        open_and_close(source)


class StallingHandler(socketserver.StreamRequestHandler):
    """An HTTP server that sends part of a video and then nothing more."""

    content = b""

    def handle(self) -> None:
        self.rfile.readline()
        self.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Length: 9999999\r\n\r\n" + self.content)
        self.wfile.flush()
        self.server.silence.wait(500)


@pytest.fixture
def stalling_server():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), StallingHandler) as server:
        server.silence = threading.Event()
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/video.mkv"
        server.silence.set()
        server.shutdown()
        thread.join()


def test_an_address_that_sends_nothing_is_given_up(stalling_server):
    with pytest.raises(SourceError, match=r"cannot be read: no data for 0\.3 seconds"):
        open_and_close(stalling_server, stall_seconds=0.3)


def test_an_address_that_stops_sending_gives_what_it_sent(stalling_server, tmp_path, monkeypatch):
    video = Clip(moving_frames(50), options={"g": "5"}).write(tmp_path / "video.mkv").read_bytes()
    monkeypatch.setattr(StallingHandler, "content", video[: len(video) * 2 // 3])
    with VideoDecoder(stalling_server, DecodeOptions(stall_seconds=3)) as decoder:
        frames = list(decoder.frames())
    assert 5 < len(frames) < 50
    assert decoder.damage is not None


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """Address of a web server for `tmp_path`."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Log nothing."""

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_playlist_at_an_address_cannot_open_local_files(web, tmp_path):
    video = Clip(container="mpegts").write(tmp_path / "video.ts")
    playlist(tmp_path, "m3u8", "video.ts")
    with VideoDecoder(f"{web}/list.m3u8") as decoder:
        assert len(list(decoder.frames())) == 6
    playlist(tmp_path, "m3u8", video.as_uri())
    with pytest.raises(SourceError):
        open_and_close(f"{web}/list.m3u8")
