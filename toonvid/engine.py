"""Engines: exported generators (`.onnx`) with their cards (`.json`), and where they are found.

Leaves out how an engine is run (`toonvid.backends`) and how one is made (`trainer.exporting.export`).
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import sys
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from toonvid.errors import EngineError
from toonvid.onnx_file import refuse_foreign_parts

Precision: TypeAlias = Literal["f32", "f16", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

CARD_VERSION = 1
DEFAULT_STYLE = "ink"
FILE_SUFFIXES: dict[Precision, str] = {"f32": ".onnx", "f16": ".f16.onnx", "int8": ".int8.onnx"}
"""How an engine's file of each precision ends. bf16 has no file: backends make it from f32."""
STYLE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_JSON_TYPES = {"str": str, "int": int, "dict": dict, "tuple": list}  # of a card's fields

_LARGEST_BYTES = 2**30  # half of what ONNX's own format can hold in one file
_LARGEST_CARD_BYTES = 2**20

_PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class DataSource:
    """One set of pictures that an engine learned from."""

    name: str
    """What the set is called, and which part of it was used."""
    author: str
    licence: str
    """SPDX identifier, or the words of the author."""
    url: str = ""
    pictures: int = 0
    """How many pictures of it were used; 0 means not counted."""


@dataclass(frozen=True)
class EngineCard:
    """All that is known about an engine; written by the trainer, read by the runtime."""

    style: str
    """Name of the look, as `--style` takes it: lower case letters, digits, `-` and `_`."""
    title: str
    description: str
    sha256: dict[str, str]
    """File name -> SHA-256 in hexadecimal, one for each file of the engine."""
    parameters: int
    multiply_adds_per_pixel: int
    """Multiplications with addition for one picture, divided by its pixels."""
    licence: str
    trained_on: tuple[DataSource, ...] = ()
    recipe: str = ""
    """How it was trained, in words: preset, phases, steps, seed."""
    training_step: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    """Measured figures by name, for instance `warping_error_ratio`."""
    source_commit: str = ""
    """Commit of the code that trained it; empty when not known."""
    tolerance: dict[str, int] = field(default_factory=lambda: {"f32": 1})
    """Precision -> the most levels (0..255) by which a backend may differ from the generator."""
    input: str = "frame"
    """Name of the graph's input: uint8 (N, H, W, 3), RGB."""
    output: str = "cartoon"
    """Name of the graph's output: uint8 (N, H, W, 3), RGB."""
    multiple_of: int = 1
    """H and W of the input must be multiples of this."""
    opset: int = 17
    card_version: int = CARD_VERSION

    def __post_init__(self) -> None:
        if self.card_version != CARD_VERSION:
            raise ValueError(f"card version {self.card_version}; this toonvid reads {CARD_VERSION}")
        if not STYLE_NAME.fullmatch(self.style):
            raise ValueError(f"style name {self.style!r}: use a-z, 0-9, - and _")
        if self.multiple_of < 1:
            raise ValueError(f"{self.multiple_of = }")
        known = {self.file_name(precision) for precision in FILE_SUFFIXES}
        if unknown := sorted(set(self.sha256) - known):
            raise ValueError(f"unknown file {unknown[0]!r}")
        if self.file_name("f32") not in self.sha256:
            raise ValueError("no SHA-256 of the float32 file")

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """The precisions that have a file of their own."""
        return tuple(p for p in FILE_SUFFIXES if self.file_name(p) in self.sha256)

    def file_name(self, precision: Precision) -> str:
        """Name of the engine's file for one precision."""
        return self.style + FILE_SUFFIXES[precision]

    def to_json(self) -> str:
        """The card as text, for the `.json` beside the `.onnx`."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> EngineCard:
        """Read a card.

        Raises:
            ValueError: The text is not JSON, or not a card of this version.
        """
        try:
            values = json.loads(text)
        except RecursionError as error:
            raise ValueError("nested too deep") from error
        if not isinstance(values, dict):
            raise ValueError("not a JSON object")
        names = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - names):
            raise ValueError(f"unknown field {unknown[0]!r}")
        for found in (f for f in fields(cls) if f.name in values):
            kind = str(found.type).split("[")[0]
            if not isinstance(values[found.name], _JSON_TYPES[kind]):
                raise ValueError(f"{found.name} is no {kind}")
        try:
            sources = tuple(DataSource(**source) for source in values.pop("trained_on", ()))
            return cls(**values, trained_on=sources)
        except TypeError as error:
            raise ValueError(str(error)) from error


@dataclass(frozen=True)
class Engine:
    """An engine on disk: its card, and the folder that holds its files."""

    card: EngineCard
    folder: Path

    @property
    def card_path(self) -> Path:
        return self.folder / f"{self.card.style}.json"

    def path(self, precision: Precision = "f32") -> Path:
        """The engine's file of one precision, checked before anything loads it.

        Raises:
            EngineError: There is none, it is not the file that the card describes, it reads other
                files, or it needs operators outside the ONNX standard.
        """
        name = self.card.file_name(precision)
        if name not in self.card.sha256:
            have = ", ".join(self.card.precisions)
            raise EngineError(f"style {self.card.style} has no {precision} engine (it has {have})")
        path = self.folder / name
        try:
            refuse_huge(path, _LARGEST_BYTES)
            found = file_sha256(path)
        except OSError as error:
            raise EngineError(f"cannot read {path}: {error.strerror}") from error
        if found != self.card.sha256[name]:
            raise EngineError(f"{path} is not the file its card describes (SHA-256 differs)")
        refuse_foreign_parts(path)
        return path


def find_engine(style: str) -> Engine:
    """Find an engine by the name of its style, or by the path of its `.onnx` or `.json`.

    Names are looked up in `$TOONVID_ENGINES`, the user's data folder and the shipped engines, in
    this order.

    Raises:
        EngineError: There is no such engine, or its card cannot be read.
    """
    path = Path(style)
    if path.suffix in (".onnx", ".json") or len(path.parts) > 1:
        return read_engine(path)
    for folder in engine_folders():
        if (folder / f"{style}.json").is_file():
            return read_engine(folder / f"{style}.json")
    names = [engine.card.style for engine in list_engines()]
    # A beginning is what people try first; else the name with the most letters in common.
    close = [name for name in names if style and name.startswith(style.lower())]
    close = close or difflib.get_close_matches(style.lower(), names, n=1)
    advice = f"; did you mean {close[0]}?" if close else ""
    raise EngineError(f"no style named {style!r}; there are: {', '.join(names) or 'none'}{advice}")


def list_engines() -> list[Engine]:
    """Every engine that a name finds, in order of its name; broken cards are left out."""
    found: dict[str, Engine] = {}
    for card in (card for folder in engine_folders() for card in sorted(folder.glob("*.json"))):
        try:
            found.setdefault(card.stem, read_engine(card))
        except EngineError:
            continue
    return [found[name] for name in sorted(found)]


def read_engine(path: Path) -> Engine:
    """Read the card beside an engine's file. The file itself is checked by `Engine.path`.

    Args:
        path: The `.json`, or any `.onnx` of the engine.

    Raises:
        EngineError: There is no card, or it cannot be read.
    """
    card_path = path.with_name(path.name.split(".", 1)[0] + ".json")
    try:
        refuse_huge(card_path, _LARGEST_CARD_BYTES)
        card = EngineCard.from_json(card_path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EngineError(f"cannot read the engine card {card_path}: {error.strerror}") from error
    except ValueError as error:
        raise EngineError(f"{card_path} is not an engine card: {error}") from error
    if card.style != card_path.stem:
        raise EngineError(
            f"{card_path} is the card of style {card.style!r}: name it {card.style}.json"
        )
    return Engine(card, card_path.parent)


def engine_folders() -> list[Path]:
    """Where engines are looked for, first come first served."""
    asked = os.environ.get("TOONVID_ENGINES", "")
    return [
        *(Path(folder) for folder in asked.split(os.pathsep) if folder),
        user_engines(),
        shipped_engines(),
    ]


def user_engines() -> Path:
    """The user's own engines: where `toonvid train` and `toonvid styles add` put theirs."""
    home = Path.home()
    if sys.platform == "win32":
        data = Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"))
    elif sys.platform == "darwin":
        data = home / "Library" / "Application Support"
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return data / "toonvid" / "engines"


def shipped_engines() -> Path:
    """The engines that come with toonvid, in the installed package or at the top of a checkout."""
    installed = _PACKAGE / "engines"
    return installed if installed.is_dir() else _PACKAGE.parent / "engines"


def refuse_huge(path: Path, largest_bytes: int) -> None:
    """Refuse a file that is too large to be what it should be, before it is read.

    Raises:
        EngineError: It has more bytes.
        OSError: There is none.
    """
    size = path.stat().st_size
    if size > largest_bytes:
        raise EngineError(f"{path} has {size} bytes: an engine's has {largest_bytes} at the most")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
