"""Source copy: how a node comes by a source or an engine that it does not have.

In: what to have, and who has it. Out: a path on this node. A source that lies at the same path with
the same content is read there. Any other is copied to the node once, in chunks through Ray's object
store, of which a few are in flight at a time: neither side holds the file in memory.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from toonvid.cluster.connection import load_ray
from toonvid.cluster.request import EngineRequest, SourceRequest
from toonvid.engine import Engine, find_engine, read_engine
from toonvid.errors import EngineError, SourceError, TargetError
from toonvid.resume.fingerprint import CONTENT_KEY, SIZE_KEY, fingerprint
from toonvid.writing.part_folder import PartFolder, part_folder, running_process

CHUNK_BYTES = 2**24
_IN_FLIGHT = 2  # chunks that are asked for before they are needed
_UNUSED_SECONDS = 86400.0  # after which copies of runs that were killed are deleted
_RETRY_SECONDS = 0.2

ReadChunk = Callable[[int, int], bytes]


def source_on_this_node(source: SourceRequest, stall_seconds: float) -> Path:
    """Return a path at which the source can be read here.

    Raises:
        SourceError: It is neither here nor can it be copied.
        OSError: The disk of this node is full or fails.
    """
    path = Path(source.path)
    with suppress(SourceError):
        if path.is_file() and _is_same(path, source, stall_seconds):
            return path
    ray = load_ray()
    folder = copies_folder(ray.get_runtime_context().get_node_id())
    copy = copy_path(folder, source)
    copy_once(copy, int(source.fingerprint[SIZE_KEY]), lambda: _chunks_from_driver(ray, source))
    if not _is_same(copy, source, stall_seconds):
        copy.unlink(missing_ok=True)
        raise SourceError(f"{source.path} was replaced while it was copied to a node")
    return copy


def copy_once(copy: Path, size: int, chunks: Callable[[], Iterator[bytes]]) -> None:
    """Write a copy, unless it is there or another process of this node is about to write it.

    Args:
        copy: Where the copy comes. It appears there when it is complete.
        size: Bytes of the copy.
        chunks: Called to get its content, in order.

    Raises:
        OSError: The disk is full or fails.
        TargetError: The copy cannot be put in its place.
    """
    copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    while not copy.is_file():
        try:
            with PartFolder(copy) as part:
                if copy.is_file():  # another process was faster
                    return
                free = shutil.disk_usage(copy.parent).free
                if free < size:
                    raise OSError(28, f"No space left for a copy of {size / 1e6:.0f} MB", str(copy))
                with part.file.open("wb") as file:
                    for chunk in chunks():
                        file.write(chunk)
                part.publish()
        except TargetError:
            if not copy.is_file() and running_process(copy) is None:
                raise
            time.sleep(_RETRY_SECONDS)  # another process is copying it
    os.utime(copy)  # for `delete_unused`: on many disks, reading does not change the time of access


def read_chunk(path: str, offset: int, size: int) -> bytes:
    """Read a part of a file. Runs on the node of the driver, for other nodes."""
    with Path(path).open("rb") as file:
        file.seek(offset)
        return file.read(size)


def copies_folder(node_id: str) -> Path:
    """Return the folder in which a node keeps copies of sources."""
    return cluster_folder() / node_id[:16]


def cluster_folder() -> Path:
    """Return the folder for all that nodes of this user keep."""
    return user_cache_path("toonvid", appauthor=False) / "cluster"


def copy_path(folder: Path, source: SourceRequest) -> Path:
    """Return where the copy of a source lies; its name depends on its content alone."""
    name = f"{source.fingerprint[SIZE_KEY]}-{source.fingerprint[CONTENT_KEY]}"
    return folder / f"{name}{Path(source.path).suffix}"


def delete_copy(values: dict[str, Any]) -> None:
    """Delete this node's copy of a source that is finished. Runs on the node."""
    source = SourceRequest(**values)
    folder = copies_folder(load_ray().get_runtime_context().get_node_id())
    copy_path(folder, source).unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def delete_unused(folder: Path) -> None:
    """Delete what no run has made use of for a day: copies, part folders and empty folders.

    Args:
        folder: As `cluster_folder` returns.
    """
    for node_folder in folder.glob("*"):
        is_node_unused = _is_unused(node_folder)  # deleting files in it would make it look used
        for path in node_folder.glob("*"):
            if _is_unused(path):
                with suppress(OSError):  # another process has deleted it
                    if path.is_dir():
                        delete_part_folder(path)
                    else:
                        path.unlink()
        if is_node_unused:
            with suppress(OSError):  # it is not empty
                node_folder.rmdir()


def delete_part_folder(folder: Path) -> None:
    """Delete a part folder that a killed process left; one that is in use stays."""
    target = folder.with_name(folder.name.removeprefix(".").removesuffix(".part"))
    if part_folder(target) == folder and running_process(target) is None:
        with suppress(TargetError, OSError), PartFolder(target, overwrite=True) as part:
            part.clear()


def _is_unused(path: Path) -> bool:
    try:
        found = path.stat()
    except OSError:  # another process has deleted it
        return False
    return max(found.st_atime, found.st_mtime) < time.time() - _UNUSED_SECONDS


@contextmanager
def engine_on_this_node(request: EngineRequest, folder: Path, files: list[Any]) -> Iterator[Engine]:
    """Find the engine here by its hashes, or write it into a folder.

    Args:
        request: Style and hashes.
        folder: Where it is written.
        files: One reference to its files in Ray's object store: name -> content.

    Raises:
        EngineError: It is not the engine that was asked for.
    """
    with suppress(EngineError):
        engine = find_engine(request.style)
        if engine.card.sha256 == request.sha256:
            yield engine
            return
    for name, content in load_ray().get(files[0]).items():
        if Path(name).name != name:
            raise EngineError(f"{name!r} is not the name of an engine's file")
        (folder / name).write_bytes(content)
    engine = read_engine(folder / f"{request.style}.json")
    if engine.card.sha256 != request.sha256:
        raise EngineError(f"the engine {request.style} that was sent is not the one asked for")
    yield engine


def engine_files(engine: Engine) -> dict[str, bytes]:
    """Return card and files of an engine: name -> content."""
    names = [f"{engine.card.style}.json", *engine.card.sha256]
    return {name: (engine.folder / name).read_bytes() for name in names}


def _is_same(path: Path, source: SourceRequest, stall_seconds: float) -> bool:
    found = fingerprint(path, stall_seconds)
    return all(found[key] == source.fingerprint[key] for key in (SIZE_KEY, CONTENT_KEY))


def _chunks_from_driver(ray: Any, source: SourceRequest) -> Iterator[bytes]:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(source.driver_node, soft=False)
    read = ray.remote(read_chunk).options(num_cpus=0, scheduling_strategy=there)
    size = int(source.fingerprint[SIZE_KEY])
    coming: deque[Any] = deque()
    for offset in range(0, size, CHUNK_BYTES):
        coming.append(read.remote(source.path, offset, CHUNK_BYTES))
        if len(coming) > _IN_FLIGHT:
            yield ray.get(coming.popleft())
    while coming:
        yield ray.get(coming.popleft())
