"""The identity of a conversion: its source, options, engine and versions.

A source, options and an open backend go in; a `Job` comes out, whose values can be compared with
those of an earlier run. Where the job is kept is left out (`toonvid.resume.journal_entries`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import av

from toonvid._version import __version__
from toonvid.backends import Backend
from toonvid.choices import CONTROLS
from toonvid.errors import SourceError, without_secrets
from toonvid.ffmpeg.hardware import NVENC, ActiveDecoder, encoding_gpu
from toonvid.pipeline import ConvertOptions
from toonvid.reading.stall_guard import run_with_timeout

# The keys below are in journals, and are what a user reads where two jobs differ.
SIZE_KEY = "the source's size"
"""Key of a fingerprint: the source's size in bytes."""
_TIME_KEY = "the source's time of change"
CONTENT_KEY = "the source's content"
"""Key of a fingerprint: a hash of samples of the source's content."""
_DECODER_KEY = "--decode"
_SAMPLES = 64  # blocks of the source that are hashed, the first and the last among them
_SAMPLE_BYTES = 65536
# Backend -> packages that it may come from, in the order in which the backend looks for them.
_DISTRIBUTIONS = {
    "tensorrt": ("tensorrt", "tensorrt-rtx"),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml"),
}
# Options that do not change the target's bytes.
_OPTIONS_WITHOUT_EFFECT = {"overwrite", "max_pixels", "stall_seconds"}


@dataclass(frozen=True)
class Job:
    """A conversion, as its journal keeps it."""

    source: str
    """Absolute path of the source. A source may be moved: its fingerprint is compared, not this."""
    fingerprint: dict[str, str]
    """Size, time of change and hash of the source."""
    options: dict[str, str]
    """Option -> value, those at their default too. Names are those of the command line."""
    versions: dict[str, str]
    """Versions of everything that takes part in making the target's bytes."""
    command: str = ""
    """Command line that started the conversion; empty if it was started from Python."""
    duration_seconds: float | None = None
    """Duration of the video in seconds; None when the source does not say."""

    @classmethod
    def describe(
        cls,
        source: Path,
        backend: Backend,
        options: ConvertOptions,
        duration_seconds: float | None = None,
        decoded_by: ActiveDecoder = "software",
    ) -> Job:
        """Describes a conversion that is about to be done.

        Args:
            source: The source's file.
            backend: Open backend with the engine of the style.
            options: What is read, drawn and written, and how long a segment is.
            duration_seconds: Duration of the video; None when not known.
            decoded_by: Decoder in use.

        Raises:
            SourceError: The source cannot be read.
            ControlError: The style does not have a control of the options, or not such a value.
        """
        return cls(
            source=str(source.absolute()),
            fingerprint=fingerprint(source, options.decoding.stall_seconds),
            options=_named_options(backend, options)
            | _coders(options.encoding.codec, decoded_by)
            | {"a segment": f"{options.segment_seconds} s"},
            versions=_versions(backend),
            command=without_secrets(options.command),
            duration_seconds=duration_seconds,
        )

    def difference(self, other: Job) -> str | None:
        """Returns how another job differs from this one, in words; None when they are the same."""
        mine, its = self._compared_values(), other._compared_values()
        differing = [
            f"{name} was {mine.get(name, 'not there')}, is {its.get(name, 'not there')}"
            for name in {**mine, **its}
            if mine.get(name) != its.get(name)
        ]
        return ", ".join(differing) or None

    @property
    def identity(self) -> str:
        """Sixteen hexadecimal digits for the source's content and the options.

        Targets carry it. The source's time of change, the decoder and the versions are left out, so
        that a finished target is known again after an update or on another machine.
        """
        values = {**self.fingerprint, **self.options}
        kept = sorted((name, values[name]) for name in values.keys() - {_TIME_KEY, _DECODER_KEY})
        return hashlib.sha256(repr(kept).encode()).hexdigest()[:16]

    @property
    def hash(self) -> str:
        """Sixteen hexadecimal digits for all that `difference` compares."""
        values = sorted(self._compared_values().items())
        return hashlib.sha256(repr(values).encode()).hexdigest()[:16]

    def _compared_values(self) -> dict[str, str]:
        return {**self.fingerprint, **self.options, **self.versions}


def fingerprint(source: Path, stall_seconds: float) -> dict[str, str]:
    """Returns values that tell a file from others, and from itself before it was changed.

    Hashing all of a long video would take minutes, so large files are hashed in samples; the size
    and the time of change are compared beside the hash.

    Args:
        source: The file.
        stall_seconds: Seconds after which a disk or network mount that gives no answer is given up;
            0 waits without limit.

    Raises:
        SourceError: The file cannot be read.
    """
    try:
        return run_with_timeout(lambda: _fingerprint(source), stall_seconds)
    except OSError as error:
        raise SourceError(f"{source} cannot be read: {error.strerror or error}") from error


def made_with(backend: Backend, options: ConvertOptions) -> dict[str, str]:
    """Returns the options and versions that a target's bytes depend on, whatever its source.

    Args:
        backend: Open backend with the engine of the style.
        options: What is read, drawn and written.
    """
    return _named_options(backend, options) | _versions(backend)


def _fingerprint(source: Path) -> dict[str, str]:
    found = source.stat()
    digest = hashlib.sha256()
    with source.open("rb") as file:
        for offset in _sample_offsets(found.st_size):
            file.seek(offset)
            digest.update(file.read(_SAMPLE_BYTES))
    return {
        SIZE_KEY: str(found.st_size),
        _TIME_KEY: str(found.st_mtime_ns),
        CONTENT_KEY: digest.hexdigest()[:16],
    }


def _sample_offsets(size: int) -> list[int]:
    """Offsets of the hashed blocks in bytes. The blocks cover a small file completely."""
    if size <= _SAMPLES * _SAMPLE_BYTES:
        return list(range(0, size, _SAMPLE_BYTES))
    last = size - _SAMPLE_BYTES
    return sorted({last * number // (_SAMPLES - 1) for number in range(_SAMPLES)})


def _named_options(backend: Backend, options: ConvertOptions) -> dict[str, str]:
    """Option -> value. Fields of the option classes are named as on the command line."""
    named = {
        f"--{field.name.replace('_', '-')}": str(getattr(values, field.name))
        for values in (options.decoding, options.stylizing, options.encoding)
        for field in fields(values)
        if field.name not in _OPTIONS_WITHOUT_EFFECT and field.name not in CONTROLS
    }
    card = backend.engine.card
    # As values, so that naming a default makes no difference; styles without controls have none.
    controls = card.control_values(options.stylizing.controls)
    return (
        named
        | {f"--{name}": str(value) for name, value in controls.items()}
        | {
            "--style": card.style,
            "the multiple of its sides": str(card.multiple_of),
            "the engine": hashlib.sha256(repr(sorted(card.sha256.items())).encode()).hexdigest()[
                :16
            ],
            "--backend": backend.name,
            "--device": backend.device,
            "--precision": backend.precision,
        }
    )


def _coders(codec: str | None, decoded_by: ActiveDecoder) -> dict[str, str]:
    """The decoder in use, which "auto" leaves open, and the GPU where a GPU encodes."""
    gpu = {"the card that encodes": encoding_gpu()} if codec in NVENC else {}
    return {_DECODER_KEY: decoded_by, **gpu}


def _versions(backend: Backend) -> dict[str, str]:
    libraries = {
        f"{library}'s version": ".".join(map(str, numbers))
        for library, numbers in sorted(av.library_versions.items())
    }
    packages = _DISTRIBUTIONS.get(backend.name, (backend.name,))
    installed = filter(None, map(_installed_version, packages))
    return {
        "toonvid's version": __version__,
        **libraries,
        f"{backend.name}'s version": next(installed, "unknown"),
    }


def _installed_version(distribution: str) -> str:
    """The version of a package that pip installed; empty if it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""
