"""Command line of `python scripts/gpu_check`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from gpu_check.steps import PARTS, Settings, choose_steps, find_step

_UNPACKED = Path(tempfile.gettempdir()) / "toonvid-gpu-check"


def main(arguments: list[str] | None = None) -> None:
    """Run the check, or pack or unpack what it needs."""
    options = _parser().parse_args(arguments)
    if options.pack:
        from gpu_check.pack import write_pack

        write_pack(options.pack, options.wheels, options.photos, options.cartoons, options.count)
    elif options.empty:
        from gpu_check.runner import empty_table

        print(empty_table(), end="")
    elif options.step:
        _run_one(options)
    else:
        _run_all(options)


def _run_one(options: argparse.Namespace) -> None:
    from gpu_check.runner import run_in_this_process

    run_in_this_process(find_step(options.step), _settings(options), options.rows)


def _run_all(options: argparse.Namespace) -> None:
    from gpu_check.pack import unpack
    from gpu_check.runner import Environment, run_steps

    site = None
    if options.unpack:
        unpacked = unpack(options.unpack, _UNPACKED)
        site, data = unpacked / "site", unpacked / "data"
        options.data = options.data or (data if data.is_dir() else None)
        # Rows are named here too, which imports no more than the standard library does.
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="toonvid-gpu-") as work:
        options.work = Path(work)
        parts = _parse_parts(options.parts)
        steps = choose_steps(parts, options.training_minutes, options.tiny)
        rows = run_steps(steps, _settings(options), options.minutes, Environment(site))
    if any(row.result.startswith(("failed", "stopped")) for row in rows):
        sys.exit(1)


def _settings(options: argparse.Namespace) -> Settings:
    return Settings(
        device=options.device,
        tiny=options.tiny,
        seconds=options.seconds,
        training_minutes=options.training_minutes,
        out=options.out,
        work=options.work,
        data=options.data,
    )


def _parse_parts(text: str) -> set[int]:
    parts = {int(number) for number in text.split(",")} if text else set(PARTS)
    if unknown := parts - set(PARTS):
        sys.exit(f"no part {min(unknown)}; there are: {', '.join(map(str, PARTS))}")
    return parts


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python scripts/gpu_check", description=__doc__)
    parts = ", ".join(f"{number} {title}" for number, title in PARTS.items())
    default_out = Path(os.environ.get("OUT") or "gpu_check")
    add = parser.add_argument
    add("--parts", default="", help=f"parts to measure, such as 1,3,4; default all: {parts}")
    add("--minutes", type=float, default=9.0, help="time for everything; default 9")
    add("--training-minutes", type=float, default=0.8, help="time for part 5; default 0.8")
    add("--out", type=Path, default=default_out, help="folder of the results; default $OUT")
    add("--device", choices=("cuda", "cpu"), default="cuda", help="cpu tries the script itself")
    add("--tiny", action="store_true", help="sizes so small that a CPU is done in two minutes")
    add("--data", type=Path, help="folder with photos/, cache/ and cartoons/ to train on")
    add("--unpack", type=Path, help="folder with the files of a pack, which is used")
    add("--empty", action="store_true", help="print the table without results")
    pack = parser.add_argument_group("making a pack, on a machine with a network")
    pack.add_argument("--pack", type=Path, metavar="DIR", help="write part1, part2, ... there")
    pack.add_argument("--wheels", type=Path, help="folder with the wheels to pack")
    pack.add_argument("--photos", type=Path, help="folder of photos to pack with their drawings")
    pack.add_argument("--cartoons", type=Path, help="folder of cartoons to pack")
    pack.add_argument("--count", type=int, default=40, help="number of each; default 40")
    # What the process of a step is told.
    for name, kind in (("--step", str), ("--rows", Path), ("--work", Path), ("--seconds", float)):
        add(name, type=kind, help=argparse.SUPPRESS)
    return parser
