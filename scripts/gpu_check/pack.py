"""What a machine without a network needs: one archive, cut into files of limited size.

In: wheels, photos and cartoons. Out: `part1`, `part2`, ... in a folder, each at most
`PART_BYTES`, which may be brought to the machine one by one; together they are a tar archive in
xz. Unpacked, it is `site/` (Python packages) and `data/` (photos, their drawings, cartoons).
"""

from __future__ import annotations

import fnmatch
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

PART_BYTES = 48 * 1000 * 1000
"""Size of a part: what a device takes in one transfer beside a checkout of this project."""
LEFT_OUT = (
    *("openvino/libs/*intel_gpu*", "openvino/libs/*intel_npu*", "openvino/libs/*tensorflow*"),
    *("openvino/libs/*pytorch*", "openvino/libs/*paddle*", "openvino/libs/*gguf*"),
    *("openvino/libs/*_auto_*", "openvino/libs/*hetero*", "openvino/libs/cache.json"),
    *("openvino/include/*", "openvino/cmake/*", "openvino/tools/*", "openvino/torch/*"),
)
"""Files of wheels that running an engine on the CPU does not need."""

_PURE_PACKAGE = "tensorrt_rtx"  # has no wheel of its own on every index: it is one small module
_LONGEST_SIDE = 1280  # pixels, of cartoons


def write_pack(
    target: Path, wheels: Path | None, photos: Path | None, cartoons: Path | None, count: int
) -> None:
    """Write a pack, and say how large it is.

    Args:
        target: Folder of the parts; parts that are there already are deleted.
        wheels: Folder of wheels for the Python of the machine; None: no packages.
        photos: Folder of photos; `count` of them and their drawings are packed. None: none.
        cartoons: Folder of cartoons. None: none.
        count: Number of photos, and of cartoons.
    """
    target.mkdir(parents=True, exist_ok=True)
    for old in target.glob("part*"):
        old.unlink()
    with tempfile.TemporaryDirectory(prefix="toonvid-pack-") as name:
        folder = Path(name)
        if wheels:
            _unpack_wheels(wheels, folder / "site")
        if photos and cartoons:
            _prepare_data(folder / "data", photos, cartoons, count)
        _report_sizes(folder)
        archive = folder / "pack.tar"
        with tarfile.open(archive, "w") as tar:
            for name in ("site", "data"):
                if (folder / name).is_dir():
                    tar.add(folder / name, name)
        # Blocks, so that several cores unpack it.
        command = ["xz", "--threads=0", "-3", "--block-size=16MiB", "--keep", str(archive)]
        subprocess.run(command, check=True)
        _cut(archive.with_suffix(".tar.xz"), target)


def unpack(parts: Path, target: Path) -> Path:
    """Join the parts of a pack and unpack them, unless that was done before.

    Args:
        parts: Folder with `part1`, `part2`, ...
        target: Folder to unpack to.

    Returns:
        `target`.
    """
    done = target / "done"
    paths = sorted(parts.glob("part*"), key=lambda path: int(path.name.removeprefix("part")))
    numbers = [int(path.name.removeprefix("part")) for path in paths]
    if not paths or numbers != list(range(1, len(paths) + 1)):
        sys.exit(f"{parts} has parts {numbers or 'none'}: one is missing")
    sizes = " ".join(str(path.stat().st_size) for path in paths)
    if done.is_file() and done.read_text() == sizes:
        return target
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    archive = target / "pack.tar.xz"
    with archive.open("wb") as whole:
        for path in paths:
            whole.write(path.read_bytes())
    # Programs, because they use all cores, which Python's lzma does not.
    xz = ["xz", "--decompress", "--threads=0", str(archive)]
    if shutil.which("xz") and subprocess.run(xz).returncode == 0:
        archive = archive.with_suffix("")
    with tarfile.open(archive) as tar:
        tar.extractall(target, filter="data")
    archive.unlink()
    done.write_text(sizes)
    return target


def _unpack_wheels(wheels: Path, site: Path) -> None:
    """Unpack wheels as pip's `--target` would, without what is never used."""
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                if not any(fnmatch.fnmatch(entry.filename, each) for each in LEFT_OUT):
                    archive.extract(entry, site)
    spec = find_spec(_PURE_PACKAGE)
    if spec and spec.origin and not (site / _PURE_PACKAGE).is_dir():
        source = Path(spec.origin).parent
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, site / _PURE_PACKAGE, ignore=ignore)


def _prepare_data(folder: Path, photos: Path, cartoons: Path, count: int) -> None:
    """Write photos at one size, their drawings, and cartoons."""
    import cv2

    from gpu_check.parts.training import FRAME_HEIGHT, prepare_drawings
    from trainer.data.images import UnusableImageError, find_images, read_image, resize_to

    for kind, source in (("photos", photos), ("cartoons", cartoons)):
        (folder / kind).mkdir(parents=True)
        paths = find_images(source)
        written = 0
        for path in paths[:: max(1, len(paths) // count)]:
            try:
                image = resize_to(read_image(path), FRAME_HEIGHT)
            except UnusableImageError:
                continue
            if max(image.shape) > _LONGEST_SIDE or written == count:
                continue
            quality = [cv2.IMWRITE_JPEG_QUALITY, 90]
            name = str(folder / kind / f"{written:03}.jpg")
            cv2.imwrite(name, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)
            written += 1
    prepare_drawings(folder / "photos", folder / "cache")


def _report_sizes(folder: Path) -> None:
    for child in sorted([*folder.glob("site/*"), *folder.glob("data/*")]):
        files = [child] if child.is_file() else [p for p in child.rglob("*") if p.is_file()]
        size = sum(path.stat().st_size for path in files)
        if size > 10**6:
            print(f"{size / 1e6:7.1f} MB  {child.relative_to(folder)}")


def _cut(archive: Path, target: Path) -> None:
    with archive.open("rb") as source:
        for number, content in enumerate(iter(lambda: source.read(PART_BYTES), b""), start=1):
            path = target / f"part{number}"
            path.write_bytes(content)
            print(f"{len(content) / 1e6:7.1f} MB  {path}")
