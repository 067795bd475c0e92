"""Figures: what was measured at one size, and what can be said of it."""

from __future__ import annotations

from dataclasses import dataclass

from toonvid.bench.work_time import WorkTime

_BUSY = 0.9  # share of the cores from which on only less work makes it faster
_MUCH = 0.05  # of the work; less is not worth a word


@dataclass(frozen=True)
class SizeResults:
    """A film of one size; of several rounds the median, by rate."""

    width: int
    height: int
    cores: int
    rounds: int
    """How many were counted."""
    decode: WorkTime
    """Alone; likewise the next two."""
    stylize: WorkTime
    encode: WorkTime
    pipeline: WorkTime
    """All three at once, from opening the source to the finished target."""
    null: WorkTime
    """Decoded and encoded again in its own pixels."""
    paced: WorkTime | None
    """Converted while it plays; None when that was not asked for."""
    late_frames: int | None
    """Of those, finished after they were due."""
    warm_first_frame_seconds: float
    """With the engine compiled."""
    cold_first_frame_seconds: float | None
    """From the start of a new process; None when that was not asked for."""
    peak_bytes: int | None
    """The most memory of a process that converts this film; None where it cannot be known."""
    multiply_adds_per_pixel: int
    peak_multiply_adds: float | None
    """What the machine reaches in a matrix product, a second."""

    @property
    def ratio(self) -> float:
        """The pipeline's rate over the null pipeline's."""
        return self.pipeline.rate / self.null.rate

    @property
    def efficiency(self) -> float:
        """Processor time of the stages alone over what the cores could give while all three ran."""
        return self._work_alone / (self.cores * self.pipeline.seconds)

    @property
    def cores_busy(self) -> float:
        """Share of the cores that the pipeline took; the rest they waited, or were another's."""
        return self.pipeline.cores_busy(self.cores)

    @property
    def extra_work(self) -> float:
        """How much more processor time the stages take side by side than alone, as a share.

        They share caches and memory, and the pipeline opens, checks and closes its film.
        """
        return self.pipeline.cpu_seconds / self._work_alone - 1

    @property
    def _work_alone(self) -> float:
        stages = (self.decode, self.stylize, self.encode)
        return self.pipeline.frames * sum(stage.cpu_seconds_per_frame for stage in stages)

    @property
    def multiply_adds(self) -> float:
        """How many the engine does a second, stylizing alone."""
        return self.multiply_adds_per_pixel * self.width * self.height * self.stylize.rate

    @property
    def stage_shares(self) -> dict[str, float]:
        """Stage -> its share of the processor time of all three."""
        stages = {"decode": self.decode, "stylize": self.stylize, "encode": self.encode}
        total = sum(stage.cpu_seconds_per_frame for stage in stages.values())
        return {name: stage.cpu_seconds_per_frame / total for name, stage in stages.items()}

    @property
    def slowest_stage(self) -> str:
        """The stage with the lowest rate alone: no pipeline is faster."""
        rates = {"decode": self.decode, "stylize": self.stylize, "encode": self.encode}
        return min(rates, key=lambda name: rates[name].rate)

    @property
    def bottleneck(self) -> str:
        """What holds the pipeline up, in words."""
        if self.cores_busy < _BUSY:
            return (
                f"the stages use {self.cores_busy:.0%} of the cores and wait for each other;"
                f" {self.slowest_stage} is the slowest,"
                f" {getattr(self, self.slowest_stage).rate:.1f} frames a second alone"
            )
        heaviest = max(self.stage_shares, key=self.stage_shares.__getitem__)
        beside = f" ({self.extra_work:.0%} more work side by side than alone)"
        return (
            f"the cores are busy; {heaviest} takes {self.stage_shares[heaviest]:.0%} of the"
            f" work{beside * (self.extra_work > _MUCH)}, and only less of it makes the film faster"
        )

    def as_json(self) -> dict[str, float | int | str | None]:
        """Flat, rates in frames a second."""
        rates = {
            name: getattr(self, name).rate
            for name in ("decode", "stylize", "encode", "pipeline", "null")
        }
        busy = None if self.paced is None else self.paced.cores_busy(self.cores)
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
            "paced_rate": None if self.paced is None else self.paced.rate,
            "paced_cores_busy": busy,
            "late_frames": self.late_frames,
            "warm_first_frame_seconds": self.warm_first_frame_seconds,
            "cold_first_frame_seconds": self.cold_first_frame_seconds,
            "peak_bytes": self.peak_bytes,
            "multiply_adds": self.multiply_adds,
            "peak_multiply_adds": self.peak_multiply_adds,
            "slowest_stage": self.slowest_stage,
            "bottleneck": self.bottleneck,
        }
