"""Frame rates with fewer CPU cores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.bench import QUICK

from toonvid.bench.child_process import can_pin
from toonvid.bench.core_scaling import measure_rates_by_cores
from toonvid.bench.work_time import core_count


@pytest.mark.skipif(not can_pin(), reason="this system pins no process to cores")
def test_more_cores_than_there_are_are_refused() -> None:
    with pytest.raises(ValueError, match="counts ="):
        measure_rates_by_cores([core_count() + 1], (32, 32), QUICK)


@pytest.mark.skipif(not can_pin(), reason="this system pins no process to cores")
def test_rates_are_returned_by_number_of_cores(engines_folder: Path) -> None:
    arguments = ("--style", str(engines_folder / "negative.json"))
    found = measure_rates_by_cores(
        [1], (32, 32), replace(QUICK, seconds=0.2, convert_arguments=arguments)
    )
    assert list(found) == [1]
    assert found[1] > 0
