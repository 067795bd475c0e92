"""What makes two runs the same conversion: the same source, options, engine and versions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import av

from toonvid._version import __version__
from toonvid.backends import Backend
from toonvid.errors import SourceError
from toonvid.ffmpeg.hardware import NVENC, Coder, encoding_card
from toonvid.reading.options import DecodeOptions
from toonvid.reading.stall_guard import patiently
from toonvid.stylizing.options import StylizeOptions
from toonvid.writing.options import EncodeOptions

SIZE = "the source's size"
"""In a fingerprint: the number of bytes."""
_TIME = "the source's time of change"
_DECODER = "--decode"
_SAMPLES = 64  # blocks of a source that are looked at, the first and the last among them
_SAMPLE_BYTES = 65536
# Backend -> the packages it may come in, the one it takes first of all before the others.
_DISTRIBUTIONS = {
    "tensorrt": ("tensorrt", "tensorrt-rtx"),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml"),
}
# Options that change nothing in the target's bytes.
_FREE_OPTIONS = {"overwrite", "max_pixels", "stall_seconds"}


@dataclass(frozen=True)
class Job:
    """A conversion, as its journal remembers it."""

    source: str
    """Its absolute path. It may move: what counts is the fingerprint."""
    fingerprint: dict[str, str]
    options: dict[str, str]
    """Name on the command line -> value, defaults too."""
    versions: dict[str, str]
    """Of all that has a hand in the target's bytes."""
    command: str = ""
    """How the user asked for it; empty when not from the command line."""
    seconds: float | None = None
    """How long the film lasts; None when the source does not say."""

    @classmethod
    def describe(
        cls,
        source: Path,
        backend: Backend,
        options: tuple[DecodeOptions, StylizeOptions, EncodeOptions],
        segment_seconds: Fraction,
        command: str = "",
        seconds: float | None = None,
        decoded_by: Coder = "software",
    ) -> Job:
        """Describe a conversion that is about to be done.

        Raises:
            SourceError: The source cannot be read.
        """
        return cls(
            source=str(source.absolute()),
            fingerprint=fingerprint(source, options[0].stall_seconds),
            options=_named(backend, options)
            | _coders(options[2].codec, decoded_by)
            | {"a segment": f"{segment_seconds} s"},
            versions=_versions(backend),
            command=command,
            seconds=seconds,
        )

    def difference(self, other: Job) -> str | None:
        """What of another job is not as in this one, in words; None when they are the same."""
        mine, its = self._values(), other._values()
        differing = [
            f"{name} was {mine.get(name, 'not there')}, is {its.get(name, 'not there')}"
            for name in {**mine, **its}
            if mine.get(name) != its.get(name)
        ]
        return ", ".join(differing) or None

    @property
    def identity(self) -> str:
        """The same for the same content and options, whenever the source was written, whatever
        decoded it, and whatever the versions are.
        """
        known = {**self.fingerprint, **self.options}
        values = sorted((name, known[name]) for name in known.keys() - {_TIME, _DECODER})
        return hashlib.sha256(repr(values).encode()).hexdigest()[:16]

    def _values(self) -> dict[str, str]:
        return {**self.fingerprint, **self.options, **self.versions}


def fingerprint(source: Path, stall_seconds: float) -> dict[str, str]:
    """What tells a file from another, or from itself before it was changed: quickly, so no hash of
    all of a long film.

    Args:
        source: The file.
        stall_seconds: How long its disk may stay silent; 0: as long as it likes.

    Raises:
        SourceError: It cannot be read.
    """
    try:
        return patiently(lambda: _fingerprint(source), stall_seconds)
    except OSError as error:
        raise SourceError(f"{source} cannot be read: {error.strerror or error}") from error


def _fingerprint(source: Path) -> dict[str, str]:
    found = source.stat()
    digest = hashlib.sha256()
    with source.open("rb") as file:
        last = max(0, found.st_size - _SAMPLE_BYTES)
        places = {last * number // (_SAMPLES - 1) for number in range(_SAMPLES)}
        if found.st_size <= _SAMPLES * _SAMPLE_BYTES:
            places = set(range(0, found.st_size, _SAMPLE_BYTES))  # all of it
        for place in sorted(places):
            file.seek(place)
            digest.update(file.read(_SAMPLE_BYTES))
    return {
        SIZE: str(found.st_size),
        _TIME: str(found.st_mtime_ns),
        "the source's content": digest.hexdigest()[:16],
    }


def _named(
    backend: Backend, options: tuple[DecodeOptions, StylizeOptions, EncodeOptions]
) -> dict[str, str]:
    named = {
        f"--{field.name.replace('_', '-')}": str(getattr(values, field.name))
        for values in options
        for field in fields(values)
        if field.name not in _FREE_OPTIONS
    }
    card = backend.engine.card
    return named | {
        "--style": card.style,
        "the engine": hashlib.sha256(repr(sorted(card.sha256.items())).encode()).hexdigest()[:16],
        "--backend": backend.name,
        "--device": backend.device,
        "--precision": backend.precision,
    }


def _coders(codec: str | None, decoded_by: Coder) -> dict[str, str]:
    """What decoded, whatever was asked for; and the card, where a card encodes."""
    card = {"the card that encodes": encoding_card()} if codec in NVENC else {}
    return {_DECODER: decoded_by, **card}


def _versions(backend: Backend) -> dict[str, str]:
    libraries = {
        f"{library}'s version": ".".join(map(str, numbers))
        for library, numbers in sorted(av.library_versions.items())
    }
    running = filter(None, map(_version, _DISTRIBUTIONS.get(backend.name, (backend.name,))))
    return {
        "toonvid's version": __version__,
        **libraries,
        f"{backend.name}'s version": next(running, "unknown"),
    }


def _version(distribution: str) -> str:
    """Of what pip installed; empty if it did not."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""
