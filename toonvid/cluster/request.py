"""Request: what a node is told to make, as plain values.

In: a conversion and a place in it. Out: a dictionary of text, numbers and lists, and back. Values
of classes never cross: a node reads these as toonvid reads a journal, and checks their types.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeAlias, cast

import msgspec

from toonvid.choices import BackendName
from toonvid.engine import Precision
from toonvid.pipeline import ConvertOptions
from toonvid.resume.journal_entries import FinishedSegment

Plain: TypeAlias = dict[str, object]
"""Text, numbers, booleans, None, and lists and dictionaries of them."""


@dataclass(frozen=True)
class EngineRequest:
    """The engine, and what runs it."""

    style: str
    sha256: dict[str, str]
    """File name -> SHA-256, as in the engine's card."""
    backend: BackendName
    device: str
    precision: Precision


@dataclass(frozen=True)
class SourceRequest:
    """The source, and where it can be read if it does not lie on storage that the node shares."""

    path: str
    fingerprint: dict[str, str]
    """As in `toonvid.resume.fingerprint.Job`."""
    driver_node: str
    """Ray's name of the node that has it."""


@dataclass(frozen=True)
class SegmentRequest:
    """One segment that is to be made, or all that are missing."""

    source: SourceRequest
    engine: EngineRequest
    options: ConvertOptions
    target_name: str
    """File name of the target, whose suffix names the container."""
    frame_kind: list[str]
    """As in `toonvid.resume.journal_entries.FinishedSegment`."""
    made_with: dict[str, str]
    """Options and versions that the node must have too (`toonvid.resume.fingerprint.made_with`)."""
    check_digest: str
    """What `toonvid.cluster.check_frames` gave on the driver; empty for no check."""
    cores: int
    """Number of cores of the driver, on which some encoders' bytes depend."""
    number: int | None = None
    """Number of the segment; None for all that are missing, one after the other."""
    begin: Fraction = Fraction(0)
    """Time of its first frame, in seconds."""
    warm_up: Fraction = Fraction(0)
    """As in `toonvid.resume.segment_plan.SegmentPlace`."""
    finished: tuple[FinishedSegment, ...] = ()
    """Where all that are missing are made: segments that are not."""

    def to_plain(self) -> Plain:
        """Return the same as plain values. The user's command line stays here."""
        request = replace(self, options=replace(self.options, command=""))
        return cast(Plain, msgspec.to_builtins(request, enc_hook=str))

    @classmethod
    def from_plain(cls, values: Plain) -> SegmentRequest:
        """Return what `to_plain` made the values of.

        Raises:
            msgspec.ValidationError: They are something else.
        """
        return msgspec.convert(values, cls, dec_hook=_from_text, strict=True)


def as_crossed(options: ConvertOptions) -> ConvertOptions:
    """Return options as a node reads them, where a number has the type of its field."""
    plain = msgspec.to_builtins(replace(options, command=""), enc_hook=str)
    return msgspec.convert(plain, ConvertOptions, dec_hook=_from_text, strict=True)


def _from_text(kind: type, value: object) -> object:
    if kind is Fraction and isinstance(value, str):
        return Fraction(value)
    raise NotImplementedError(f"{kind} in a request")
