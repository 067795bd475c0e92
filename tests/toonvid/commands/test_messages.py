"""What is printed controls no terminal, is no markup, and shows no passwords."""

from __future__ import annotations

import io
import json

import pytest
from rich.table import Table
from rich.text import Text
from support.run_toonvid import run_here

from toonvid.commands.messages import SafeConsole, print_json, printable, say

HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b31m\r\x08\u202e[/x][red]:smile:\udcff"
HARMLESS = r"\x1b]0;title\x07\x1b[2J\x9b31m\x0d\x08\u202e[/x][red]:smile:\xff"


def test_control_characters_are_spelled_out() -> None:
    assert printable(HOSTILE) == HARMLESS
    assert printable("Käse\t🧀 漢字\n") == "Käse\t🧀 漢字\n"


def test_no_way_to_print_lets_a_control_character_through() -> None:
    stream = io.StringIO()
    console = SafeConsole(file=stream)
    console.width = 200
    table = Table(title=HOSTILE)
    table.add_column(HOSTILE)
    table.add_row(HOSTILE)
    say(console, HOSTILE, "red")
    console.print(HOSTILE)
    console.print(table)
    console.print(Text("\x1b]0;title\x9b31m"))  # as a log handler or a bar makes it
    assert r"\x1b]0;title\x9b31m" in stream.getvalue()
    assert stream.getvalue().count(HARMLESS) == 5
    assert not any(letter in stream.getvalue() for letter in "\x1b\x07\x08\x9b\r\u202e\udcff")


def test_a_line_that_the_next_one_replaces_may_be_printed() -> None:
    stream = io.StringIO()
    SafeConsole(file=stream).print("12 frames", end="\r")
    assert stream.getvalue() == "12 frames\r"


def test_json_shows_no_passwords(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": ["rtsp://me:secret@box/1", {"b": ("http://box/?pw=secret",)}], "c": 1})
    shown = {"a": ["rtsp://box/1", {"b": ["http://box/?pw=***"]}], "c": 1}
    assert json.loads(capsys.readouterr().out) == shown


@pytest.mark.parametrize(
    "words",
    [
        ("\x1b]0;x\x07",),
        ("convert", "--\x1b]0;x\x07"),
        ("convert", "\x1b]0;x\x07.mp4"),
        ("convert", "a.mp4", "--decode", "\x1b]0;x\x07"),
        ("convert", "a.mp4", "--size", "\x1b]0;x\x07"),
        ("convert", "--status", "\x1b]0;x\x07"),
        ("styles", "show", "\x1b]0;x\x07"),
    ],
)
@pytest.mark.usefixtures("only_tiny_engines")
def test_words_of_the_command_line_are_repeated_without_control_characters(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    ended = run_here(capsys, *words, *(("--style", "identity") if words[0] == "convert" else ()))
    assert ended.code != 0
    assert r"\x1b]0;x\x07" in ended.out + ended.err
    assert "\x1b]" not in ended.out + ended.err


@pytest.mark.usefixtures("only_tiny_engines")
def test_passwords_are_neither_printed_nor_in_json(
    capsys: pytest.CaptureFixture[str], tmp_path
) -> None:
    for address in (
        "http://me:geheim@127.0.0.1:9/a.mp4",
        "http://me:ge@he/im@127.0.0.1:9/a.mp4",
        "http://127.0.0.1:9/a.mp4?password=geheim",
    ):
        for command in ("convert", "live"):
            options = {
                "convert": ("-o", tmp_path / "a.mkv", "--style", "identity", "--json"),
                "live": ("--headless", "--style", "identity", "--json"),
            }[command]
            ended = run_here(capsys, command, address, *options)
            assert ended.code == 1
            assert "127.0.0.1" in ended.err
            for secret in ("geheim", "he/im", "im@", "ge@"):
                assert secret not in ended.out + ended.err
