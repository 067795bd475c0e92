"""Help pages at 80 columns, names of options, their defaults, and completion of style names."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from dataclasses import fields

import pytest
from support.run_toonvid import run_here

from toonvid.commands.bench import bench
from toonvid.commands.convert import convert
from toonvid.commands.evaluate import evaluate
from toonvid.commands.help import split_docstring
from toonvid.commands.options import complete_style
from toonvid.commands.prepare import prepare

Capsys = pytest.CaptureFixture[str]

COMMANDS = (
    *("convert", "demo", "live", "prepare", "train", "export", "evaluate", "bench", "doctor"),
    *("build", "styles", "styles show", "styles verify", "styles try", "styles add"),
)
WITH_JSON = ("convert", "live", "prepare", "evaluate", "bench", "doctor")
WITH_OUTPUT = ("convert", "demo", "prepare", "train", "export", "styles try")

AS_INSTALLED = "import sys; from toonvid.cli import main; sys.argv[0] = 'toonvid'; main()"


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def help_page(capsys: Capsys, command: str) -> str:
    ended = run_here(capsys, *command.split(), "--help")
    assert ended.code == 0
    return ended.out


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_help_page_fits_80_columns_without_cuts(command: str, capsys: Capsys) -> None:
    page = help_page(capsys, command)
    assert max(len(line) for line in page.splitlines()) <= 80
    assert "…" not in page  # where a cell is too narrow, the text ends so
    assert "bool>" not in page


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_page_ends_with_examples(command: str, capsys: Capsys) -> None:
    page = help_page(capsys, command)
    last = page[page.rindex("╯") + 1 :]
    assert last.split()[0] == "Examples:"
    assert f"toonvid {command}" in last


@pytest.mark.parametrize("command", WITH_JSON)
def test_json_has_one_wording(command: str, capsys: Capsys) -> None:
    page = " ".join(help_page(capsys, command).replace("│", " ").split())
    assert "--json Print the result as JSON on standard output." in page.replace(" -q ", " ")


@pytest.mark.parametrize("command", WITH_OUTPUT)
def test_o_is_output_everywhere(command: str, capsys: Capsys) -> None:
    rows = [line for line in help_page(capsys, command).splitlines() if line.startswith("│")]
    [line] = [row for row in rows if " -o " in row]
    assert "--output" in line


def test_old_names_of_options_are_accepted(tmp_path, capsys: Capsys) -> None:
    folder = str(tmp_path / "none")
    options = ("--target", folder, "--licence=MIT", "--style", "mine")
    assert f"{folder} " in run_here(capsys, "export", folder, *options).err
    wrong = run_here(capsys, "demo", "--licence", "MIT")  # nothing replaces it there
    assert (wrong.code, "--licence" in wrong.err) == (2, True)
    photos = ("--photos", folder, "--target", folder, "--probe", "pixel-weight=1")
    refused = run_here(capsys, "train", *photos, "--probe-steps", "0")
    assert refused.code == 2
    assert "--sweep-steps" in refused.err


def test_defaults_are_those_of_the_option_classes() -> None:
    from toonvid.bench.measure import BenchOptions
    from toonvid.reading.options import DecodeOptions
    from toonvid.stylizing.options import StylizeOptions
    from trainer.evaluation.results import EvaluateOptions
    from trainer.prepare.frame_extraction import PrepareOptions

    assert defaults(bench)["rounds"] == BenchOptions().rounds
    options = DecodeOptions()
    for name in ("upscale", "decode", "max_pixels", "stall_seconds"):
        assert defaults(convert)[name] == getattr(options, name)
    for field in fields(StylizeOptions):
        assert defaults(convert).get(field.name, field.default) == field.default
    for field in fields(EvaluateOptions):
        assert defaults(evaluate)[field.name] == field.default
    of_prepare = defaults(prepare)
    sides = tuple(int(side) for side in of_prepare["short_sides"].split(","))
    assert sides == PrepareOptions().short_sides
    for name in ("size", "crops", "all_frames", "max_blur", "min_difference", "keep_credits"):
        assert of_prepare[name] == getattr(PrepareOptions(), name)
    assert of_prepare["every"] == PrepareOptions().every_seconds


def defaults(command) -> dict[str, object]:
    return {name: p.default for name, p in inspect.signature(command).parameters.items()}


@pytest.mark.usefixtures("only_tiny_engines")
def test_names_of_styles_are_completed() -> None:
    assert complete_style("nega") == [("negative", "Negative")]
    assert {name for name, _ in complete_style("")} >= {"identity", "negative"}
    assert complete_style("nobody") == []


@pytest.mark.parametrize("command", ["convert a.mp4 --style", "styles show", "build", "evaluate"])
def test_the_shell_is_given_names_of_styles(command: str, engines_folder) -> None:
    line = f"toonvid {command} nega"
    done = subprocess.run(
        [sys.executable, "-c", AS_INSTALLED],
        env={
            **os.environ,
            "TOONVID_ENGINES": str(engines_folder),
            "_TOONVID_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(line.split()) - 1),
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.split() == ["negative"], done.stderr


def test_a_docstring_is_split_into_help_and_examples() -> None:
    text, examples = split_docstring(
        """First line
        goes on.

        Second [paragraph].

        Examples:
            toonvid one
            toonvid two
        """
    )
    assert text == "First line goes on.\n\nSecond \\[paragraph]."
    assert examples == "Examples:\n  toonvid one\n  toonvid two"
    assert split_docstring("Nothing else.") == ("Nothing else.", "")
