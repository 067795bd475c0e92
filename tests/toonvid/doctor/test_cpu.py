"""The check of the CPU, with described /proc/cpuinfo files."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.doctor import only

from toonvid.doctor import cpu

INTEL = (
    "processor : 0\nmodel name\t: Some Xeon\nflags\t\t: sse2 avx2 avx512f avx512_vnni amx_tile\n\n"
)
ARM = "processor : 0\nFeatures : fp asimd asimddp i8mm\n\nprocessor : 1\n"
OLD = "model name : Core 2\nflags : sse2 ssse3\n"


@pytest.mark.parametrize(
    ("text", "state", "has", "words"),
    [
        (INTEL, "ok", ["AVX2", "AVX-512", "AVX-512 VNNI", "AMX"], "not AVX VNNI, AVX-512 BF16"),
        (ARM, "ok", ["NEON", "dot product", "INT8 matrices"], "not BF16, SVE"),
        (OLD, "missing", [], "none that speeds engines up"),
    ],
)
def test_vector_units_are_those_in_cpuinfo(
    text: str, state: str, has: list[str], words: str, tmp_path: Path
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(text)
    found, units = cpu.check_cpu(cpuinfo)
    assert "logical core" in found.message
    assert (units.state, units.facts["has"]) == (state, has)
    assert words in units.message


def test_without_cpuinfo_there_is_no_result_about_vector_units(tmp_path: Path) -> None:
    assert only(cpu.check_cpu(tmp_path / "none")).name == "processor"
