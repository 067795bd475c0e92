"""Segment task: what runs on a node of the cluster. One request in, segments out.

In: a `SegmentRequest` as plain values. Out: plain values for each segment, with its packets as
bytes. The node keeps nothing but a copy of the source where it has no other, and the open engine
between one segment and the next. What a killed task leaves, the next one deletes. Errors are
values too: no exception of toonvid's crosses.
"""

from __future__ import annotations

import errno
import functools
import socket
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from toonvid.backends import Backend, open_backend
from toonvid.cluster.check_frames import check_digest, cpu_cores
from toonvid.cluster.request import EngineRequest, Plain, SegmentRequest
from toonvid.cluster.source_copy import (
    cluster_folder,
    delete_part_folder,
    delete_unused,
    engine_on_this_node,
    source_on_this_node,
)
from toonvid.errors import BackendError, EngineError, TargetError, ToonvidError
from toonvid.pipeline import ConvertOptions
from toonvid.resume.fingerprint import made_with
from toonvid.resume.journal_entries import template_frame
from toonvid.resume.segment_plan import SegmentPlace
from toonvid.resume.separate_segments import MadeEnd, MadeSegment, SegmentWorkshop
from toonvid.writing.part_folder import PartFolder

# Kinds of what a task yields.
SEGMENT, END, MISPLANNED, REFUSED, FAILED = "segment", "end", "misplanned", "refused", "failed"

_TEMPORARY = "toonvid-segments-"  # begins the names of folders outside the cache folder
_DISK_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


class _RefusedError(Exception):
    """This node cannot take part."""


def make_segments(values: Plain, engine_files: list[Any]) -> Iterator[Plain]:
    """Make one segment, or all that are missing. Runs on a node, as a generator.

    Args:
        values: `SegmentRequest.to_plain`.
        engine_files: One reference to the files of the engine, fetched if they are not here.

    Yields:
        Plain values with the key `kind`: SEGMENT with `finished`, `content`, `is_last`
        and whether its source `is_copy`; END with
        `notices` and `damage`; MISPLANNED; REFUSED or FAILED with `reason`, the last of all.
    """
    try:
        yield from _make_segments(SegmentRequest.from_plain(values), engine_files)
    except (_RefusedError, EngineError, BackendError) as error:
        yield {"kind": REFUSED, "reason": str(error)}
    except (ToonvidError, OSError) as error:
        is_full = _is_disk_full(error)
        yield {"kind": REFUSED if is_full else FAILED, "reason": _reason(error)}


def _make_segments(request: SegmentRequest, engine_files: list[Any]) -> Iterator[Plain]:
    threads = 0 if cpu_cores() == request.cores else request.cores
    backend = _backend(msgspec.json.encode(request.engine), _References(engine_files))
    _refuse_other_bytes(request, backend, threads)
    source = source_on_this_node(request.source, request.options.decoding.stall_seconds)
    is_copy = source != Path(request.source.path)
    with _task_folder() as folder:
        workshop = SegmentWorkshop(
            source=source,
            target=Path(request.target_name),
            backend=backend,
            options=request.options,
            template=template_frame(request.frame_kind),
            folder=folder,
            encoder_threads=threads,
        )
        if request.number is not None:
            made = workshop.make_one(SegmentPlace(request.number, request.begin, request.warm_up))
            yield {"kind": MISPLANNED} if made is None else _segment(made, is_copy)
            return
        finished = {each.number: each for each in request.finished}
        first = next(n for n in range(len(finished) + 1) if n not in finished)
        for each in workshop.make_rest(finished.get(first - 1), finished):
            if isinstance(each, MadeEnd):
                yield {"kind": END, "notices": list(each.notices), "damage": each.damage}
            else:
                yield _segment(each, is_copy)
                each.path.unlink()


@contextmanager
def _task_folder() -> Iterator[Path]:
    """Make a folder that is deleted on exit, or by a later task if this process is killed.

    All nodes on a machine share the folder around it, so that a new cluster finds what an old one
    left. The lock of the folder says whether its process lives. A node whose cache folder cannot be
    written uses the system's temporary folder.

    Raises:
        TargetError: The temporary folder cannot be written either.
    """
    folder, temporary = cluster_folder() / socket.gethostname(), Path(tempfile.gettempdir())
    delete_unused(folder.parent)
    for left in [*folder.glob(".*.part"), *temporary.glob(f".{_TEMPORARY}{'[0-9a-f]' * 32}.part")]:
        delete_part_folder(left)
    name = uuid.uuid4().hex
    with ExitStack() as stack:
        try:
            part = stack.enter_context(PartFolder(folder / name))
        except TargetError:
            part = stack.enter_context(PartFolder(temporary / f"{_TEMPORARY}{name}"))
        stack.callback(part.clear)
        yield part.folder


def _segment(made: MadeSegment, is_copy: bool) -> Plain:
    return {
        "kind": SEGMENT,
        "finished": msgspec.to_builtins(made.finished),
        "content": made.path.read_bytes(),
        "is_last": made.is_last,
        "is_copy": is_copy,
    }


class _References:
    """References to objects in Ray's store. All are equal, so that they are no key of a cache."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _References)

    def __hash__(self) -> int:
        return 0


@functools.lru_cache(maxsize=1)
def _backend(engine: bytes, files: _References) -> Backend:
    """Open the engine; the process keeps it for the next segment."""
    request = msgspec.json.decode(engine, type=EngineRequest)
    with ExitStack() as stack:
        folder = stack.enter_context(_task_folder())
        found = stack.enter_context(engine_on_this_node(request, folder, files.values))
        # The device of the driver may be the second of its kind; Ray shows a task its own alone.
        device = request.device.split(":")[0]
        return open_backend(found, request.backend, device, request.precision)


def _refuse_other_bytes(request: SegmentRequest, backend: Backend, threads: int) -> None:
    """Refuse to take part where this node would make other bytes than the driver.

    Raises:
        _RefusedError: It would.
    """
    mine = made_with(backend, request.options)
    differing = [
        f"{name} is {mine.get(name, 'not there')} here and {value} there"
        for name, value in request.made_with.items()
        if mine.get(name) != value
    ]
    if differing:
        raise _RefusedError(", ".join(differing))
    suffix = Path(request.target_name).suffix
    if request.check_digest and request.check_digest != _digest(
        _Same(backend, request.options), suffix, threads
    ):
        raise _RefusedError(
            "engine or encoder give other bytes here than on the machine of the run"
        )


class _Same:
    """Backend and options as the key of a cache: equal where the options are."""

    def __init__(self, backend: Backend, options: ConvertOptions) -> None:
        self.backend = backend
        self.options = replace(options, decoding=ConvertOptions().decoding)
        self._key = (id(backend), repr(self.options))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


@functools.lru_cache(maxsize=4)
def _digest(same: _Same, suffix: str, threads: int) -> str:
    return check_digest(same.backend, same.options, f"check{suffix}", threads)


def _is_disk_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in _DISK_FULL:
            return True
        error = error.__cause__ or error.__context__
    return False


def _reason(error: Exception) -> str:
    # What fails on the driver's node while a source is copied comes as Ray's `RayTaskError`, whose
    # text is a traceback.
    error = getattr(error, "cause", None) or error
    if isinstance(error, OSError):
        return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
    return str(error)
