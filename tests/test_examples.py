"""Every script in examples/ and every snippet of docs/python-api.md runs as it is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from toonvid.bench.demo_scene import draw_scene, write_scene
from toonvid.writing.contact_sheet import write_image

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
# Script -> what it says, and the files that it leaves.
EXPECTED = {
    "stylize_image.py": ("wrote cartoon.png: 320x180", {"cartoon.png"}),
    "stylize_frames.py": ("24 images in", set()),
    "convert_with_progress.py": (
        "wrote scene.toon.mp4: 24 frames",
        {"scene.mp4", "scene.toon.mp4"},
    ),
    "stop_and_resume.py": (
        "48 frames, 24 of them made before the stop",
        {"long.mp4", "long.toon.mp4"},
    ),
}


def run(script: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TOONVID_ENGINES": ""}
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_every_example_is_listed_here_and_in_the_readme():
    names = {path.name for path in EXAMPLES.glob("*.py")}
    assert names == set(EXPECTED)
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"]({name})" in text for name in names)


@pytest.mark.parametrize(
    ("script", "arguments", "said"),
    [
        ("stylize_image.py", ["photo.png", "cartoon.xyz"], "cartoon.xyz cannot be written"),
        ("stylize_image.py", ["photo.png", "gone/cartoon.png"], "cartoon.png cannot be written"),
        ("convert_with_progress.py", ["gone.mp4"], "gone.mp4: no such file"),
    ],
)
def test_an_example_says_what_it_cannot_do(script, arguments, said, tmp_path):
    write_image(tmp_path / "photo.png", draw_scene(64, 48, 0.0))
    ended = run(EXAMPLES / script, tmp_path, *arguments)
    assert ended.returncode == 1
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"photo.png"}


@pytest.mark.parametrize("script", sorted(EXPECTED))
def test_example_runs_and_writes_what_it_says(script, tmp_path):
    said, files = EXPECTED[script]
    ended = run(EXAMPLES / script, tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert said in ended.stdout
    assert {path.name for path in tmp_path.iterdir()} == files
    assert all((tmp_path / name).stat().st_size for name in files)


def test_an_example_takes_a_file_of_the_user(tmp_path):
    run(EXAMPLES / "stylize_image.py", tmp_path)
    ended = run(EXAMPLES / "stylize_image.py", tmp_path, "cartoon.png", "twice.png")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "wrote twice.png: 320x180" in ended.stdout


def test_the_snippets_of_the_python_page_run_one_after_the_other(tmp_path):
    page = (ROOT / "docs" / "python-api.md").read_text(encoding="utf-8")
    snippets = re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    assert len(snippets) >= 5
    (tmp_path / "snippets.py").write_text("\n".join(snippets), encoding="utf-8")
    write_image(tmp_path / "photo.png", draw_scene(95, 64, 0))
    write_scene(tmp_path / "movie.mp4", 160, 120, Fraction(12), 2.0)
    ended = run(tmp_path / "snippets.py", tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "12 frames in" in ended.stdout
    assert "dtype float64; values from 0 to 1 become uint8 with" in ended.stdout
    assert "did you mean ink?" in ended.stdout
    assert (tmp_path / "cartoon.png").is_file()
    assert (tmp_path / "movie.toon.mp4").is_file()
