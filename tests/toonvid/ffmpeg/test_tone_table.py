"""Tone tables give libswscale's colors, and are computed once for each brightness of a screen."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from toonvid.ffmpeg import tone_table
from toonvid.ffmpeg.color import FrameFormat
from toonvid.ffmpeg.filter_graphs import rgb_graph
from toonvid.ffmpeg.tone_table import find_tone_table

F = Fraction
PQ, HLG = 16, 18


def hdr_frame(transfer: int = PQ) -> av.VideoFrame:
    """A frame of random colors near gray, 64 x 48, in BT.2020."""
    rng = np.random.default_rng(4)
    blocks = rng.integers(8000, 40000, (6, 8, 1)) + rng.integers(0, 5000, (6, 8, 3))
    pixels = np.kron(blocks, np.ones((8, 8, 1))).astype(np.uint16)
    frame = av.VideoFrame.from_ndarray(pixels, "rgb48le")
    frame.color_primaries, frame.color_trc, frame.color_range = 9, transfer, 2
    frame.pts, frame.time_base = 0, F(1, 25)
    return frame


def mapped(frame: av.VideoFrame, table: Path | None) -> np.ndarray:
    kind = FrameFormat.from_frame(frame, interlaced=False)
    graph = rgb_graph(kind, F(1, 25), 64, 48, tone_table=table)
    graph.vpush(frame)
    return graph.vpull().to_ndarray().astype(int)


@pytest.fixture
def own_folder(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "it's [a], folder: x" / "tables"
    monkeypatch.setattr(tone_table, "tone_table_folder", lambda: folder)
    return folder


def test_a_table_gives_the_colors_of_libswscale():
    frame = hdr_frame()
    table = find_tone_table(frame)
    assert table is not None and table.fits(FrameFormat.from_frame(frame, False))
    found, expected = mapped(frame, table.path), mapped(frame, None)
    assert expected.std() > 20
    assert np.abs(found - expected).max() <= 3


def test_a_table_is_computed_once_and_kept(own_folder, monkeypatch):
    computed = []

    def grid(small: av.VideoFrame, _: tuple[str, ...]) -> np.ndarray:
        computed.append(small)
        assert (small.width, small.height) == (33 * 33, 33)
        levels = np.linspace(0, 1, 33)
        return np.stack(np.meshgrid(levels, levels, levels, indexing="ij")[::-1], axis=-1)

    monkeypatch.setattr(tone_table, "_mapped_grid", grid)
    tables = [find_tone_table(hdr_frame()) for _ in range(3)]
    assert len(computed) == 1 and len({table.path for table in tables if table}) == 1
    assert list(own_folder.iterdir()) == [tables[0].path]
    # This table changes nothing, and its path needs escaping.
    frame = hdr_frame()
    expected = np.rint(frame.to_ndarray() / 257)
    assert np.abs(mapped(frame, tables[0].path) - expected).max() <= 1
    assert find_tone_table(hdr_frame(HLG)).path != tables[0].path
    assert len(computed) == 2


def test_the_brightness_of_the_screen_belongs_to_the_table(own_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(tone_table, "_mapped_grid", lambda *_: np.zeros((33, 33, 33, 3)))
    paths = set()
    for nits in (1000, 4000, None):
        source = tmp_path / f"{nits}.hevc"
        with av.open(str(source), "w") as target:
            stream = target.add_stream("libx265", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
            # Not in a container, which has sometimes refused the packet of this single frame.
            colors = "log-level=none:bframes=0:frame-threads=1:pools=none"
            colors += ":colorprim=9:colormatrix=9:transfer=16"
            primaries = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)"
            screen = f":master-display={primaries}L({nits}0000,1)" if nits else ""
            stream.options = {"x265-params": colors + screen}
            target.mux(stream.encode(hdr_frame().reformat(format="yuv420p10le")))
            target.mux(stream.encode(None))
        with av.open(str(source)) as container:
            table = find_tone_table(next(container.decode(video=0)))
        assert table is not None
        paths.add(table.path)
    assert len(paths) == 3


def test_without_a_place_for_tables_colors_are_mapped_all_the_same(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(tone_table, "tone_table_folder", lambda: tmp_path / "file" / "tables")
    monkeypatch.setattr(tone_table, "_mapped_grid", lambda *_: np.zeros((33, 33, 33, 3)))
    assert find_tone_table(hdr_frame()) is None


def test_standard_colors_need_no_table():
    frame = av.VideoFrame(64, 48, "yuv420p")
    assert find_tone_table(frame) is None
