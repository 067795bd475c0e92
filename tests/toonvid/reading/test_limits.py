"""What a source may not do: open other files, fill the memory, keep the user waiting."""

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
    """A file of one of the formats that name other files."""
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
def test_a_file_that_names_others_opens_none(kind, tmp_path):
    Clip(container="mpegts").write(tmp_path / "other.ts")
    for other in ("other.ts", "list." + kind, "http://127.0.0.1:9/other.ts"):
        source = playlist(tmp_path, kind, other)
        with pytest.raises(SourceError, match="is not a readable video or image"):
            open_and_close(source)


def open_and_close(source, **limits) -> None:
    with VideoDecoder(source, DecodeOptions(**limits)):
        pass


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "png", "jpg", "webp"])
def test_frames_of_too_many_pixels_are_refused_before_they_are_decoded(suffix, tmp_path):
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
def test_pictures_that_claim_to_be_huge_are_named_as_such(trap, tmp_path):
    source = tmp_path / trap
    source.write_bytes(BOMBS[trap])
    with pytest.raises(SourceError, match=r"has frames of \d+ x \d+, more than \d+ pixels; --max"):
        open_and_close(source)


class Stalls(socketserver.StreamRequestHandler):
    """A server that promises a film, sends some of it, and falls silent."""

    content = b""

    def handle(self) -> None:
        self.rfile.readline()
        self.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Length: 9999999\r\n\r\n" + self.content)
        self.wfile.flush()
        self.server.silence.wait(20)


@pytest.fixture
def silent_server():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Stalls) as server:
        server.silence = threading.Event()
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/film.mkv"
        server.silence.set()
        server.shutdown()
        thread.join()


def test_an_address_that_never_speaks_is_given_up(silent_server):
    with pytest.raises(SourceError, match=r"cannot be read: no data for 0\.3 seconds"):
        open_and_close(silent_server, stall_seconds=0.3)


def test_an_address_that_falls_silent_gives_what_it_sent(silent_server, tmp_path, monkeypatch):
    film = Clip(moving_frames(50), options={"g": "5"}).write(tmp_path / "film.mkv").read_bytes()
    monkeypatch.setattr(Stalls, "content", film[: len(film) * 2 // 3])
    with VideoDecoder(silent_server, DecodeOptions(stall_seconds=0.5)) as decoder:
        frames = list(decoder.frames())
    assert 5 < len(frames) < 50
    assert decoder.damage is not None


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of a web server that shows `tmp_path`."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Tests say nothing."""

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_playlist_at_an_address_leads_on_but_not_to_files_of_this_machine(web, tmp_path):
    film = Clip(container="mpegts").write(tmp_path / "film.ts")
    playlist(tmp_path, "m3u8", "film.ts")
    with VideoDecoder(f"{web}/list.m3u8") as decoder:
        assert len(list(decoder.frames())) == 6
    playlist(tmp_path, "m3u8", film.as_uri())
    with pytest.raises(SourceError):
        open_and_close(f"{web}/list.m3u8")
