"""Results: what was measured at one frame size, and what follows from it.

In: times from the other modules of the folder. Out: a `SizeResults`, with ratios, efficiency and a
sentence on the bottleneck.
"""

from __future__ import annotations

from dataclasses import dataclass

from toonvid.bench.work_time import WorkTime

_BUSY = 0.9  # share of the cores above which waiting is not the bottleneck
_NOTABLE_EXTRA_WORK = 0.05  # share of the work; less is not mentioned


@dataclass(frozen=True)
class SizeResults:
    """Measurements with a video of one size: the median round of each, by rate."""

    width: int
    height: int
    cores: int
    """Number of cores that the process may use."""
    rounds: int
    """Number of rounds that were counted."""
    decode: WorkTime
    """Decoding, with nothing else running."""
    stylize: WorkTime
    """Stylizing, with nothing else running."""
    encode: WorkTime
    """Encoding, with nothing else running."""
    pipeline: WorkTime
    """Whole conversion, from opening the source to the finished target."""
    null: WorkTime
    """Null pipeline: decoding and encoding without a cartoon."""
    real_time: WorkTime | None
    """Conversion at the video's own frame rate; None if it was not measured."""
    late_frames: int | None
    """Frames of that conversion that were late; None if it was not measured."""
    warm_first_frame_seconds: float
    """Time to the first frame if the engine is compiled already."""
    cold_first_frame_seconds: float | None
    """Time to the first frame in a new process, the first time; None if it was not measured."""
    kept_first_frame_seconds: float | None
    """The same where OpenVINO's compiled model was kept by an earlier run."""
    peak_bytes: int | None
    """Largest memory of a process that converts the video, in bytes; None if not known."""
    multiply_adds_per_pixel: int
    """From the engine's card."""
    peak_multiply_adds: float | None
    """Multiply-adds per second in a matrix product; None if they were not measured."""

    @property
    def ratio(self) -> float:
        """Rate of the pipeline over rate of the null pipeline."""
        return self.pipeline.rate / self.null.rate

    @property
    def efficiency(self) -> float:
        """CPU time of the stages alone over the cores' time during the pipeline."""
        return self._work_alone / (self.cores * self.pipeline.seconds)

    @property
    def cores_busy(self) -> float:
        """Share of the cores that the pipeline used; the rest was idle, or used by others."""
        return self.pipeline.cores_busy(self.cores)

    @property
    def extra_work(self) -> float:
        """CPU time of the stages together over their CPU time alone, minus 1.

        Together, they share caches and memory bandwidth, and the pipeline also opens, verifies and
        closes its target.
        """
        return self.pipeline.cpu_seconds / self._work_alone - 1

    @property
    def _work_alone(self) -> float:
        # Per frame, because a stage alone may have processed another number of frames.
        stages = (self.decode, self.stylize, self.encode)
        return self.pipeline.frames * sum(stage.cpu_seconds_per_frame for stage in stages)

    @property
    def multiply_adds(self) -> float:
        """Multiply-adds per second of the engine, stylizing alone."""
        return self.multiply_adds_per_pixel * self.width * self.height * self.stylize.rate

    @property
    def stage_shares(self) -> dict[str, float]:
        """Stage -> its share of the CPU time of all three stages."""
        stages = {"decode": self.decode, "stylize": self.stylize, "encode": self.encode}
        total = sum(stage.cpu_seconds_per_frame for stage in stages.values())
        return {name: stage.cpu_seconds_per_frame / total for name, stage in stages.items()}

    @property
    def slowest_stage(self) -> str:
        """The stage with the lowest rate alone: an upper bound of the pipeline's rate."""
        rates = {"decode": self.decode, "stylize": self.stylize, "encode": self.encode}
        return min(rates, key=lambda name: rates[name].rate)

    @property
    def bottleneck(self) -> str:
        """The bottleneck of the pipeline, as a sentence."""
        if self.cores_busy < _BUSY:
            return (
                f"the stages use {self.cores_busy:.0%} of the cores and wait for each other;"
                f" {self.slowest_stage} is the slowest,"
                f" {getattr(self, self.slowest_stage).rate:.1f} frames per second alone"
            )
        heaviest = max(self.stage_shares, key=self.stage_shares.__getitem__)
        extra = f" ({self.extra_work:.0%} more work together than alone)"
        if self.extra_work <= _NOTABLE_EXTRA_WORK:
            extra = ""
        return (
            f"the cores are busy; {heaviest} takes {self.stage_shares[heaviest]:.0%} of the"
            f" work{extra}, and only less of it makes the pipeline faster"
        )

    def to_json(self) -> dict[str, float | int | str | None]:
        """Return all values under flat keys; rates are in frames per second."""
        rates = {
            name: getattr(self, name).rate
            for name in ("decode", "stylize", "encode", "pipeline", "null")
        }
        busy = None if self.real_time is None else self.real_time.cores_busy(self.cores)
        return {
            "width": self.width,
            "height": self.height,
            "frames": self.pipeline.frames,
            "rounds": self.rounds,
            **rates,
            "ratio": self.ratio,
            "efficiency": self.efficiency,
            "cores_busy": self.cores_busy,
            "extra_work": self.extra_work,
            "decode_cpu_ms": 1000 * self.decode.cpu_seconds_per_frame,
            "stylize_cpu_ms": 1000 * self.stylize.cpu_seconds_per_frame,
            "encode_cpu_ms": 1000 * self.encode.cpu_seconds_per_frame,
            "pipeline_cpu_ms": 1000 * self.pipeline.cpu_seconds_per_frame,
            "null_cpu_ms": 1000 * self.null.cpu_seconds_per_frame,
            "paced_rate": None if self.real_time is None else self.real_time.rate,
            "paced_cores_busy": busy,
            "late_frames": self.late_frames,
            "warm_first_frame_seconds": self.warm_first_frame_seconds,
            "cold_first_frame_seconds": self.cold_first_frame_seconds,
            "kept_first_frame_seconds": self.kept_first_frame_seconds,
            "peak_bytes": self.peak_bytes,
            "multiply_adds": self.multiply_adds,
            "peak_multiply_adds": self.peak_multiply_adds,
            "slowest_stage": self.slowest_stage,
            "bottleneck": self.bottleneck,
        }
