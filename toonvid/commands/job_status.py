"""`toonvid convert --status`: how far a conversion has come."""

from __future__ import annotations

import json
from pathlib import Path

import typer

_NOTHING = 1  # exit code


def show_job_status(target: str, as_json: bool) -> None:
    """Print where the conversion to a target stands; exit 1 when there is none."""
    from toonvid.resume.job_state import read_job_state

    state = read_job_state(Path(target))
    finished = state is None and Path(target).is_file()
    if as_json:
        told: dict[str, object] = {"target": target, "finished": finished}
        if state is not None:
            told |= {
                "process": state.process_id,
                "segments": state.segments,
                "frames": state.frames,
                "film_seconds": state.finished_seconds,
                "whole_seconds": state.job.duration_seconds,
                "command": state.job.command,
            }
        typer.echo(json.dumps(told))
    elif state is None:
        typer.echo(f"{target}: {'finished' if finished else 'no conversion to it is known'}")
    else:
        duration = state.job.duration_seconds
        whole = "" if duration is None else f" of {clock(duration)}"
        typer.echo(
            f"{target}: {clock(state.finished_seconds)}{whole} finished, {state.frames} frames in"
            f" {state.segments} segments"
        )
        if state.process_id is not None:
            typer.echo(f"process {state.process_id} is at work on it")
        else:
            typer.echo(f"nobody is at work on it; go on with\n  {state.job.command}")
    if state is None and not finished:
        raise typer.Exit(_NOTHING)


def clock(seconds: float) -> str:
    """Seconds as people read them: 1:02:03."""
    hours, rest = divmod(round(seconds), 3600)
    minutes = f"{rest // 60}:{rest % 60:02}"
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else minutes
