"""`toonvid convert --status`: a target in, lines or JSON on standard output out."""

from __future__ import annotations

from pathlib import Path

import typer

from toonvid.commands.messages import count, format_duration, output_console, print_json, say

_UNKNOWN = 1  # exit code


def show_status(target: str, as_json: bool) -> None:
    """Print how far the conversion to a target is.

    Raises:
        typer.Exit: With code 1, when no conversion to the target is known.
    """
    from toonvid.resume.job_state import read_job_state

    state = read_job_state(Path(target))
    console = output_console()
    is_finished = state is None and Path(target).is_file()
    if as_json:
        record: dict[str, object] = {"target": target, "finished": is_finished}
        if state is not None:
            record |= {
                "process": state.process_id,
                "segments": state.segments,
                "frames": state.frames,
                "video_seconds": state.finished_seconds,
                "whole_seconds": state.job.duration_seconds,
                "command": state.job.command,
            }
        print_json(record)
    elif state is None:
        say(console, f"{target}: {'finished' if is_finished else 'no conversion to it is known'}")
    else:
        total = state.job.duration_seconds
        of_total = "" if total is None else f" of {format_duration(total)}"
        say(
            console,
            f"{target}: {format_duration(state.finished_seconds)}{of_total} finished,"
            f" {count(state.frames, 'frame')} in {count(state.segments, 'segment')}",
        )
        if state.process_id is not None:
            say(console, f"process {state.process_id} is working on it")
        else:
            say(console, f"no process is working on it; resume with\n  {state.job.command}")
    if state is None and not is_finished:
        raise typer.Exit(_UNKNOWN)
