"""The processor, and what it has for arithmetic on many numbers at once, as Linux tells.

Other systems do not tell without a library; what OpenVINO found there is with its own check.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

from toonvid.doctor.check_result import CheckResult, State

_CPUINFO = Path("/proc/cpuinfo")
# The kernel's word for a unit, which it leaves out where it does not let programs use it -> ours.
_UNITS_X86 = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "avx_vnni": "AVX VNNI",
    "avx512_bf16": "AVX-512 BF16",
    "amx_tile": "AMX",
}
_UNITS_ARM = {
    "asimd": "NEON",
    "asimddp": "dot product",
    "i8mm": "INT8 matrices",
    "bf16": "BF16",
    "sve": "SVE",
}


def check_cpu(cpuinfo: Path = _CPUINFO) -> list[CheckResult]:
    """Name the processor; on Linux, its vector units too."""
    told = _read(cpuinfo)
    name = told.get("model name") or platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    words = f"{name}, {cores} logical core{'s' * (cores != 1)}"
    found = CheckResult("processor", "processor", "ok", words, facts={"cores": cores or 0})
    flags = set((told.get("flags") or told.get("Features") or "").split())
    return [found, _units(flags, "Features" in told)] if flags else [found]


def _units(flags: set[str], is_arm: bool) -> CheckResult:
    units = _UNITS_ARM if is_arm else _UNITS_X86
    here = [name for flag, name in units.items() if flag in flags]
    lacking = [name for flag, name in units.items() if flag not in flags]
    state: State = "ok" if here else "missing"
    words = ", ".join(here) or "none that speeds engines up"
    if lacking:
        words += f" (not {', '.join(lacking)})"
    return CheckResult(
        "processor", "vector-units", state, words, facts={"has": here, "lacks": lacking}
    )


def _read(cpuinfo: Path) -> dict[str, str]:
    """What is said of the first core."""
    try:
        lines = cpuinfo.read_text(errors="replace").split("\n\n")[0].splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}
