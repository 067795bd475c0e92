"""Engines: exported generators (`.onnx`) and their cards (`.json`), and where they are found.

In: the name of a style, or a path. Out: an `Engine`, whose `path` gives a checked ONNX file. How an
engine is run is left to `toonvid.backends`, how one is made to `trainer.exporting`.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, get_args

import msgspec
from platformdirs import user_data_path

from toonvid.choices import ControlName
from toonvid.errors import ControlError, EngineError, TargetError
from toonvid.files import write_together
from toonvid.onnx_file import refuse_foreign_parts

Precision: TypeAlias = Literal["f32", "f16", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

CARD_VERSION = 1
DEFAULT_STYLE = "ink"
FILE_SUFFIXES: dict[Precision, str] = {"f32": ".onnx", "f16": ".f16.onnx", "int8": ".int8.onnx"}
"""Suffix of an engine's file of each precision. bf16 has no file: backends convert f32."""
OPENVINO_SUFFIXES = (".xml", ".bin")
"""Suffixes of the two files of an engine that was imported for OpenVINO alone: graph, weights."""
IMPORTED = "imported: "
"""Beginning of the recipe of an engine that was made of another program's file."""
STYLE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

# JSON's numbers have no limit, but those that print them, and other languages, have: 2**53 is the
# largest integer that all of them hold exactly.
_LARGEST_NUMBER = 2**53
_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=_LARGEST_NUMBER)]
_Integer: TypeAlias = Annotated[int, msgspec.Meta(ge=-_LARGEST_NUMBER, le=_LARGEST_NUMBER)]

_MAX_ENGINE_BYTES = 2**30  # half of the 2 GiB that one ONNX file (a protobuf message) can hold
_MAX_CARD_BYTES = 2**20
# Frames are padded to multiples: of a large one, most of each frame would be padding. The deepest
# networks in use halve their input five to seven times.
_LARGEST_MULTIPLE = 256

_PACKAGE = Path(__file__).resolve().parent


class DataSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One dataset that an engine was trained on."""

    name: str
    """Name of the dataset, and of the part that was used."""
    author: str
    license: str = msgspec.field(name="licence")
    """SPDX identifier, or the author's own words."""
    url: str = ""
    images: _Count = msgspec.field(default=0, name="pictures")
    """Number of images that were used. 0: not counted."""


class Control(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A number that changes how an engine draws, and that is an input of its graph."""

    default: float
    """Value with which the style is meant to be seen."""
    minimum: float
    maximum: float
    step: float
    """Difference that one press of a key in `toonvid live` makes."""

    def __post_init__(self) -> None:
        if not self.minimum <= self.default <= self.maximum:
            raise ValueError(f"default {self.default:g} is not in {self.range_text}")
        if not 0 < self.step < math.inf or self.maximum - self.minimum == math.inf:
            raise ValueError(f"{self.step = } in {self.range_text}")

    @property
    def range_text(self) -> str:
        """The range in words, as in "0 to 2"."""
        return f"{self.minimum:g} to {self.maximum:g}"


# A msgspec structure and not a dataclass: msgspec checks the types of all fields, nested ones too,
# while it reads. Names in the file are those that version 1 of the format began with.
class EngineCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Model card of an engine; written by the trainer, read by the runtime.

    `msgspec.structs.replace` makes a changed copy.
    """

    style: str
    """Value of `--style` that selects the engine: lower-case letters, digits, `-` and `_`."""
    title: str
    description: str
    sha256: dict[str, str]
    """File name -> SHA-256 in hexadecimal, one entry for each file of the engine."""
    parameters: _Count
    """Number of weights of the generator."""
    multiply_adds_per_pixel: _Count
    """Multiply-add operations for one frame, divided by the number of its pixels."""
    license: str = msgspec.field(name="licence")
    """License of the engine: SPDX identifier, or the author's own words."""
    trained_on: tuple[DataSource, ...] = ()
    recipe: str = ""
    """Description of the training: preset, phases, steps, seed."""
    training_step: _Count = 0
    """Step of the training state that was exported."""
    metrics: dict[str, _Integer | float] = msgspec.field(default_factory=dict)
    """Measured values by name, for instance `warping_error_ratio`."""
    source_commit: str = ""
    """Git commit of the code that trained it; empty: not known."""
    tolerance: dict[str, _Count] = msgspec.field(default_factory=lambda: {"f32": 1})
    """Precision -> largest difference, in levels of 0..255, between a backend and the generator."""
    unfit: tuple[Precision, ...] = ()
    """Precisions into which backends must not convert the float32 file: they were not tried, or the
    cartoon was wrong."""
    input: str = "frame"
    """Name of the graph's input: (N, H, W, 3) uint8, RGB."""
    output: str = "cartoon"
    """Name of the graph's output: (N, H, W, 3) uint8, RGB."""
    controls: dict[ControlName, Control] = msgspec.field(default_factory=dict)
    """Further inputs of the graph, by name: float32, shape (1,). Most engines have none."""
    multiple_of: int = 1
    """H and W of the input must be multiples of this number of pixels."""
    opset: _Count = 17
    """Version of the ONNX operator set."""
    card_version: int = CARD_VERSION
    """Version of the card's format."""

    def __post_init__(self) -> None:
        if self.card_version != CARD_VERSION:
            raise ValueError(f"card version {self.card_version}; this toonvid reads {CARD_VERSION}")
        # The name becomes part of paths: nothing in it may lead out of the folder.
        if not STYLE_NAME.fullmatch(self.style):
            raise ValueError(f"style name {self.style!r}: use a-z, 0-9, - and _")
        if not 1 <= self.multiple_of <= _LARGEST_MULTIPLE:
            raise ValueError(f"{self.multiple_of = }; it is 1 to {_LARGEST_MULTIPLE}")
        known = {self.file_name(precision) for precision in FILE_SUFFIXES}
        of_openvino = {self.style + suffix for suffix in OPENVINO_SUFFIXES}
        if unknown := sorted(set(self.sha256) - known - of_openvino):
            raise ValueError(f"unknown file {unknown[0]!r}")
        if self.file_name("f32") not in self.sha256 and set(self.sha256) != of_openvino:
            raise ValueError("no SHA-256 of the float32 file")

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Precisions that have a file of their own."""
        return tuple(p for p in FILE_SUFFIXES if self.file_name(p) in self.sha256)

    @property
    def is_imported(self) -> bool:
        """Whether the engine was made of another program's file."""
        return self.recipe.startswith(IMPORTED)

    @property
    def is_openvino_only(self) -> bool:
        """Whether the engine has the two files of OpenVINO instead of an ONNX file."""
        return self.file_name("f32") not in self.sha256

    def file_name(self, precision: Precision) -> str:
        """Return the name of the engine's file of one precision."""
        return self.style + FILE_SUFFIXES[precision]

    def to_json(self) -> str:
        """Return the content of the `.json` file that lies beside the `.onnx`."""
        values = msgspec.to_builtins(self)
        for name in ("controls", "unfit"):  # as in cards that were written before there were any
            if not values[name]:
                del values[name]
        # Not msgspec's encoder, which writes numbers otherwise: 1e-05 as 0.00001.
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"

    def control_values(
        self, asked: Mapping[ControlName, float] | None = None
    ) -> dict[ControlName, float]:
        """Complete and check values of the controls.

        Args:
            asked: Controls that are not to have their default; None for none.

        Returns:
            A value for each control of the engine.

        Raises:
            ControlError: The engine has no such control, or the value is outside its range.
        """
        values = {name: float(control.default) for name, control in self.controls.items()}
        for name, value in (asked or {}).items():
            control = self.controls.get(name)
            if control is None:
                have = ", ".join(self.controls) or "none"
                raise ControlError(f"style {self.style} has no control {name} (it has {have})")
            if not control.minimum <= value <= control.maximum:  # which NaN is not
                raise ControlError(
                    f"{name} {value:g} is outside the range of style {self.style}:"
                    f" {control.range_text}"
                )
            values[name] = float(value)
        return values

    @classmethod
    def from_json(cls, text: str) -> EngineCard:
        """Read a card.

        Raises:
            ValueError: The text is not JSON, or not a card of this version. The message names the
                field, as in "Expected `int`, got `str` - at `$.multiple_of`".
        """
        try:
            return msgspec.json.decode(text, type=cls)  # its errors are ValueErrors, from 0.21 on
        except RecursionError as error:
            raise ValueError("nested too deep") from error


@dataclass(frozen=True)
class Engine:
    """An engine on disk: its card, and the folder with its files."""

    card: EngineCard
    folder: Path

    @property
    def card_path(self) -> Path:
        """Path of the card."""
        return self.folder / f"{self.card.style}.json"

    def path(self, precision: Precision = "f32") -> Path:
        """Return the path of the file of one precision, after checking the file.

        Raises:
            EngineError: There is no such file, its hash is not the one in the card, it refers to
                other files, or it needs operators outside the ONNX standard.
        """
        name = self.card.file_name(precision)
        if name not in self.card.sha256:
            have = ", ".join(self.card.precisions) or "files for OpenVINO alone"
            raise EngineError(f"style {self.card.style} has no {precision} engine (it has {have})")
        path = self._checked_path(name)
        # The hash shows only that file and card belong together; both may come from a stranger.
        refuse_foreign_parts(path)
        return path

    def openvino_path(self) -> Path:
        """Return the path of the graph of an engine for OpenVINO alone, after checking its files.

        Raises:
            EngineError: As `path`.
        """
        graph, _ = [self._checked_path(self.card.style + suffix) for suffix in OPENVINO_SUFFIXES]
        return graph

    def check_files(self) -> None:
        """Check all files of the engine.

        Raises:
            EngineError: As `path`.
        """
        if self.card.is_openvino_only:
            self.openvino_path()
        for precision in self.card.precisions:
            self.path(precision)

    def _checked_path(self, name: str) -> Path:
        """Return the path of a file of the engine, after comparing its hash with the card."""
        path = self.folder / name
        try:
            refuse_unreadable(path, _MAX_ENGINE_BYTES)
            found = file_sha256(path)
        except OSError as error:
            raise EngineError(f"cannot read {path}: {error.strerror}") from error
        if found != self.card.sha256[name]:
            raise EngineError(f"{path} is not the file its card describes (SHA-256 differs)")
        return path


def find_engine(style: str | Path) -> Engine:
    """Find an engine by the name of its style, or by the path of its `.onnx` or `.json`.

    Names are searched for in `$TOONVID_ENGINES`, the user's data folder and the shipped engines,
    in this order.

    Raises:
        EngineError: There is no such engine, or its card cannot be read.
    """
    path, style = Path(style), str(style)
    # A style's name has neither a suffix nor a folder in front.
    if path.suffix in (".onnx", ".json") or len(path.parts) > 1:
        return read_engine(path)
    for folder in engine_folders() if STYLE_NAME.fullmatch(style) else ():
        if (folder / f"{style}.json").is_file():
            return read_engine(folder / f"{style}.json")
    names = [engine.card.style for engine in list_engines()]
    # A beginning is what people try first; else the name with the most letters in common.
    close = [name for name in names if style and name.startswith(style.lower())]
    close = close or difflib.get_close_matches(style.lower(), names, n=1)
    advice = f"; did you mean {close[0]}?" if close else ""
    raise EngineError(f"no style named {style!r}; there are: {', '.join(names) or 'none'}{advice}")


def list_engines() -> list[Engine]:
    """List the engines that can be found by name, sorted by name; broken cards are left out."""
    return find_engines()[0]


def find_engines() -> tuple[list[Engine], list[str]]:
    """Find all engines that can be found by name.

    Returns:
        The engines, sorted by name, and one line for each card that cannot be read.
    """
    found: dict[str, Engine] = {}
    problems: list[str] = []
    for card in (card for folder in engine_folders() for card in sorted(folder.glob("*.json"))):
        try:
            # An engine in an earlier folder hides those of the same name, as in `find_engine`.
            found.setdefault(card.stem, read_engine(card))
        except EngineError as error:
            problems.append(str(error))
    return [found[name] for name in sorted(found)], problems


def read_engine(path: Path) -> Engine:
    """Read the card beside an engine's file. `Engine.path` checks the file itself.

    Args:
        path: The engine's `.json`, or any of its `.onnx` files.

    Raises:
        EngineError: There is no card, or it cannot be read.
    """
    card_path = path.with_name(path.name.split(".", 1)[0] + ".json")
    try:
        refuse_unreadable(card_path, _MAX_CARD_BYTES)
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


def copy_engine(engine: Engine, folder: Path) -> Engine:
    """Copy an engine's files and its card into a folder, which is made if there is none.

    An engine of the same style in it is replaced as a whole: files that its card names and the new
    one does not are deleted. The card is moved last: without it the others are no engine.

    Raises:
        TargetError: The folder cannot be written.
    """
    copy = Engine(engine.card, folder)
    card_name = copy.card_path.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replaced = _files_of(copy.card_path)
        contents = {name: (engine.folder / name).read_bytes() for name in engine.card.sha256}
        write_together(folder, {**contents, card_name: engine.card.to_json().encode()})
        for name in replaced - contents.keys():
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise TargetError(
            f"cannot copy the style {engine.card.style} to {folder}: {error.strerror}"
        ) from error
    return copy


def _files_of(card_path: Path) -> set[str]:
    """Return the names of an engine's files; none where there is no card that can be read."""
    try:
        return set(read_engine(card_path).card.sha256)
    except EngineError:
        return set()


def refuse_existing(folder: Path, style: str, advice: str) -> None:
    """Refuse to add a style to a folder in which it would take the place of another one.

    Args:
        folder: The folder.
        style: Name of the style.
        advice: What to do instead, for the error.

    Raises:
        TargetError: The folder has an engine of this style, or it is the user's own folder and the
            style is a shipped one.
    """
    if (folder / f"{style}.json").exists():
        raise TargetError(f"{folder} has a style {style} already: {advice}")
    if folder == user_engines() and (shipped_engines() / f"{style}.json").exists():
        raise TargetError(f"toonvid comes with a style {style}: {advice}")


def engine_folders() -> list[Path]:
    """Return the folders in which engines are searched for, in this order."""
    listed = os.environ.get("TOONVID_ENGINES", "")
    return [
        *(Path(folder) for folder in listed.split(os.pathsep) if folder),
        user_engines(),
        shipped_engines(),
    ]


def user_engines() -> Path:
    """Return the user's own folder of engines.

    `toonvid train` and `toonvid styles add` write into it. On Linux it is
    `$XDG_DATA_HOME/toonvid/engines`, by default `~/.local/share/toonvid/engines`.
    """
    return user_data_path("toonvid", appauthor=False) / "engines"


def shipped_engines() -> Path:
    """Return the folder of shipped engines: in the installed package, or at a checkout's root."""
    installed = _PACKAGE / "engines"
    return installed if installed.is_dir() else _PACKAGE.parent / "engines"


def refuse_unreadable(path: Path, max_bytes: int) -> None:
    """Refuse what cannot be an engine or a card, before it is opened.

    Reading a pipe or a device, or a link to one, may never end.

    Raises:
        EngineError: It is not a file, or larger than `max_bytes`.
        OSError: There is no such file.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise EngineError(f"{path} is not a file")
    if status.st_size > max_bytes:
        raise EngineError(f"{path} has {status.st_size} bytes; at most {max_bytes} are allowed")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
